//! SIGKILL at random moments: while opening, making and deleting generations, committing, and in between.

use std::time::Duration;

use gateway::queue::EngineKind;

use crate::child::WriterProcess;
use crate::job::{Consumers, Job};
use crate::oracle;
use crate::setting::{self, Chance};
use crate::told::Acked;

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment_on_sled() {
    survives_sigkill(EngineKind::Sled);
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment_on_redb() {
    survives_sigkill(EngineKind::Redb);
}

fn survives_sigkill(engine: EngineKind) {
    let mut chance = Chance::new();
    let dir = tempfile::tempdir().unwrap();
    let job = Job { engine, dir: dir.path().join("queue"), consumers: Consumers::Follow };
    let mut found = Acked::default();
    for round in 0..setting::rounds(12, 200) {
        let mut writer = WriterProcess::spawn(&job, dir.path().join("writer.log"));
        if chance.below(4) == 0 {
            // While it opens, or shortly after.
            writer.run_for(0, Duration::from_micros(chance.below(80_000)));
        } else {
            writer.run_for(1 + chance.below(150), Duration::from_micros(chance.below(10_000)));
        }
        let acked = writer.kill();
        found = oracle::judge(engine, &job.dir, &acked).unwrap_or_else(|fault| panic!("round {round}: {fault}"));
    }
    println!("{found:?}");
    assert!(found.ends[0] > 1_000, "only {} records in all rounds", found.ends[0]);
}
