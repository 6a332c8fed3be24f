//! Prints check sums of what detection computes: run on two processors, it prints the same.
//!
//! ```text
//! gateway-bits MODELS              features of windows, and what the engine says of a day, given these models
//! gateway-bits --each MODELS       of each window and anomaly by itself
//! gateway-bits --learn MODELS      learns those models, and writes them
//! ```

#![allow(dead_code, unused_imports, reason = "the gateway uses more of these modules than is printed here")]

mod clock;
#[path = "../../../src/detect/"]
mod detect {
    //! The gateway's own sources, without the thread that reads the queue: each module stands where it stands there.

    mod appended;
    mod baseline;
    mod calendar;
    mod config;
    mod detector;
    mod engine;
    mod explain;
    mod features;
    mod finding;
    mod groups;
    mod history;
    mod incident;
    mod judge;
    mod linalg;
    mod maha;
    mod mixture;
    mod model;
    mod novel;
    mod order;
    mod past;
    mod rows;
    mod rules;
    mod state;
    mod stored;
    pub(crate) mod synthetic;
    mod tail;
    mod vibration;
    mod watermark;
    mod window_id;
    mod windows;
    #[path = "features/golden.rs"]
    mod golden;
    #[path = "."]
    mod fast {
        //! What a window of a fast channel keeps, without the rest of the operator.

        mod features;
        mod order;
        pub(super) mod windows {
            mod chunk;
            mod content;
            pub(in crate::detect) mod golden;
            mod room;
            mod samples;
            mod seconds;
        }
    }

    pub(crate) use config::Config;
    pub(crate) use engine::{Changes, Due, Engine, StateSource};
    pub(crate) use past::{ChunkName, ChunkRange, InMemory, Past, PastChanges};
    pub(crate) use novel::{Novel, Spacing, Threshold as NovelThreshold, View as NovelView};
    pub(crate) use window_id::WindowId;
    pub(crate) use windows::REVISE_AFTER;

    pub(crate) fn feature_lines() -> Vec<String> {
        [golden::lines(), fast::windows::golden::lines()].concat()
    }
}
#[path = "../../../src/queue/"]
mod queue {
    //! Cursors and sequences of the gateway's queue, which detection counts with.

    mod cursor;
    mod record;
    mod runs;
    mod varint;

    pub(crate) use cursor::{Cursor, LedgerRow};
    pub(crate) use record::{Log, QueueSeq};
}
mod scores;
#[path = "../../../src/text.rs"]
mod text;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--learn", models] => std::fs::write(models, scores::learn()?)?,
        ["--each", models] => print(scores::lines(&std::fs::read(models)?, true)?),
        [models] => {
            print(detect::feature_lines());
            print(scores::lines(&std::fs::read(models)?, false)?);
        }
        _ => return Err("usage: gateway-bits [--learn | --each] MODELS".into()),
    }
    Ok(())
}

fn print(lines: Vec<String>) {
    lines.iter().for_each(|line| println!("{line}"));
}
