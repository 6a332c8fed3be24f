//! Space: what a directory takes, and a small file system to run out of it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bytes in a unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;
const FILL_STEP_BYTES: usize = 64 * 1024;

/// What the files under a directory take on disk; what vanishes meanwhile takes nothing.
///
/// # Errors
/// It cannot be read.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in gone_is_none(std::fs::read_dir(dir))?.into_iter().flatten() {
        let path = entry?.path();
        sum += match gone_is_none(std::fs::symlink_metadata(&path))? {
            Some(meta) if meta.is_dir() => disk_bytes(&path)?,
            Some(meta) => meta.blocks() * STAT_BLOCK_BYTES,
            None => 0,
        };
    }
    Ok(sum)
}

fn gone_is_none<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// An ext4 file system of its own, in a file. Dropping it unmounts it; if the tests are killed, their guard does.
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this size at `dir`, which is made.
    ///
    /// # Errors
    /// Only root may, and not in each container.
    pub fn mount(dir: &Path, bytes: u64) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "mounting a file system needs root");
        std::fs::create_dir_all(dir)?;
        let image = dir.with_extension("ext4");
        File::create(&image)?.set_len(bytes)?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_path()])?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_path(), dir])?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Takes all the space that is left; what is in the way since an earlier call stays.
    ///
    /// # Errors
    /// Anything but the end of the space.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.filler())?;
        // By ever smaller pieces, to the last block.
        let mut piece = vec![0; FILL_STEP_BYTES];
        while !piece.is_empty() {
            match filler.write(&piece) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
                Err(e) => return Err(e.into()),
            }
        }
        // Space that is only promised so far may be taken back.
        match filler.sync_all() {
            Err(e) if e.kind() != std::io::ErrorKind::StorageFull => Err(e.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives back what [`Self::fill`] took.
    ///
    /// # Errors
    /// It took nothing.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.dir.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is just being killed may still hold it.
        if let Err(e) = run("umount", &["-l".as_ref(), self.dir.as_path()]) {
            eprintln!("{e:#}");
        }
    }
}

fn run(program: &str, args: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(args).output().with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
