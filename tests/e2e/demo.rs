//! The front door: no broker, no Kafka, no InfluxDB, and yet everything real.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tests::gateway::Home;
use tests::process::Process;

/// History, live part and report, on a busy machine.
const END: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_at_least_four_of_five_faults_and_its_ledger_balances() -> Result<()> {
    let home = Home::new()?;
    let data_dir = home.data_dir().display().to_string();
    let args = ["demo", "--seconds", "30", "--seed", "7", "--http", "127.0.0.1:0", "--data-dir", &data_dir];
    let ended = Process::start("gateway", &args, &[])?.ended(END).await?;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let last =
        ended.stdout.lines().rev().find_map(|line| line.strip_prefix("demo: ")).context("no line `demo: {json}`")?;
    let report: Value = serde_json::from_str(last)?;
    let injected = report["injected"].as_u64().context("no number of injected faults")?;
    let found = report["found"].as_u64().context("no number of found faults")?;
    assert!(injected > 0, "{report}");
    assert!(found * 5 >= injected * 4, "{found} of {injected} faults found:\n{}", ended.stdout);
    assert_eq!(report["ledger_balances"], true, "{report}");
    Ok(())
}
