//! Numbers and names for a person who reads HTML.

/// With what HTML would take for markup written out.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Three digits that count; more in front of the point.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let decimals = [(100.0, 0), (10.0, 1), (1.0, 2), (0.1, 3)].into_iter().find(|(least, _)| size >= *least);
    let text = format!("{value:.*}", decimals.map_or(4, |(_, decimals)| decimals));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A span of time in the largest unit that leaves a number above 1.
pub(super) fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    match units.into_iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) => format!("{} {name}", short(seconds / unit)),
        None => format!("{} s", short(seconds)),
    }
}

pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 1.0, 0.05, 12.345, 1234.5, -3.25, 1e-7, 2.5e9, f64::NAN].map(short);
        assert_eq!(all, ["0", "1", "0.05", "12.3", "1234", "-3.25", "1.00e-7", "2.50e9", "–"]);
        assert_eq!([30.0, 600.0, 5_400.0, 172_800.0].map(span), ["30 s", "10 min", "1.5 h", "2 d"]);
    }

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escaped("<a b='1'>&\"\n"), "&lt;a b=&#39;1&#39;&gt;&amp;&quot;\u{FFFD}");
    }
}
