//! Text for a person at a terminal: numbers, colour, the loss ledger.

use std::io::IsTerminal;

use firmware_protocol::measurement::EventTime;

use crate::queue::LedgerRow;

/// Heading and width of the ledger's numbers: all of a row fits 130 columns up to a thousand million records.
const LEDGER_COLUMNS: [(&str, usize); 9] = [
    ("accepted", 11),
    ("delivered", 11),
    ("filtered", 8),
    ("queued", 9),
    ("expired", 7),
    ("dropped", 7),
    ("quarantined", 11),
    ("duplicate", 9),
    ("lost", 4),
];

/// How to write to this output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A file or pipe, or a person who asked for no colour.
    Plain,
    Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Style {
    /// For standard output: colour on a terminal unless `NO_COLOR` is set.
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if std::io::stdout().is_terminal() && !refused { Self::Colour } else { Self::Plain }
    }

    pub fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// The loss ledger for a person: one line a consumer and log.
pub fn ledger_table(ledger: &[LedgerRow], style: Style) -> String {
    let mut text = style.paint(Colour::Bold, "Loss ledger (records)");
    text.push('\n');
    let consumer_width = ledger.iter().map(|r| r.consumer.len()).max().unwrap_or(0).max("consumer".len());
    let columns: String = LEDGER_COLUMNS.iter().map(|(h, width)| format!("  {h:>width$}")).collect();
    text += &style.paint(Colour::Dim, &format!("{:<consumer_width$}  {:<7}{columns}", "consumer", "log"));
    text.push('\n');
    for row in ledger {
        let c = &row.cursor;
        let numbers = [
            row.accepted,
            c.delivered,
            c.filtered,
            row.queued,
            row.expired,
            row.dropped,
            c.quarantined,
            c.duplicate,
            row.lost,
        ];
        let columns: String =
            LEDGER_COLUMNS.iter().zip(numbers).map(|((_, width), n)| format!("  {:>width$}", grouped(n))).collect();
        let verdict = match row.balances() {
            true => style.paint(Colour::Green, "balances"),
            false => style.paint(Colour::Red, "DOES NOT BALANCE"),
        };
        text += &format!("{:<consumer_width$}  {:<7}{columns}  {verdict}\n", row.consumer, row.log.name());
    }
    text
}

/// Rows of cells as lines, each column as wide as its widest cell, two spaces apart; the last one ends where it ends.
pub fn columns<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// The first `bytes_max` bytes at most, and no part of a character.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `1 device`, `1 200 devices`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Bytes for a person: `812 B`, `16.0 MiB`.
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", bytes as f64 / factor as f64),
        None => format!("{bytes} B"),
    }
}

/// An error for the log: its hint, which stands in a line of its own, behind a semicolon.
pub fn in_one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().replace("\nhint: ", "; ")
}

/// RFC 3339 with nanoseconds, UTC.
pub fn utc(at: EventTime) -> String {
    let (second, nanos) = (at.0.div_euclid(1_000_000_000), at.0.rem_euclid(1_000_000_000));
    let (day, second) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Date, hour and minute, for a sentence: `2026-03-01 12:00`, UTC.
pub fn utc_minute(at: EventTime) -> String {
    utc(at)[..16].replace('T', " ")
}

/// Year, month and day of a day counted from 1970-01-01, in years that begin in March, so that leap days come last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970: i64 = 719_468;
    const ERA_DAYS: i64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA_DAYS - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// 1234567 → `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Cursor, Log, QueueSeq};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "b"], ["long", ""], ["°C", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(rows), "a     b\nlong\n°C    x\n");
    }

    #[test]
    fn one_of_a_thing_is_no_plural() {
        assert_eq!([1, 2_000].map(|n| counted(n, "device")), ["1 device", "2 000 devices"]);
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        assert_eq!([0, 1_023, 1_536, 16 << 20, 5 << 30].map(size), ["0 B", "1023 B", "1.5 KiB", "16.0 MiB", "5.0 GiB"]);
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        // By `date --utc +%s%N`; leap days, the first and the last nanosecond.
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (-2_208_988_800_000_000_000, "1900-01-01T00:00:00.000000000Z"),
            (-2_203_891_200_000_000_000, "1900-03-01T00:00:00.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_795_272_586_123_456_789, "2026-11-21T14:49:46.123456789Z"),
        ] {
            assert_eq!(utc(EventTime(at)), text);
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn plain_style_adds_no_escape_sequences() {
        assert_eq!(Style::Plain.paint(Colour::Red, "no"), "no");
        assert_eq!(Style::Colour.paint(Colour::Red, "no"), "\x1b[31mno\x1b[0m");
    }

    #[test]
    fn the_ledger_says_of_each_row_whether_it_balances() {
        let cursor = Cursor { next: QueueSeq(9), delivered: 8, quarantined: 1, ..Cursor::default() };
        let row = LedgerRow {
            consumer: "file:lines".into(),
            log: Log::Raw,
            accepted: 12_345,
            queued: 12_336,
            dropped: 0,
            expired: 0,
            lost: 0,
            cursor,
            ahead: Vec::new(),
        };
        let bad = LedgerRow { queued: 0, ..row.clone() };
        let expected = "\
Loss ledger (records)
consumer    log         accepted    delivered  filtered     queued  expired  dropped  quarantined  duplicate  lost
file:lines  raw           12 345            8         0     12 336        0        0            1          0     0  balances
file:lines  raw           12 345            8         0          0        0        0            1          0     0  DOES NOT BALANCE
";
        assert_eq!(ledger_table(&[row, bad], Style::Plain), expected);
    }
}
