//! What is in force, as TOML, and where each value came from.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File { line: usize },
    Environment(&'static str),
    Flag(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    /// As TOML.
    pub(super) value: String,
    pub(super) origin: Origin,
    /// The value names where a secret is, and the secret was read.
    pub(super) secret: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) header: String,
    pub(super) entries: Vec<Entry>,
}

/// All values in force. `Display` writes TOML that gives the same configuration.
#[derive(Clone, Debug)]
pub struct Effective {
    pub(super) file: String,
    pub(super) sections: Vec<Shown>,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, section) in self.sections.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{}", section.header)?;
            let lines: Vec<_> = section.entries.iter().map(|e| (format!("{} = {}", e.key, e.value), e)).collect();
            let width = lines.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0);
            for (text, entry) in lines {
                write!(f, "{text:width$}  # ")?;
                match &entry.origin {
                    Origin::Default => write!(f, "default")?,
                    Origin::File { line } => write!(f, "{}:{line}", self.file)?,
                    Origin::Environment(name) => write!(f, "environment {name}")?,
                    Origin::Flag(name) => write!(f, "flag {name}")?,
                }
                writeln!(f, "{}", if entry.secret { ", read: ***" } else { "" })?;
            }
        }
        Ok(())
    }
}
