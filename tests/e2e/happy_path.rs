//! Everything is up: both doors in, both sinks and cloud-sink out.

use anyhow::Result;
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::fleet::{Fleet, Plan};
use tests::gateway::{Gateway, Home};
use tests::oracle::Oracle;
use tests::process::Process;
use tests::stack::{self, Mosquitto};

use crate::DELIVERY;

const BY_BROKER: Plan = Plan { name: "by-broker", seed: 11, devices: 10, messages: 5_000, messages_per_second: 1_000 };
const BY_LISTEN: Plan = Plan { name: "by-listen", seed: 12, devices: 10, messages: 5_000, messages_per_second: 1_000 };

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_both_doors_reach_influxdb_and_kafka_and_through_cloud_sink_a_second_bucket() -> Result<()> {
    let (broker, kafka) = (Mosquitto::start().await?, stack::kafka().await?);
    let (direct, through_kafka) = (stack::bucket("happy-direct").await?, stack::bucket("happy-through-kafka").await?);
    let home = Home::new()?;
    let config = home.config().broker(broker.address()).listen();
    let config = config.influx(direct.url(), &direct).kafka(kafka.bootstrap(), "happy");
    let gateway = Gateway::start(&home, &config, direct.token()).await?;
    let sink_file = home.write("cloud-sink.toml", &cloud_sink(kafka.bootstrap(), "happy", &through_kafka)?)?;
    let sink = ["run", "--config", &sink_file];
    let _cloud_sink = Process::start("cloud-sink", &sink, &[(TOKEN_ENV, through_kafka.token())])?;

    gateway.subscribed(&broker.target()).await?;
    let (by_broker, by_listen) = (Fleet::start(BY_BROKER, broker.target()), Fleet::start(BY_LISTEN, home.listen()));
    let (by_broker, by_listen) = (by_broker.finish().await?, by_listen.finish().await?);
    assert_eq!((by_broker.acked_total, by_listen.acked_total), (BY_BROKER.messages, BY_LISTEN.messages));
    assert_eq!((by_broker.connections_lost, by_listen.connections_lost), (0, 0));
    assert_eq!(by_listen.acked_out_of_order, 0, "PUBACKs come in the order of the PUBLISHes");

    let oracle = Oracle::new(&[&by_broker, &by_listen]);
    let verdicts = [
        oracle.expect_in_influx(&direct, DELIVERY).await?,
        oracle.expect_in_kafka(kafka.bootstrap(), "happy.raw", DELIVERY).await?,
        oracle.expect_in_influx(&through_kafka, DELIVERY).await?,
    ];
    for verdict in verdicts {
        assert_eq!((verdict.repeats, verdict.out_of_order), (0, 0), "nothing went wrong, so once is once: {verdict}");
    }
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.count("gateway_ingest_messages_total", &["door=\"listen\""])?, BY_LISTEN.messages);
    assert_eq!(metrics.count("gateway_ingest_acks_total", &["door=\"listen\""])?, BY_LISTEN.messages);
    Ok(())
}
