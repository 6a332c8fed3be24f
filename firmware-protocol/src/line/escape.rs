//! Names and texts as line protocol can carry them.
//!
//! Commas, equal signs and spaces are escaped with a backslash. What the format cannot carry becomes `_`: control
//! characters, which would end the line, and a backslash before a character that is escaped or at the end, which
//! InfluxDB would take for an escape of what follows.

/// A measurement, a tag's key or value, or a field's key. An empty one, which the format does not know, becomes `_`.
pub(super) fn name(out: &mut Vec<u8>, name: &str) {
    let text = if name.is_empty() { b"_" } else { name.as_bytes() };
    if text.iter().any(|b| is_special(*b)) {
        escape(out, text);
    } else {
        out.extend_from_slice(text);
    }
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
    for (i, byte) in text.iter().enumerate() {
        match byte {
            b',' | b'=' | b' ' => out.extend_from_slice(&[b'\\', *byte]),
            b'\\' if text.get(i + 1).is_some_and(|next| !is_special(*next)) => out.push(b'\\'),
            b'\\' | 0..b' ' | 0x7f => out.push(b'_'),
            _ => out.push(*byte),
        }
    }
}

/// By table, because every name of every line is looked at.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte as u8, b',' | b'=' | b' ' | b'\\' | 0..b' ' | 0x7f);
        byte += 1;
    }
    table
};

fn is_special(byte: u8) -> bool {
    SPECIAL[usize::from(byte)]
}
