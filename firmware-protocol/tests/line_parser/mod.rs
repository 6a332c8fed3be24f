//! A small strict parser of line protocol, written from its grammar and not from the encoder.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) measurement: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// Values as they stand in the line.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) at_nanos: i64,
}

impl Line {
    pub(crate) fn floats(&self) -> BTreeMap<String, f64> {
        self.fields.iter().map(|(k, v)| (k.clone(), v.parse().expect("a float"))).collect()
    }
}

/// What a name becomes because the format cannot carry all of it: backslashes at the end or before comma, equal sign,
/// space or backslash.
pub(crate) fn carried(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let lost = |i: usize| chars[i] == '\\' && chars.get(i + 1).is_none_or(|next| ",= \\".contains(*next));
    (0..chars.len()).map(|i| if lost(i) { '_' } else { chars[i] }).collect()
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Line>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let Some(text) = text.strip_suffix('\n') else {
        return if text.is_empty() { Ok(Vec::new()) } else { Err("no line break at the end".into()) };
    };
    text.split('\n').map(|line| parse_line(line).map_err(|e| format!("{e}: {line}"))).collect()
}

fn parse_line(line: &str) -> Result<Line, String> {
    if line.starts_with('#') {
        return Err("a comment".into());
    }
    let mut rest = line;
    let (measurement, mut end) = token(&mut rest, &[',', ' '])?;
    let mut tags = BTreeMap::new();
    while end == ',' {
        let (key, _) = token(&mut rest, &['='])?;
        let value;
        (value, end) = token(&mut rest, &[',', ' '])?;
        insert(&mut tags, key, value)?;
    }
    let mut fields = BTreeMap::new();
    end = ',';
    while end == ',' {
        let (key, _) = token(&mut rest, &['='])?;
        let value;
        (value, end) = if rest.starts_with('"') { quoted(&mut rest)? } else { token(&mut rest, &[',', ' '])? };
        let known = value.starts_with('"')
            || ["true", "false"].contains(&value.as_str())
            || value.strip_suffix('i').is_some_and(|v| v.parse::<i64>().is_ok())
            || value.parse::<f64>().is_ok_and(f64::is_finite);
        if !known || key == "time" {
            return Err(format!("field {key}={value}"));
        }
        insert(&mut fields, key, value)?;
    }
    let at_nanos = rest.parse().map_err(|_| format!("timestamp {rest}"))?;
    Ok(Line { measurement, tags, fields, at_nanos })
}

fn insert(map: &mut BTreeMap<String, String>, key: String, value: String) -> Result<(), String> {
    let twice = format!("{key} twice");
    if map.insert(key, value).is_some() { Err(twice) } else { Ok(()) }
}

/// Takes an unquoted name or value and the character that ends it; InfluxDB skips whatever follows a backslash.
fn token(rest: &mut &str, ends: &[char]) -> Result<(String, char), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, next @ (',' | '=' | ' '))) => text.push(next),
                Some((_, next)) => text.extend(['\\', next]),
                None => return Err("backslash at the end".into()),
            },
            c if ends.contains(&c) => {
                *rest = &rest[i + 1..];
                return if text.is_empty() { Err("empty name or value".into()) } else { Ok((text, c)) };
            }
            ',' | '=' | ' ' | '\0'..='\x1f' => return Err(format!("{c:?} in a name")),
            c => text.push(c),
        }
    }
    Err(format!("{text} does not end"))
}

fn quoted(rest: &mut &str) -> Result<(String, char), String> {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let value = rest[..=i].to_owned();
                let end = rest[i + 1..].chars().next().filter(|c| [',', ' '].contains(c));
                let end = end.ok_or("text in quotes is followed by something")?;
                *rest = &rest[i + 2..];
                return Ok((value, end));
            }
            _ => {}
        }
    }
    Err("text in quotes does not end".into())
}
