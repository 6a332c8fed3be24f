//! Names and texts as line protocol can carry them.
//!
//! Commas, equal signs and spaces are escaped with a backslash. What the format cannot carry becomes `_`: control
//! characters, which would end the line, and a backslash before a character that is escaped or at the end, which
//! InfluxDB would take for an escape of what follows.

/// A measurement, a tag's key or a field's key.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    if name.is_empty() {
        out.push(b'_');
    }
    escape(out, name.as_bytes());
}

/// A tag's value.
pub(super) fn tag_value(out: &mut Vec<u8>, value: &str) {
    escape(out, value.as_bytes());
}

/// A field's text, quoted.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..b' ' => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if !text.iter().any(|b| is_special(*b)) {
        out.extend_from_slice(text);
        return;
    }
    for (i, byte) in text.iter().enumerate() {
        match byte {
            b',' | b'=' | b' ' => out.extend_from_slice(&[b'\\', *byte]),
            b'\\' if text.get(i + 1).is_some_and(|next| !is_special(*next)) => out.push(b'\\'),
            b'\\' | 0..b' ' | 0x7f => out.push(b'_'),
            _ => out.push(*byte),
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b',' | b'=' | b' ' | b'\\' | 0..b' ' | 0x7f)
}
