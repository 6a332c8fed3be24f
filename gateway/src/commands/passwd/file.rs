//! Replacing a users file as a whole: who reads it sees the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// Hashes are for the gateway's user alone.
const MODE: u32 = 0o600;

/// A users file that no other `passwd` changes meanwhile.
pub(super) struct Locked {
    /// Where it really is, if a link was named.
    path: PathBuf,
    text: String,
    owner: Option<(u32, u32)>,
    /// Holds the lock.
    dir: File,
}

impl Locked {
    /// Reads the file, or begins a new one.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let in_dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = File::open(in_dir).with_context(|| format!("directory {} cannot be used", in_dir.display()))?;
        flock(&dir, FlockOperation::LockExclusive)?;
        let (text, owner) = match fs::read_to_string(&path) {
            Ok(text) => (text, Some(fs::metadata(&path)?)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (String::new(), None),
            Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Self { path, text, owner: owner.map(|m| (m.uid(), m.gid())), dir })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Puts a new file in its place, with the same owner.
    pub(super) fn replace(&self, text: &str) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = self.path.with_file_name(format!(".{name}.{}", std::process::id()));
        let written = self.write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() && new.exists() {
            fs::remove_file(&new)?;
        }
        written.and_then(|()| self.dir.sync_all())
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        if let Some((user, group)) = self.owner {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (user, group) {
                fchown(&file, Some(user), Some(group))?;
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("users");
        let file = Locked::open(&path).expect("none yet");
        assert_eq!(file.text(), "");
        file.replace("a:1\n").expect("writable");
        drop(file);
        let file = Locked::open(&path).expect("readable");
        assert_eq!(file.text(), "a:1\n");
        file.replace("a:2\n").expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "a:2\n");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let [real, link] = ["real", "link"].map(|name| dir.path().join(name));
        fs::write(&real, "").expect("writable");
        symlink(&real, &link).expect("new");
        Locked::open(&link).expect("readable").replace("a:1\n").expect("writable");
        assert_eq!(fs::read_to_string(&real).expect("readable"), "a:1\n");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    }
}
