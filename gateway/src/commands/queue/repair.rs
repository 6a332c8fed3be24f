//! `gateway queue repair`: writes a new queue with every record that can be read or salvaged.

use std::io::Write;
use std::path::Path;

use super::progress::Told;
use super::{Place, span_counted, unless_closed};
use crate::cli::RepairArgs;
use crate::queue::Log;
use crate::queue::offline::Repaired;
use crate::text::{Style, counted, ledger_table};

/// # Errors
/// The new directory is not empty, or the machine refuses to read or write.
pub(super) fn run(args: &RepairArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    let engine = args.engine.map_or(place.settings.engine, Into::into);
    let queue = place.open()?;
    let mut told = Told::new()?;
    let repaired =
        queue.repair(&args.out, engine, place.settings.generation_max_bytes, &mut |progress| told.tell(progress))?;
    drop(told);
    let text = report(&repaired, &place.settings.dir, &args.out);
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

fn report(repaired: &Repaired, from: &Path, to: &Path) -> String {
    let both = |records: [u64; 2]| {
        format!("{} and {}", counted(records[0], "raw record"), counted(records[1], "derived record"))
    };
    let mut text = format!("{}: {}\n", to.display(), both(repaired.records));
    if repaired.salvaged != [0; 2] {
        text += &format!("salvaged from damaged files: {}\n", both(repaired.salvaged));
    }
    if repaired.found_again != [0; 2] {
        text += &format!("booked as lost before and found again: {}\n", both(repaired.found_again));
    }
    for log in Log::ALL {
        for run in &repaired.lost[log as usize] {
            text += &format!("lost: {} {}\n", log.name(), span_counted(*run));
        }
        for run in &repaired.lost_before[log as usize] {
            text += &format!("lost before: {} {}\n", log.name(), span_counted(*run));
        }
    }
    if repaired.is_at_least {
        text += "lost: perhaps more, for without a watermark nobody knows how much there was\n";
    }
    text += &match (repaired.is_state_older, repaired.states) {
        (true, 0) => "state of stages is lost: they begin anew, and times of receipt are unknown\n".to_owned(),
        (true, states) => format!("state of stages: {} of an earlier moment taken over\n", counted(states, "value")),
        (false, states) => format!("state of stages: {} taken over\n", counted(states, "value")),
    };
    for name in &repaired.states_lost {
        text += &format!("state `{name}` is damaged and was not taken over: its stage begins anew\n");
    }
    for (consumer, log, by) in &repaired.corrected {
        text += &format!("ledger of {consumer}, {}: lost corrected by {by:+} records\n", log.name());
    }
    text += &format!("\n{}\n", ledger_table(&repaired.ledger, Style::of_stdout()));
    let (from, to) = (from.display(), to.display());
    text += &format!("{from} is as it was. To go on with the new queue: mv {from} {from}.damaged && mv {to} {from}\n");
    text
}
