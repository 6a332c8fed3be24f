//! SIGTERM in the middle of the stream: an orderly end, balanced books, and nothing is lost.

use anyhow::Result;
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::stack;

use crate::DELIVERY;

const PLAN: Plan = Plan { name: "term", seed: 51, devices: 10, messages: 9_000, messages_per_second: 3_000 };

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_with_exit_code_0_and_a_balanced_ledger_and_everything_is_delivered_after_a_restart() -> Result<()>
{
    let kafka = stack::kafka().await?;
    let influx = stack::bucket("term").await?;
    let home = Home::new()?;
    let config = home.config().listen().influx(influx.url(), &influx).kafka(kafka.bootstrap(), "term");
    let gateway = Gateway::start(&home, &config, influx.token()).await?;

    let fleet = Fleet::start(PLAN, home.listen());
    fleet.acked(PLAN.messages / 2).await?;
    let ended = gateway.terminate().await?;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("ledger") && said.contains("balances"), "the ledger is printed at the end:\n{said}");

    let _gateway = Gateway::start(&home, &config, influx.token()).await?;
    let sent = fleet.finish().await?;
    assert_eq!((sent.acked_total, sent.acked_out_of_order), (PLAN.messages, 0));
    let oracle = Oracle::new(&[&sent]);
    oracle.expect_in_influx(&influx, DELIVERY).await?;
    let in_kafka = oracle.expect_in_kafka(kafka.bootstrap(), "term.raw", DELIVERY).await?;
    assert_eq!(in_kafka.out_of_order, 0, "{in_kafka}");
    Ok(())
}
