//! The loss ledger as a table for people.

use std::fmt::Write;

use crate::queue::LedgerRow;

/// One line per consumer and log; the last column says whether the books balance.
pub fn table(rows: &[LedgerRow]) -> String {
    let mut out = String::from("Loss ledger (records): accepted = delivered + queued + expired + dropped + quarantined + duplicate + lost\n");
    let width = rows.iter().map(|r| r.consumer.len()).max().unwrap_or(0).max("consumer".len());
    let head = ["accepted", "delivered", "queued", "expired", "dropped", "quarantined", "duplicate", "lost"];
    write!(out, "{:<width$}  {:<7}", "consumer", "log").expect("a String takes all text");
    for title in head {
        write!(out, "  {title:>11}").expect("a String takes all text");
    }
    out.push_str("  balance\n");
    for row in rows {
        let c = &row.cursor;
        write!(out, "{:<width$}  {:<7}", row.consumer, row.log.name()).expect("a String takes all text");
        for n in [row.accepted, c.delivered, row.queued, c.expired, c.dropped, c.quarantined, c.duplicate, row.lost] {
            write!(out, "  {n:>11}").expect("a String takes all text");
        }
        out.push_str(if row.balances() { "  ok\n" } else { "  WRONG\n" });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Cursor, Log, QueueSeq};

    #[test]
    fn a_row_that_does_not_add_up_is_called_wrong() {
        let cursor = Cursor { next: QueueSeq(7), delivered: 6, quarantined: 1, ..Cursor::default() };
        let good = LedgerRow { consumer: "influx".into(), log: Log::Raw, accepted: 10, queued: 3, lost: 0, cursor };
        let bad = LedgerRow { accepted: 11, log: Log::Derived, ..good.clone() };
        let table = table(&[good, bad]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[2].ends_with("ok"), "{table}");
        assert!(lines[3].ends_with("WRONG"), "{table}");
    }
}
