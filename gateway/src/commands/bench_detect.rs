//! `gateway bench-detect`: how good detection is on made-up devices.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

use crate::bench::detect::{self, Settings};
use crate::cli::BenchDetectArgs;

/// # Errors
/// The table cannot be written.
pub fn run(args: &BenchDetectArgs) -> anyhow::Result<()> {
    let settings = Settings {
        seed: args.seed,
        devices: args.devices as usize,
        fast_devices: args.fast_devices as usize,
        days: args.days as usize,
        severities: args.severity.clone(),
        knobs: args.knob.clone(),
    };
    let started = Instant::now();
    let tally = detect::run(&settings, args.jobs as usize, progress);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{tally}took {:.0} s", started.elapsed().as_secs_f64())?;
    Ok(())
}

/// One line that is written over on a terminal; elsewhere a line for every tenth device.
fn progress(done: usize, of: usize) {
    if stderr().is_terminal() {
        eprint!("\r{done} of {of} devices");
        if done == of {
            eprintln!();
        }
    } else if done.is_multiple_of(10) || done == of {
        eprintln!("{done} of {of} devices");
    }
}
