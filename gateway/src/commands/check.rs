//! `gateway check`: prints what is in force and where it comes from, or all faults. Connects nowhere.

mod credentials;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::ConfigArgs;
use crate::config::{Config, Directory, Fault, Faults, Loaded, Overrides};
use crate::decoders::Memory;
use crate::text::in_one_line;

/// # Errors
/// The faults of the configuration, or of the directories that it names.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let loaded = Loaded::read(&args.config, &Overrides::from_args(args))?;
    check_directories(&loaded)?;
    let told = credentials::check(&loaded, super::now_ms() / 1_000)?;
    let mut out = io::stdout().lock();
    write!(out, "{}", loaded.effective)?;
    writeln!(out)?;
    for line in told {
        writeln!(out, "# {line}")?;
    }
    for warning in loaded.config.warnings().into_iter().chain(changed_decoders(&loaded.config)) {
        writeln!(out, "# WARNING: {warning}")?;
    }
    writeln!(out, "# OK: {} can be used, and its directories can be written.", args.config.display())?;
    Ok(())
}

fn changed_decoders(config: &Config) -> Vec<String> {
    match Memory::read(&config.gateway.data_dir) {
        Ok(memory) => memory.changed(&config.decode).iter().map(ToString::to_string).collect(),
        Err(error) => vec![in_one_line(&error)],
    }
}

fn check_directories(loaded: &Loaded) -> Result<(), Faults> {
    let fault = |Directory { path, place }: &Directory| {
        let error = probe(path).err()?;
        let message = format!("directory {} cannot be written: {error}", path.display());
        Some(Fault::new(place.clone(), message, "make it writable for the gateway's user, or name another one"))
    };
    let faults: Vec<Fault> = loaded.directories.iter().filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(loaded.faults(faults)) }
}

/// Makes the directory if it is missing, writes a file into it, and takes back both.
fn probe(dir: &Path) -> io::Result<()> {
    let made = Made::new(dir)?;
    let path = dir.join(format!(".gateway-check-{}", std::process::id()));
    let written = File::create_new(&path).and_then(|mut file| {
        file.write_all(b"gateway check\n")?;
        file.sync_all()
    });
    let removed = match &written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) | Err(_) if path.exists() => fs::remove_file(&path),
        Ok(()) | Err(_) => Ok(()),
    };
    made.undo()?;
    written.and(removed)
}

/// The directories that were made for a probe, outermost first.
struct Made(Vec<PathBuf>);

impl Made {
    fn new(dir: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists()).collect();
        let mut made = Self(Vec::new());
        for directory in missing.into_iter().rev() {
            if let Err(error) = fs::create_dir(directory) {
                made.undo()?;
                return Err(error);
            }
            made.0.push(directory.to_owned());
        }
        Ok(made)
    }

    fn undo(self) -> io::Result<()> {
        self.0.iter().rev().try_for_each(fs::remove_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let root = tempfile::tempdir().expect("temporary directory");
        probe(&root.path().join("a/b/c")).expect("can be made");
        probe(root.path()).expect("is there");
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_told_and_what_was_made_is_taken_back() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::write(root.path().join("file"), "x").expect("writable");
        assert!(probe(&root.path().join("file")).is_err());
        assert!(probe(&root.path().join("file/below")).is_err());
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 1);
    }
}
