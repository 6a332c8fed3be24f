//! `[[csv]]` and `[upload]`: the doors for CSV files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DAY, HOUR, normal, not_nowhere};
use crate::config::Directory;
use crate::config::reader::{Reader, Section};
use crate::config::values::{Size, Wrong};
use crate::ingest::csv::{After, FolderConfig, Glob, Mapping, UploadConfig};

/// Each folder has a task and may import a file.
const FOLDERS_MAX: usize = 16;
const POLL: Duration = Duration::from_secs(5);
const POLL_MIN: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_secs(2);
/// Some twenty million rows; it lies on the disk beside the queue until it is imported.
const UPLOAD_DEFAULT: Size = Size(1 << 30);
const UPLOAD_MIN: Size = Size(1 << 10);
const UPLOAD_MAX: Size = Size(1 << 40);
/// In the data directory.
const SPOOL_DIR: &str = "import";

pub(super) fn folders(reader: &mut Reader<'_>, data_dir: &Path) -> (Vec<FolderConfig>, Vec<Directory>) {
    let mut directories: Vec<Directory> = Vec::new();
    let folders = reader.tables("csv", FOLDERS_MAX, |s| {
        let folder = folder(s);
        check_directory(s, &folder.dir, data_dir, &directories);
        directories.push(Directory { path: folder.dir.clone(), place: s.place("dir") });
        folder
    });
    (folders, directories)
}

fn folder(s: &mut Section<'_, '_>) -> FolderConfig {
    let dir = s.required("dir", "name the folder to watch", |dir: &PathBuf| not_nowhere(dir)).unwrap_or_default();
    let pattern = s.checked("pattern", Glob::default().to_string(), |text| {
        text.parse::<Glob>().map(drop).map_err(|why| Wrong::new(why, "write a name with * and ?, such as \"*.csv\""))
    });
    let after = [("keep", After::Keep), ("delete", After::Delete), ("move", After::Move)];
    FolderConfig {
        dir,
        pattern: pattern.parse().unwrap_or_default(),
        poll: s.within("poll", POLL, POLL_MIN..=HOUR),
        settle: s.within("settle", SETTLE, Duration::ZERO..=DAY),
        after: s.choice("after", After::default(), &after),
        mapping: mapping(s),
    }
}

fn check_directory(s: &mut Section<'_, '_>, dir: &Path, data_dir: &Path, others: &[Directory]) {
    if normal(dir).starts_with(normal(data_dir)) {
        let message = format!("`dir` lies in the data directory {}", data_dir.display());
        s.fault(Some("dir"), message, "choose a folder outside of it");
    }
    if others.iter().any(|other| normal(&other.path) == normal(dir)) {
        let message = format!("two [[csv]] watch {}", dir.display());
        s.fault(Some("dir"), message, "give each its own `dir`");
    }
}

pub(super) fn upload(reader: &mut Reader<'_>, data_dir: &Path) -> Option<UploadConfig> {
    let mut s = reader.optional_table("upload")?;
    let max_bytes = s.within("max_size", UPLOAD_DEFAULT, UPLOAD_MIN..=UPLOAD_MAX).0;
    let mapping = mapping(&mut s);
    s.finish();
    Some(UploadConfig { dir: data_dir.join(SPOOL_DIR), max_bytes, mapping })
}

/// What the columns mean.
fn mapping(s: &mut Section<'_, '_>) -> Mapping {
    let mut mapping = Mapping::default();
    for (key, default) in Mapping::TEXTS {
        let text = s.checked(key, default.to_owned(), |text: &String| {
            Mapping::default().set(key, text).map_err(|why| Wrong::new(said(text, &why), hint(key)))
        });
        mapping.set(key, &text).expect("it passed the check, or is the default");
    }
    for key in Mapping::LISTS {
        let names = s.checked(key, Vec::new(), |names: &Vec<String>| {
            Mapping::default().set_list(key, names).map_err(|why| Wrong::new(why, hint(key)))
        });
        mapping.set_list(key, &names).expect("it passed the check, or is empty");
    }
    mapping.skip_lines = s.within("skip_lines", 0, 0..=Mapping::SKIP_LINES_MAX);
    if let Err((key, why)) = mapping.check() {
        s.fault(Some(key), format!("`{key}` {why}"), hint(key));
    }
    mapping
}

fn said(text: &str, why: &str) -> String {
    let is_short = text.len() <= 40;
    if is_short && why.starts_with("is ") {
        why.replacen("is ", &format!("is {text:?}, which is "), 1)
    } else {
        why.to_owned()
    }
}

fn hint(key: &str) -> &'static str {
    match key {
        "delimiter" => "write \"auto\", \",\", \";\" or \"tab\"",
        "decimal" => "files with decimal commas have `delimiter` \";\" or \"tab\"",
        "time_format" | "date_column" => {
            "write \"auto\", \"s\", \"ms\", \"us\", \"ns\", \"rfc3339\" or a pattern such as \"%d.%m.%Y %H:%M:%S\""
        }
        "utc_offset" => "write how far the logger's clock is ahead of UTC, such as \"+01:00\"",
        "topic" => "topics look like \"sensors/{device}/telemetry\", with names of columns in braces",
        "rename" => "write [\"old=new\"] with names of columns",
        _ => "write names as they stand in the header",
    }
}
