//! What must not be seen, from a file or the environment.

use std::fmt;
use std::path::PathBuf;

use super::Fault;

#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `key` is the option's name without `_file` or `_env`; `None` if neither is given.
pub(super) fn read_secret(key: &str, file: Option<PathBuf>, env: Option<String>) -> Result<Option<Secret>, Fault> {
    let text = match (file, env) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Fault::new(key, "is given as a file and in the environment: take one away")),
        (Some(path), None) => std::fs::read_to_string(&path)
            .map_err(|e| Fault::new(format!("{key}_file"), format!("{}: {e}", path.display())))?,
        (None, Some(name)) => std::env::var(&name)
            .map_err(|_| Fault::new(format!("{key}_env"), format!("the environment has no {name}")))?,
    };
    Ok(Some(Secret(text.trim().to_owned())))
}
