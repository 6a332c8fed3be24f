//! Passwords and tokens: from a file or a variable, never from the configuration itself.

use std::fs;
use std::path::PathBuf;

use super::reader::Section;
use super::values::Wrong;
use crate::secret::Secret;

/// Longest secret, bytes: tokens are below 1 KiB, so a larger file is the wrong file.
const SECRET_MAX_BYTES: u64 = 16 * 1024;

/// The two keys that can name one secret.
pub(super) struct Keys {
    pub(super) file: &'static str,
    pub(super) variable: &'static str,
}

/// Capital letters, digits and `_`, as usual for variables; what looks otherwise may be the secret itself.
pub(super) fn is_variable(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') && name.chars().all(allowed)
}

/// The secret, if one of the keys is given and it can be read.
pub(super) fn read(section: &mut Section<'_, '_>, keys: &Keys) -> Option<Secret> {
    if section.has(keys.file) && section.has(keys.variable) {
        let message = format!("`{}` and `{}` name two places for one secret", keys.file, keys.variable);
        section.fault(Some(keys.variable), message, "keep one of them");
    }
    let path: Option<PathBuf> = section.optional(keys.file, |_| Ok(()));
    let variable: Option<String> = section.optional(keys.variable, |name: &String| {
        let message = "is not the name of a variable: capital letters, digits and _";
        if is_variable(name) { Ok(()) } else { Err(Wrong::new(message, "write the variable's name, not the secret")) }
    });
    let (key, read) = match (path, variable) {
        (Some(path), _) => (keys.file, from_file(&path)),
        (None, Some(name)) => {
            let value = section.overrides().environment.variable(&name);
            let unset =
                || Wrong::new(format!("names {name}, which is not set"), format!("set {name} for this process"));
            (keys.variable, value.ok_or_else(unset))
        }
        (None, None) => return None,
    };
    let proven = read.and_then(|text| match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Wrong::new("names a place that holds an empty secret", "put the secret there")),
        secret => Ok(Secret::new(secret)),
    });
    match proven {
        Ok(secret) => {
            section.mark_secret(key);
            Some(secret)
        }
        Err(wrong) => {
            section.fault(Some(key), format!("`{key}` {}", wrong.message), wrong.hint);
            None
        }
    }
}

fn from_file(path: &PathBuf) -> Result<String, Wrong> {
    let unreadable = |why: String| {
        let message = format!("names {}, which cannot be read: {why}", path.display());
        Wrong::new(message, "the file must exist and be readable by the gateway's user")
    };
    let size = fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > SECRET_MAX_BYTES {
        return Err(unreadable(format!("{size} bytes are more than the limit of {SECRET_MAX_BYTES}")));
    }
    fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}
