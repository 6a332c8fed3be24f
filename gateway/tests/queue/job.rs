//! What a writer is to do; it may do so in a process of its own, which finds its job in environment variables.

use std::path::PathBuf;

use gateway::queue::EngineKind;

#[cfg(doc)]
use crate::workload::AUDITOR;

/// What the consumers do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumers {
    /// They follow closely, so that generations are deleted, too.
    Follow,
    /// They are there and stay where they are, and [`AUDITOR`] joins them.
    Hold,
    /// Detection follows; the sink stays where it is until it is told to go on.
    AwaitOrders,
}

impl Consumers {
    const ALL: [Self; 3] = [Self::Follow, Self::Hold, Self::AwaitOrders];
}

pub(crate) struct Job {
    pub(crate) engine: EngineKind,
    pub(crate) dir: PathBuf,
    pub(crate) consumers: Consumers,
}

const ENGINE_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_ENGINE";
const DIR_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_DIR";
const CONSUMERS_VARIABLE: &str = "GATEWAY_QUEUE_WRITER_CONSUMERS";

impl Job {
    /// For a child process.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 3] {
        [
            (ENGINE_VARIABLE, self.engine.name().into()),
            (DIR_VARIABLE, self.dir.clone()),
            (CONSUMERS_VARIABLE, format!("{:?}", self.consumers).into()),
        ]
    }

    /// `None` if this process is not a child.
    pub(crate) fn from_variables() -> Option<Self> {
        let name = std::env::var(ENGINE_VARIABLE).ok()?;
        let engine = EngineKind::ALL.into_iter().find(|e| e.name() == name).expect("the parent knows its engines");
        let dir = std::env::var_os(DIR_VARIABLE).expect("set together").into();
        let consumers = std::env::var(CONSUMERS_VARIABLE).expect("set together");
        let consumers = Consumers::ALL.into_iter().find(|c| format!("{c:?}") == consumers).expect("one of them");
        Some(Self { engine, dir, consumers })
    }
}
