//! When something was really wrong, as the user knows it: spans of time for each file. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use firmware_protocol::measurement::EventTime;
use serde::Deserialize;

use crate::ingest::csv::Archive;

/// From, to.
pub type Span = (EventTime, EventTime);

/// Spans by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, Vec<Span>>);

/// `labels.json`: other keys of a file are passed over.
#[derive(Deserialize)]
struct OfFile {
    windows: Vec<(String, String)>,
}

impl Labels {
    /// JSON of the form `{"file": {"windows": [["from", "to"], …]}}`, or CSV with the columns file, from and to.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') { Self::of_json(text) } else { Self::of_csv(text) }
    }

    fn of_json(text: &str) -> Result<Self, String> {
        let files: BTreeMap<String, OfFile> = serde_json::from_str(text)
            .map_err(|error| format!("{error}\nhint: {{\"file\": {{\"windows\": [[\"from\", \"to\"]]}}}}"))?;
        let mut labels = Self::default();
        for (file, OfFile { windows }) in files {
            labels.0.entry(file.clone()).or_default();
            for (from, to) in windows {
                labels.add(&file, &from, &to).map_err(|why| format!("{file}: {why}"))?;
            }
        }
        Ok(labels)
    }

    fn of_csv(text: &str) -> Result<Self, String> {
        let mut labels = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
            let [file, from, to] = *cells.as_slice() else {
                if line.trim().is_empty() {
                    continue;
                }
                return Err(format!("line {number}: {} cells instead of file,from,to", cells.len()));
            };
            if number > 1 || from != "from" {
                labels.add(file, from, to).map_err(|why| format!("line {number}: {why}"))?;
            }
        }
        Ok(labels)
    }

    fn add(&mut self, file: &str, from: &str, to: &str) -> Result<(), String> {
        let time = |text: &str| Archive::time_of(text).map_err(|why| format!("`{text}` is no time: {why}"));
        let (from_at, to_at) = (time(from)?, time(to)?);
        if to_at < from_at {
            return Err(format!("{to} lies before {from}"));
        }
        let spans = self.0.entry(file.to_owned()).or_default();
        spans.push((from_at, to_at));
        spans.sort_unstable();
        Ok(())
    }

    /// Those of the file whose result is `output` and which was read from `file`: the key is one of the two, or the end of
    /// one. `None`: it is not among the files.
    pub fn of(&self, output: &Path, file: &Path) -> Option<&[Span]> {
        let exact = output.to_str().and_then(|output| self.0.get(output));
        let ends = |key: &&String| file.ends_with(key.as_str()) || output.ends_with(key.as_str());
        let longest = || self.0.keys().filter(ends).max_by_key(|key| key.len()).and_then(|key| self.0.get(key));
        exact.or_else(longest).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_s: i64, to_s: i64) -> Span {
        (EventTime::from_millis(from_s * 1_000), EventTime::from_millis(to_s * 1_000))
    }

    #[test]
    fn labels_are_read_from_json_and_csv() {
        let json = r#"{"a/x.csv":{"windows":[["1970-01-01T00:01:00Z","1970-01-01 00:02:00"]],"more":1},"b.csv":{"windows":[]}}"#;
        let csv = "file,from,to\na/x.csv,60,120\n\n";
        for text in [json, csv] {
            let labels = Labels::parse(text).unwrap();
            assert_eq!(labels.of(Path::new("a/x.csv"), Path::new("/data/a/x.csv")), Some(&[span(60, 120)][..]));
            assert_eq!(labels.of(Path::new("x.csv"), Path::new("/data/a/x.csv")), Some(&[span(60, 120)][..]));
            assert_eq!(labels.of(Path::new("c.csv"), Path::new("/data/c.csv")), None);
        }
    }

    #[test]
    fn what_is_wrong_with_labels_is_told_with_its_place() {
        for (text, expected) in [
            ("{\"a\":1}", "hint: {\"file\""),
            ("{\"a\":{\"windows\":[[\"2\",\"1\"]]}}", "a: 1 lies before 2"),
            ("a,1\n", "line 1: 2 cells instead of file,from,to"),
            ("file,from,to\na,now,2\n", "line 2: `now` is no time"),
        ] {
            let fault = Labels::parse(text).unwrap_err();
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
