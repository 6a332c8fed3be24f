//! From arguments to the files that are read, and where their results go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::backtest::{Kind, Place, output_path};
use crate::cli::BacktestArgs;

/// Directories within each other: deeper ones are taken for a link that leads back.
const DEPTH_MAX: usize = 32;
/// Files of one run: their results are in memory until the end.
const FILES_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Input {
    pub(super) file: PathBuf,
    /// Below the output directory.
    pub(super) output: PathBuf,
    pub(super) bytes: u64,
}

/// All files, directories searched in order of names.
///
/// # Errors
/// One is not there, a directory has none, or two results would be the same file.
pub(super) fn find(args: &BacktestArgs) -> anyhow::Result<Vec<Input>> {
    let working_dir = std::env::current_dir().context("working directory cannot be found")?;
    let (mut inputs, mut outputs) = (Vec::new(), BTreeMap::new());
    for argument in &args.inputs {
        let about = fs::metadata(argument).with_context(|| argument.display().to_string())?;
        let mut files = Vec::new();
        if about.is_dir() {
            search(argument, DEPTH_MAX, &mut files).with_context(|| argument.display().to_string())?;
            if files.is_empty() {
                bail!(
                    "{} holds no file that could be read\nhint: name files of other endings themselves",
                    argument.display()
                );
            }
        } else {
            files.push((argument.clone(), about.len()));
        }
        for (file, bytes) in files {
            let place = Place { argument, is_dir: about.is_dir(), file: &file };
            let output = output_path(place, args.relative_to.as_deref(), &working_dir)?;
            if let Some(other) = outputs.insert(output.clone(), file.clone()) {
                let (a, b) = (other.display(), file.display());
                bail!(
                    "results of {a} and {b} would both be {}\nhint: name a directory above both with --relative-to",
                    output.display()
                );
            }
            inputs.push(Input { file, output, bytes });
        }
        if inputs.len() > FILES_MAX {
            bail!("{} files, the limit is {FILES_MAX}\nhint: name fewer", inputs.len());
        }
    }
    Ok(inputs)
}

/// Files whose ending says that they can be read; hidden ones are passed over.
fn search(dir: &Path, depth: usize, files: &mut Vec<(PathBuf, u64)>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let about = fs::metadata(&path)?;
        if about.is_dir() && depth > 0 {
            search(&path, depth - 1, files)?;
        } else if about.is_file() && Kind::of_name(&path).is_some() {
            files.push((path, about.len()));
        }
    }
    Ok(())
}
