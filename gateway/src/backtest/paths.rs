//! Where the result of a file goes. Pure.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// A file that was found for an argument.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// As it was given.
    pub argument: &'a Path,
    pub is_dir: bool,
    /// Begins with `argument`.
    pub file: &'a Path,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    #[error("{} is not below {}\nhint: name another directory with --relative-to", file.display(), base.display())]
    NotBelow { file: PathBuf, base: PathBuf },
    #[error("{} has no name that a result could have", .0.display())]
    Nameless(PathBuf),
}

/// The path below the output directory: relative to `base` if there is one; else as given, if that is relative and has no
/// `..`; else relative to the working directory, if the file is below it; else relative to the directory that was given, or
/// the file's name. What is not called `.csv` gets that as an ending.
///
/// # Errors
/// The file is not below `base`, or has no name.
pub fn output_path(place: Place<'_>, base: Option<&Path>, working_dir: &Path) -> Result<PathBuf, PathFault> {
    let Place { argument, is_dir, file } = place;
    let below = |base: &Path| absolute(file, working_dir).strip_prefix(absolute(base, working_dir)).ok().map(plain);
    let relative = match base {
        Some(base) => {
            below(base).ok_or_else(|| PathFault::NotBelow { file: file.to_owned(), base: base.to_owned() })?
        }
        None if is_plain(argument) => plain(file),
        None => below(working_dir)
            .filter(|path| path.file_name().is_some())
            .or_else(|| file.strip_prefix(argument).ok().filter(|_| is_dir).map(plain))
            .unwrap_or_else(|| file.file_name().map(PathBuf::from).unwrap_or_default()),
    };
    let name = relative.file_name().ok_or_else(|| PathFault::Nameless(file.to_owned()))?;
    if relative.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return Ok(relative);
    }
    let mut name = name.to_owned();
    name.push(OsStr::new(".csv"));
    Ok(relative.with_file_name(name))
}

/// Relative, and never upwards.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Without `.`.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// `..` taken back by name: links are followed by nobody.
fn absolute(path: &Path, working_dir: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in working_dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => whole.push(part),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(argument: &str, is_dir: bool, file: &str, base: Option<&str>) -> String {
        let place = Place { argument: Path::new(argument), is_dir, file: Path::new(file) };
        match output_path(place, base.map(Path::new), Path::new("/home/me")) {
            Ok(path) => path.display().to_string(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn results_lie_where_the_inputs_lie() {
        for (argument, is_dir, file, base, output) in [
            ("nab", true, "nab/a/x.csv", None, "nab/a/x.csv"),
            ("nab/a/x.csv", false, "nab/a/x.csv", None, "nab/a/x.csv"),
            ("./nab", true, "./nab/x.csv", None, "nab/x.csv"),
            (".", true, "./nab/x.CSV", None, "nab/x.CSV"),
            ("x.ndjson", false, "x.ndjson", None, "x.ndjson.csv"),
            ("../nab", true, "../nab/a/x.csv", None, "a/x.csv"),
            ("../nab/x.csv", false, "../nab/x.csv", None, "x.csv"),
            ("/data/nab", true, "/data/nab/a/x.csv", None, "a/x.csv"),
            ("/data/x.csv", false, "/data/x.csv", None, "x.csv"),
            ("/home/me/nab", true, "/home/me/nab/a/x.csv", None, "nab/a/x.csv"),
            ("../me/nab/x.csv", false, "../me/nab/x.csv", None, "nab/x.csv"),
            ("/data/nab", true, "/data/nab/a/x.csv", Some("/data"), "nab/a/x.csv"),
            ("nab/a", true, "nab/a/x.csv", Some("nab"), "a/x.csv"),
            ("../nab/x.csv", false, "../nab/x.csv", Some(".."), "nab/x.csv"),
        ] {
            assert_eq!(path(argument, is_dir, file, base), output, "{argument} {base:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_below_the_named_directory_is_refused() {
        assert!(path("a.csv", false, "a.csv", Some("/data")).starts_with("a.csv is not below /data"));
    }
}
