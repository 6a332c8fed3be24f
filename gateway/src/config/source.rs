//! The text of the file: from byte ranges to lines and columns, and to lines that may be shown.

use std::fmt;
use std::ops::Range;

use super::faults::Place;

/// Words in a key that make its value one that is not shown.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "token", "secret", "credential", "api_key", "tls_key"];

/// A key that names where a secret is, so that its value may be shown.
const SHOWN_SUFFIX: &str = "_file";

pub(super) struct Source {
    name: String,
    text: String,
    /// The lines of `text` without what must not be seen.
    shown: Vec<String>,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { name: name.to_owned(), text: text.to_owned(), shown: redact(text) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.text.get(span).unwrap_or_default();
        Place::At {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            width: rest.lines().next().unwrap_or_default().chars().count(),
        }
    }

    /// Line `line` (from 1) as it may be shown.
    pub(super) fn shown(&self, line: usize) -> &str {
        self.shown.get(line.wrapping_sub(1)).map_or("", String::as_str)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold what must not be seen.
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

fn redact(text: &str) -> Vec<String> {
    // The quote that ends a secret of several lines.
    let mut open: Option<&str> = None;
    let mut is_alert = false;
    text.lines()
        .map(|line| {
            if line.trim_start().starts_with('[') {
                is_alert = line.contains("alert");
            }
            if let Some(quote) = open {
                if line.contains(quote) {
                    open = None;
                }
                return "***".to_owned();
            }
            let at = secret_value_at(line).or_else(|| webhook_at(line).filter(|_| is_alert));
            let Some(at) = at else { return without_url_password(line) };
            let value = &line[at..];
            open =
                ["\"\"\"", "'''", "["].into_iter().find(|quote| value.trim_start().starts_with(quote)).and_then(|q| {
                    let (quote, rest) = (if q == "[" { "]" } else { q }, value.trim_start().get(q.len()..)?);
                    (!rest.contains(quote)).then_some(quote)
                });
            format!("{} ***", line[..at].trim_end())
        })
        .collect()
}

/// Where the value of the first key begins that must not be shown.
fn secret_value_at(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(equals) = lower[from..].find(['=', ':']).map(|at| from + at) {
        let key = lower[from..equals].trim_end().trim_end_matches(['"', '\'']);
        // In an inline table the values of other keys stand before this one.
        let key = key.rsplit([',', '{']).next().unwrap_or(key);
        let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
        if secret && !key.ends_with(SHOWN_SUFFIX) && !is_variable_name(key, &line[equals + 1..]) {
            return Some(equals + 1);
        }
        from = equals + 1;
    }
    if lower.contains('=') {
        return None;
    }
    // A secret's key with the sign forgotten: the rest of the line may hold the value.
    SECRET_WORDS.iter().filter_map(|word| lower.find(word).map(|at| at + word.len())).min()
}

/// Where the address of a webhook begins: whoever knows its path may post there.
fn webhook_at(line: &str) -> Option<usize> {
    let (key, value) = line.split_once('=')?;
    (key.trim().trim_matches(['"', '\'']) == "url" && value.contains("http")).then_some(key.len() + 1)
}

/// `token_env = "INFLUX_TOKEN"` may be shown; what does not look like a variable may be the secret itself.
fn is_variable_name(key: &str, value: &str) -> bool {
    let value = value.split('#').next().unwrap_or_default().trim();
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    key.ends_with("_env") && inner.is_some_and(super::secrets::is_variable)
}

/// `scheme://user:password@host` without the part that is nobody's business.
fn without_url_password(line: &str) -> String {
    let Some(end) = line.rfind('@') else { return line.to_owned() };
    let start = line[..end].find("://").map(|at| at + 3).or_else(|| line[..end].rfind(['"', '\'']).map(|at| at + 1));
    format!("{}***{}", &line[..start.unwrap_or(0)], &line[end..])
}
