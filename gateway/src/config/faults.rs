//! What is wrong with a configuration, all of it, in the order of the file.

use std::fmt;

use super::source::Source;

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A flag or variable that overrides the file.
    Override(&'static str),
    /// The file as a whole.
    File,
    /// From 1; `width` characters are meant.
    At { line: usize, column: usize, width: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    place: Place,
    message: String,
    hint: String,
}

impl Fault {
    pub fn new(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: hint.into() }
    }
}

/// All faults of a configuration, sorted by place. `Display` shows each with its line and a hint.
#[derive(Debug)]
pub struct Faults {
    file: String,
    /// Each with its line as it may be shown, if it has one.
    faults: Vec<(Fault, Option<String>)>,
}

impl Faults {
    pub(super) fn new(source: &Source, mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        let with_line = |fault: Fault| {
            let line = match fault.place {
                Place::At { line, .. } => Some(source.shown(line).replace('\t', " ")),
                Place::Override(_) | Place::File => None,
            };
            (fault, line)
        };
        Self { file: source.name().to_owned(), faults: faults.into_iter().map(with_line).collect() }
    }

    pub fn count(&self) -> usize {
        self.faults.len()
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count() == 1 { "" } else { "s" };
        write!(f, "{} fault{plural} in the configuration", self.count())?;
        for (fault, line) in &self.faults {
            write!(f, "\n\n")?;
            match fault.place {
                Place::Override(name) => write!(f, "{name}: {}", fault.message)?,
                Place::File => write!(f, "{}: {}", self.file, fault.message)?,
                Place::At { line: number, column, width } => {
                    writeln!(f, "{}:{number}:{column}: {}", self.file, fault.message)?;
                    let text = line.as_deref().unwrap_or_default();
                    // Marks may not reach past what is shown: a redacted line is shorter.
                    let shown = text.chars().count();
                    let marks = "^".repeat(width.min(shown.saturating_sub(column - 1)).max(1));
                    writeln!(f, "{number:>5} | {text}")?;
                    write!(f, "      | {}{marks}", " ".repeat((column - 1).min(shown)))?;
                }
            }
            write!(f, "\n  hint: {}", fault.hint)?;
        }
        Ok(())
    }
}
