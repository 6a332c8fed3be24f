//! Which format a file has. Pure.

use std::fmt;
use std::path::Path;

use firmware_protocol::line::Line;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With a header.
    Csv,
    /// One JSON object on each line.
    JsonLines,
    /// What `gateway queue export` writes.
    Export,
    /// Of InfluxDB.
    LineProtocol,
}

/// Endings of files that are looked for in directories.
const ENDINGS: [(&str, Kind); 9] = [
    ("csv", Kind::Csv),
    ("tsv", Kind::Csv),
    ("ndjson", Kind::JsonLines),
    ("jsonl", Kind::JsonLines),
    ("lp", Kind::LineProtocol),
    ("line", Kind::LineProtocol),
    ("lines", Kind::LineProtocol),
    ("influx", Kind::LineProtocol),
    ("ilp", Kind::LineProtocol),
];
/// Lines of line protocol without a point in front of the first one.
const COMMENTS_MAX: usize = 100;

impl Kind {
    /// By its ending: `None` if that says nothing.
    pub fn of_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, kind)| *kind)
    }

    /// By ending and first bytes.
    pub(super) fn of(path: &Path, head: &[u8]) -> Self {
        let first = head.trim_ascii_start().split(|b| *b == b'\n').next().unwrap_or_default();
        if first.starts_with(b"{") {
            return if is_export(first) { Self::Export } else { Self::JsonLines };
        }
        Self::of_name(path).unwrap_or_else(|| if is_line_protocol(head) { Self::LineProtocol } else { Self::Csv })
    }

    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Csv => "the first line names the columns, and one of them has the time",
            Self::JsonLines => "each line is one object with its time in `ts`, `time` or `timestamp`",
            Self::Export => "decode routes are those of --config, if it is given",
            Self::LineProtocol => "times are nanoseconds since 1970",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON lines",
            Self::Export => "export of a queue",
            Self::LineProtocol => "line protocol",
        })
    }
}

fn is_export(line: &[u8]) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return false };
    let has = |key: &str| object.contains_key(key);
    has("log") && has("seq") && has("boot") && (has("payload") || has("payload_base64"))
}

fn is_line_protocol(head: &[u8]) -> bool {
    let mut lines = head.split(|b| *b == b'\n').take(COMMENTS_MAX);
    let first = lines.find(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
    first.and_then(|line| std::str::from_utf8(line).ok()).is_some_and(|line| Line::parse(line).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_what_is_in_the_file_and_by_its_ending() {
        let export = r#"{"log":"raw","seq":0,"door":"mqtt","topic":"a","payload":"1","boot":"00","qos":0}"#;
        for (name, head, kind) in [
            ("a.csv", "time,a\n1,2\n", Kind::Csv),
            ("a", "time;a\n", Kind::Csv),
            ("a.txt", "{\"ts\":1}\n", Kind::JsonLines),
            ("a.ndjson", "\n{\"ts\":1}", Kind::JsonLines),
            ("a.ndjson", export, Kind::Export),
            ("a.lp", "m a=1 1\n", Kind::LineProtocol),
            ("a.txt", "# DML\n# CONTEXT-DATABASE: x\n\nm,t=1 a=1 1\n", Kind::LineProtocol),
            ("a.csv", "m a=1 1\n", Kind::Csv),
            ("a.txt", "", Kind::Csv),
        ] {
            assert_eq!(Kind::of(Path::new(name), head.as_bytes()), kind, "{name} {head}");
        }
    }
}
