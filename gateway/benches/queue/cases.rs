//! What is measured: each combination that gets a line in a table.

use std::fmt;
use std::path::Path;

use gateway::queue::{Config, EngineKind};

use crate::records::Payload;
use crate::{Options, Result, backlog, flow, segments, single};

const BATCHES: [u64; 3] = [256, 1_024, 4_096];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The yardstick.
    Segments { payload: Payload, batch: u64, records: u64 },
    /// Append, read along, advance: a healthy gateway.
    Flow { engine: EngineKind, payload: Payload, batch: u64, records: u64 },
    /// A sink that was away: fill, reopen, drain.
    Backlog { engine: EngineKind, records: u64 },
    /// One record a commit.
    Single { engine: EngineKind },
}

/// What one process does of a case, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The whole case.
    Once,
    /// Appends and closes.
    Fill,
    ReopenClosed,
    /// Appends a little more and is killed while it does.
    Kill,
    ReopenKilled,
    Drain,
}

pub(crate) fn all(options: &Options) -> Vec<Case> {
    let records = options.records;
    let mut cases = Vec::new();
    for payload in [Payload::Json, Payload::Random] {
        for batch in BATCHES {
            cases.push(Case::Segments { payload, batch, records });
            cases.extend(EngineKind::ALL.map(|engine| Case::Flow { engine, payload, batch, records }));
        }
    }
    for engine in EngineKind::ALL {
        cases.push(Case::Single { engine });
        cases.extend(options.backlogs.iter().map(|records| Case::Backlog { engine, records: *records }));
    }
    cases
}

impl Case {
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Self::Segments { .. } | Self::Flow { .. } | Self::Single { .. } => &[Step::Once],
            Self::Backlog { .. } => &[Step::Fill, Step::ReopenClosed, Step::Kill, Step::ReopenKilled, Step::Drain],
        }
    }

    pub(crate) fn run(self, step: Step, dir: &Path) -> Result<()> {
        match self {
            Self::Segments { payload, batch, records } => segments::run(dir, payload, batch, records),
            Self::Flow { engine, payload, batch, records } => flow::run(on(engine, dir), payload, batch, records),
            Self::Backlog { engine, records } => backlog::run(on(engine, dir), step, records),
            Self::Single { engine } => single::run(on(engine, dir)),
        }
    }

    /// The files that do the same work.
    pub(crate) fn yardstick(self) -> Option<Self> {
        match self {
            Self::Flow { payload, batch, records, .. } => Some(Self::Segments { payload, batch, records }),
            Self::Segments { .. } | Self::Backlog { .. } | Self::Single { .. } => None,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments { payload, batch, .. } => write!(f, "segment files, {payload}, {batch} a batch"),
            Self::Flow { engine, payload, batch, .. } => {
                write!(f, "queue on {}, {payload}, {batch} a batch", engine.name())
            }
            Self::Backlog { engine, records } => write!(f, "backlog on {}, {records} records", engine.name()),
            Self::Single { engine } => write!(f, "queue on {}, one record a commit", engine.name()),
        }
    }
}

fn on(engine: EngineKind, dir: &Path) -> Config {
    Config { engine, ..Config::new(dir) }
}
