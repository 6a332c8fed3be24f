//! Generations that could not be read are kept for whoever wants to look into them: in `quarantine/`, within a bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::queue::files;
use crate::queue::store::StoreError;

pub(in crate::queue) const DIR: &str = "quarantine";
/// Tries to find a free name: as often may one generation number be set aside.
const NAMES_MAX: u32 = 1_000;

/// Moves a generation's directory out of the way; says where it is now.
pub(in crate::queue) fn set_aside(queue_dir: &Path, generation_dir: &Path) -> Result<PathBuf, StoreError> {
    let parent = queue_dir.join(DIR);
    files::create_dir(&parent)?;
    let name = generation_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (0..NAMES_MAX).map(|n| if n == 0 { name.clone() } else { format!("{name}-{n}") });
    let free = names.map(|name| parent.join(name)).find(|path| !path.exists());
    let target = free.unwrap_or_else(|| parent.join(&name));
    fs::rename(generation_dir, &target).map_err(StoreError::io(generation_dir))?;
    files::sync_dir(&parent)?;
    files::sync_dir(queue_dir)?;
    Ok(target)
}

/// What is set aside, longest first.
pub(in crate::queue) fn list(queue_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut dirs = Vec::new();
    for path in files::entries(&queue_dir.join(DIR))? {
        let changed_at = fs::metadata(&path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        dirs.push((changed_at, path));
    }
    dirs.sort();
    Ok(dirs.into_iter().map(|(_, path)| path).collect())
}

/// Deletes what was set aside longest ago, until the rest takes at most `bytes_max` on disk.
pub(in crate::queue) fn trim(queue_dir: &Path, bytes_max: u64) -> Result<(), StoreError> {
    let mut used = files::disk_bytes(&queue_dir.join(DIR))?;
    for path in list(queue_dir)? {
        if used <= bytes_max {
            break;
        }
        used = used.saturating_sub(files::disk_bytes(&path)?);
        files::delete_dir(&path)?;
        tracing::warn!(path = %path.display(), bytes_max, "Queue deleted a quarantined generation to keep to its bound.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_keeps_within_its_bound_and_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let set_one_aside = || {
            let generation = dir.path().join("gen-00000001");
            fs::create_dir(&generation).unwrap();
            fs::write(generation.join("db"), [1; 40_000]).unwrap();
            set_aside(dir.path(), &generation).unwrap()
        };
        let kept = [set_one_aside(), set_one_aside(), set_one_aside()];
        assert_eq!(list(dir.path()).unwrap().len(), 3);
        assert!(kept.iter().all(|path| path.join("db").exists()));
        trim(dir.path(), 1 << 20).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 3);
        trim(dir.path(), 60_000).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 1);
        trim(dir.path(), 0).unwrap();
        assert_eq!(list(dir.path()).unwrap(), Vec::<PathBuf>::new());
    }
}
