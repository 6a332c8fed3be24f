//! `gateway queue verify`: reads every block and tells what is damaged, and which records are missing.

use std::io::Write;

use anyhow::bail;

use super::progress::Told;
use super::{Place, span_counted, unless_closed};
use crate::cli::VerifyArgs;
use crate::queue::Log;
use crate::queue::offline::{Checked, Standing, Verdict, WatermarkView};
use crate::text::{counted, size};

const HINT: &str = "`gateway queue repair OUT_DIR` writes a new queue with all that can be read or salvaged";

/// # Errors
/// Damage was found, or the queue cannot be read.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    let queue = place.open()?;
    let mut told = Told::new()?;
    let verdict = queue.verify(&mut |progress| told.tell(progress))?;
    drop(told);
    unless_closed(write!(std::io::stdout().lock(), "{}", report(&verdict)))?;
    if verdict.is_sound() {
        return Ok(());
    }
    let at_least = if verdict.is_at_least { "at least " } else { "" };
    bail!("queue is damaged, {at_least}{} missing\nhint: {HINT}", counted(verdict.records_missing(), "record"));
}

fn report(verdict: &Verdict) -> String {
    let mut text = match &verdict.watermark {
        WatermarkView::Found { .. } => "watermark  sound\n".to_owned(),
        WatermarkView::Missing => "watermark  MISSING: whether the newest records are lost cannot be told\n".to_owned(),
        WatermarkView::Unreadable => {
            "watermark  UNREADABLE: whether the newest records are lost cannot be told\n".to_owned()
        }
    };
    verdict.generations.iter().for_each(|checked| text += &generation(checked));
    for name in &verdict.flawed_states {
        text += &format!("state `{name}`  DAMAGED\n");
    }
    for log in Log::ALL {
        for run in &verdict.missing[log as usize] {
            text += &format!("missing: {} {}\n", log.name(), span_counted(*run));
        }
        for run in &verdict.lost_before[log as usize] {
            text += &format!("booked as lost before: {} {}\n", log.name(), span_counted(*run));
        }
    }
    if verdict.is_sound() {
        text += "sound\n";
    }
    text
}

fn generation(checked: &Checked) -> String {
    let name = format!("gen-{:08}", checked.number);
    let state = match &checked.standing {
        Standing::Newest | Standing::Older if checked.is_sound() => "sound".to_owned(),
        Standing::Newest | Standing::Older => "DAMAGED".to_owned(),
        Standing::Unopenable(reason) => format!("CANNOT BE OPENED: {reason}"),
        Standing::Unknown => "not part of the queue: the newest generation knows nothing of it".to_owned(),
        Standing::HalfMade => "half-made: nothing in it was acknowledged".to_owned(),
    };
    let mut text = format!("{name}  {state}");
    if matches!(checked.standing, Standing::Newest | Standing::Older) {
        let [raw, derived] = checked.records;
        let (raw, derived) = (counted(raw, "raw record"), counted(derived, "derived record"));
        text += &format!(", {raw} and {derived} in {}, {}", counted(checked.blocks, "block"), size(checked.bytes));
    }
    text.push('\n');
    if let Some(reason) = &checked.broken {
        text += &format!("  cannot be read on: {reason}\n");
    }
    for (log, run, flaw) in &checked.flaws {
        text += &format!("  block {} {}: {flaw}\n", log.name(), span_counted(*run));
    }
    for log in Log::ALL {
        for run in &checked.missing[log as usize] {
            text += &format!("  missing: {} {}\n", log.name(), span_counted(*run));
        }
    }
    text
}
