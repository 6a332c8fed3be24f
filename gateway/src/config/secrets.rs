//! Passwords and tokens: from a file or a variable, never from the configuration itself.

use std::path::PathBuf;

use super::reader::Section;
use super::values::Wrong;
use crate::secret::{Secret, SecretFault, SecretSource};

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
    read_source(section, keys).map(|source| source.at_start().clone())
}

/// The same, together with where it can be read again.
pub(super) fn read_source(section: &mut Section<'_, '_>, keys: &Keys) -> Option<SecretSource> {
    if section.has(keys.file) && section.has(keys.variable) {
        let message = format!("`{}` and `{}` name two places for one secret", keys.file, keys.variable);
        section.fault(Some(keys.variable), message, "keep one of them");
    }
    let path: Option<PathBuf> = section.optional(keys.file, |_| Ok(()));
    let variable: Option<String> = section.optional(keys.variable, |name: &String| {
        let message = "is not the name of a variable: capital letters, digits and _";
        if is_variable(name) { Ok(()) } else { Err(Wrong::new(message, "write the variable's name, not the secret")) }
    });
    let wrong = |fault: SecretFault| Wrong::new(fault.to_string(), fault.hint());
    let (key, found) = match (path, variable) {
        (Some(path), _) => {
            let secret = Secret::from_file(&path).map_err(wrong);
            (keys.file, secret.map(|secret| SecretSource::file(path, secret)))
        }
        (None, Some(name)) => {
            let value = section.overrides().environment.variable(&name);
            let unset =
                || Wrong::new(format!("names {name}, which is not set"), format!("set {name} for this process"));
            let secret = value.ok_or_else(unset).and_then(|text| Secret::from_line(&text).map_err(wrong));
            (keys.variable, secret.map(SecretSource::fixed))
        }
        (None, None) => return None,
    };
    match found {
        Ok(source) => {
            section.mark_secret(key);
            Some(source)
        }
        Err(wrong) => {
            section.fault(Some(key), format!("`{key}` {}", wrong.message), wrong.hint);
            None
        }
    }
}
