//! `gateway queue inspect`: what is in a queue, as tables or as JSON.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Place, clock_map, span, span_counted, unless_closed};
use crate::cli::InspectArgs;
use crate::clock::{ClockMap, Stamp};
use crate::queue::offline::{GenerationView, HeldView, Inspection, Standing, WatermarkView};
use crate::queue::{Block, LedgerRow, Log, Run};
use crate::text::{Colour, Style, counted, grouped, ledger_table, size, utc};

/// # Errors
/// The queue cannot be read.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    let queue = place.open()?;
    let seen = Seen {
        inspection: queue.inspect()?,
        budget_bytes: place.decoder.is_some().then_some(place.settings.max_bytes),
        clock: clock_map(&queue),
        now_ms: super::super::now_ms(),
    };
    let text = if args.json { format!("{:#}\n", seen.json()) } else { seen.tables(Style::of_stdout()) };
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

struct Seen {
    inspection: Inspection,
    budget_bytes: Option<u64>,
    clock: ClockMap,
    now_ms: i64,
}

impl Seen {
    fn tables(&self, style: Style) -> String {
        let i = &self.inspection;
        let mut text = format!("{}\n", style.paint(Colour::Bold, &format!("Queue {}", i.dir.display())));
        text += &format!("{} on disk", size(i.disk_bytes));
        if let Some(budget) = self.budget_bytes {
            let share = i.disk_bytes as f64 * 100.0 / budget.max(1) as f64;
            text += &format!(", {share:.1} % of its budget of {}", size(budget));
        }
        text += &format!("; block format {}\n", Block::FORMAT);
        text += &match &i.watermark {
            WatermarkView::Missing => {
                "Watermark: MISSING, so nobody can tell whether the newest records are lost\n".to_owned()
            }
            WatermarkView::Unreadable => {
                "Watermark: UNREADABLE, so nobody can tell whether the newest records are lost\n".to_owned()
            }
            WatermarkView::Found { ends, oldest, newest_generation } => format!(
                "Watermark: raw from {} to {}, derived from {} to {}; generation {newest_generation} in use\n",
                oldest[0].0, ends[0].0, oldest[1].0, ends[1].0
            ),
        };
        let heading = |text: &str| format!("\n{}\n", style.paint(Colour::Bold, text));
        text += &heading("Logs (records)");
        for log in Log::ALL {
            let view = &i.logs[log as usize];
            let count = |runs: &[Run]| grouped(runs.iter().map(|r| r.count()).sum());
            text += &format!(
                "{:<7}  {:>11}  from {} to {}; booked as lost {}, missing {}\n",
                log.name(),
                grouped(view.records),
                view.run.first.0,
                view.run.end.0,
                count(&view.lost_before),
                count(&view.missing)
            );
        }
        text += &heading(&format!("Generations ({})", i.generations.len()));
        i.generations.iter().for_each(|g| text += &self.generation(g));
        text += &heading("Cursors (next sequence)");
        for LedgerRow { consumer, log, cursor, ahead, .. } in &i.ledger {
            let ahead: Vec<String> = ahead.iter().map(|run| format!("{}–{}", run.first.0, run.end.0 - 1)).collect();
            let settled = if ahead.is_empty() { String::new() } else { format!("  and {} settled", ahead.join(", ")) };
            text += &format!("{consumer}  {}  {}{settled}\n", log.name(), cursor.next.0);
        }
        text += &format!("\n{}", ledger_table(&i.ledger, style));
        self.losses(&mut text);
        text += &heading("State of stages");
        text += &self.states();
        for annex in &i.annexes {
            text += &format!("{}  {} on disk, beside the generations\n", annex.name, size(annex.disk_bytes));
        }
        if !i.quarantine.is_empty() {
            text += &heading("Set aside, because it could not be read");
            for set_aside in &i.quarantine {
                text += &format!("{}  {}\n", relative(&set_aside.path, &i.dir), size(set_aside.disk_bytes));
            }
        }
        text
    }

    fn generation(&self, g: &GenerationView) -> String {
        let mut text = format!("{}  {:<5} {:>10}", g.name, g.engine, size(g.disk_bytes));
        match &g.standing {
            Standing::Newest | Standing::Older => {}
            Standing::Unopenable(reason) => text += &format!("  CANNOT BE OPENED: {reason}"),
            Standing::Unknown => text += "  not part of the queue: the newest generation knows nothing of it",
            Standing::HalfMade => text += "  half-made: nothing in it was acknowledged",
        }
        for (log, held) in Log::ALL.into_iter().zip(&g.held) {
            let Some(run) = held.run else { continue };
            let records = counted(held.records, "record");
            text += &format!("  {} {}, {records}, {}", log.name(), span(run), size(held.bytes));
            if let Some(age_s) = self.age_s(held) {
                text += &format!(", newest {} old", age(age_s));
            }
            text.push(';');
        }
        text.truncate(text.trim_end_matches(';').len());
        text + "\n"
    }

    /// Stages name their states as paths: one line for all of a stage.
    fn states(&self) -> String {
        let mut stages: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut damaged = String::new();
        for state in &self.inspection.states {
            let stage = state.name.split('/').next().unwrap_or_default();
            let (count, bytes) = stages.entry(stage).or_default();
            *count += 1;
            *bytes += state.bytes.unwrap_or_default();
            if state.bytes.is_none() {
                damaged += &format!("{}  DAMAGED\n", state.name);
            }
        }
        let line = |(stage, (count, bytes)): (&str, (u64, u64))| {
            format!("{stage}  {}, {}\n", counted(count, "value"), size(bytes))
        };
        stages.into_iter().map(line).collect::<String>() + &damaged
    }

    fn losses(&self, text: &mut String) {
        for log in Log::ALL {
            let view = &self.inspection.logs[log as usize];
            for run in &view.lost_before {
                *text += &format!("booked as lost: {} {}\n", log.name(), span_counted(*run));
            }
            for run in &view.missing {
                *text += &format!("missing: {} {}\n", log.name(), span_counted(*run));
            }
        }
    }

    fn age_s(&self, held: &HeldView) -> Option<u64> {
        let at_ms = self.clock.resolve_known(held.newest?)?.0 / 1_000_000;
        Some((self.now_ms - at_ms).max(0).unsigned_abs() / 1_000)
    }

    fn json(&self) -> Value {
        let i = &self.inspection;
        let run = |run: &Run| json!({"first": run.first.0, "end": run.end.0, "records": run.count()});
        let runs = |list: &[Run]| list.iter().map(run).collect::<Vec<_>>();
        let by_log = |f: &dyn Fn(Log) -> Value| {
            Value::Object(Log::ALL.into_iter().map(|log| (log.name().to_owned(), f(log))).collect())
        };
        let log = |log: Log| {
            let view = &i.logs[log as usize];
            json!({
                "oldest": view.run.first.0,
                "end": view.run.end.0,
                "records": view.records,
                "booked_as_lost": runs(&view.lost_before),
                "missing": runs(&view.missing),
            })
        };
        let generation = |g: &GenerationView| {
            let (standing, reason) = match &g.standing {
                Standing::Newest => ("newest", None),
                Standing::Older => ("older", None),
                Standing::Unopenable(reason) => ("unopenable", Some(reason)),
                Standing::Unknown => ("unknown", None),
                Standing::HalfMade => ("half_made", None),
            };
            let held = |log: Log| {
                let held = &g.held[log as usize];
                json!({
                    "records": held.records,
                    "first": held.run.map(|r| r.first.0),
                    "end": held.run.map(|r| r.end.0),
                    "stored_bytes": held.bytes,
                    "newest_received_at": held.newest.and_then(|stamp: Stamp| self.clock.resolve_known(stamp)).map(utc),
                    "newest_age_s": self.age_s(held),
                })
            };
            json!({
                "name": g.name,
                "engine": g.engine,
                "standing": standing,
                "reason": reason,
                "disk_bytes": g.disk_bytes,
                "logs": by_log(&held),
            })
        };
        let watermark = match &i.watermark {
            WatermarkView::Missing => json!({"state": "missing"}),
            WatermarkView::Unreadable => json!({"state": "unreadable"}),
            WatermarkView::Found { ends, oldest, newest_generation } => json!({
                "state": "found",
                "newest_generation": newest_generation,
                "logs": by_log(&|log| json!({"oldest": oldest[log as usize].0, "end": ends[log as usize].0})),
            }),
        };
        json!({
            "dir": i.dir,
            "block_format": Block::FORMAT,
            "disk_bytes": i.disk_bytes,
            "budget_bytes": self.budget_bytes,
            "watermark": watermark,
            "logs": by_log(&log),
            "generations": i.generations.iter().map(generation).collect::<Vec<_>>(),
            "ledger": i.ledger.iter().map(ledger_row).collect::<Vec<_>>(),
            "states": i.states.iter().map(|s| json!({"name": s.name, "bytes": s.bytes})).collect::<Vec<_>>(),
            "annexes": i.annexes.iter().map(|a| json!({"name": a.name, "disk_bytes": a.disk_bytes})).collect::<Vec<_>>(),
            "quarantine": i.quarantine.iter().map(|q| {
                json!({"path": relative(&q.path, &i.dir), "disk_bytes": q.disk_bytes})
            }).collect::<Vec<_>>(),
        })
    }
}

fn ledger_row(row: &LedgerRow) -> Value {
    json!({
        "consumer": row.consumer,
        "log": row.log.name(),
        "next": row.cursor.next.0,
        "ahead": row.ahead.iter().map(|run| [run.first.0, run.end.0]).collect::<Vec<_>>(),
        "accepted": row.accepted,
        "delivered": row.cursor.delivered,
        "filtered": row.cursor.filtered,
        "queued": row.queued,
        "expired": row.expired,
        "dropped": row.dropped,
        "quarantined": row.cursor.quarantined,
        "duplicate": row.cursor.duplicate,
        "lost": row.lost,
        "balances": row.balances(),
    })
}

fn relative(path: &Path, dir: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

/// In its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}
