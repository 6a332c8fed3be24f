//! Values that must not be seen, and where they are kept.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Longest secret, bytes: tokens are below 1 KiB, so a larger file is the wrong file.
const SECRET_MAX_BYTES: u64 = 16 * 1024;

/// A password or token: `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// From a text of one line, which may end with a line break.
    ///
    /// # Errors
    /// It is empty, or has control characters, which neither an HTTP header nor a text of MQTT can carry.
    pub fn from_line(text: &str) -> Result<Self, SecretFault> {
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(SecretFault::Empty),
            secret if secret.contains(char::is_control) => Err(SecretFault::ControlCharacters),
            secret => Ok(Self::new(secret)),
        }
    }

    /// From the only line of a file.
    ///
    /// # Errors
    /// It cannot be read, or holds no secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretFault> {
        let unreadable = |error| SecretFault::Unreadable { path: path.to_owned(), error };
        let bytes = fs::metadata(path).map_err(unreadable)?.len();
        if bytes > SECRET_MAX_BYTES {
            return Err(SecretFault::TooLarge { path: path.to_owned(), bytes });
        }
        Self::from_line(&fs::read_to_string(path).map_err(unreadable)?)
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why a place holds no secret; said of what names the place, as in "`token_file` names …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFault {
    #[error("names {}, which cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("names {}, which cannot be read: {bytes} bytes are more than the limit of {SECRET_MAX_BYTES}", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("names a place that holds an empty secret")]
    Empty,
    #[error("names a place whose secret has control characters")]
    ControlCharacters,
}

impl SecretFault {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } => {
                "the file must exist and be readable by the gateway's user"
            }
            Self::Empty => "put the secret there",
            Self::ControlCharacters => "leave one line with the secret alone",
        }
    }
}

/// A secret that is read again, if it lies in a file, once a server does not take it: a person may have mended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    at_start: Secret,
    file: Option<PathBuf>,
}

impl SecretSource {
    /// Stays as it is.
    pub fn fixed(secret: Secret) -> Self {
        Self { at_start: secret, file: None }
    }

    /// `at_start`: what the file held when the configuration was read.
    pub fn file(path: PathBuf, at_start: Secret) -> Self {
        Self { at_start, file: Some(path) }
    }

    pub fn at_start(&self) -> &Secret {
        &self.at_start
    }

    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// What the place holds now; blocks for a moment.
    ///
    /// # Errors
    /// See [`Secret::from_file`].
    pub fn read(&self) -> Result<Secret, SecretFault> {
        self.file.as_deref().map_or_else(|| Ok(self.at_start.clone()), Secret::from_file)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
