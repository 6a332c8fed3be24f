//! The archive: each record once, whatever is killed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tests::archive::{self, Message, Records};
use tests::config::{TOKEN_ENV, cloud_sink};
use tests::eventually::eventually;
use tests::gateway::Home;
use tests::process::{Ended, Process};
use tests::{kafka, stack};

use crate::DELIVERY;

const PARTITIONS: i32 = 4;
/// Many small rolls: the least memory that is allowed, and a second.
const SMALL_ROLLS: &str = "max_bytes = 1048576\nmax_age_s = 1";

fn messages(number: usize) -> Vec<Message> {
    let message = |i: usize| {
        let device = format!("device-{}", i % 7);
        // Every hundredth is what no decoder reads.
        let payload = match i % 100 {
            99 => format!("{{\"n\":{i}"),
            _ => format!("{{\"n\":{i},\"text\":\"{}\"}}", "x".repeat(i % 50)),
        };
        Message { topic: format!("sensors/{device}/telemetry"), device, payload: payload.into_bytes(), decoder: None }
    };
    (0..number).map(message).collect()
}

/// A cloud-sink that archives under this name.
fn start(home: &Home, bootstrap: &str, prefix: &str, instance: &str, keys: &str) -> Result<Process> {
    let toml = archive::config(bootstrap, prefix, instance, &format!("{keys}\n{SMALL_ROLLS}"));
    let file = home.write(&format!("{instance}.toml"), &toml)?;
    let env = [("S3_ACCESS", stack::S3_ACCESS_KEY), ("S3_SECRET", stack::S3_SECRET_KEY)];
    Process::start("cloud-sink", &["run", "--config", &file, "--roles", "archive"], &env)
}

async fn rolls_stored(root: &Path, more: usize) -> Result<()> {
    let (before, _) = archive::progress(root)?;
    eventually("rolls in the archive", DELIVERY, async || {
        let (manifests, _) = archive::progress(root)?;
        ensure!(manifests >= before + more, "{manifests} of {} manifests", before + more);
        Ok(())
    })
    .await
}

async fn all_is_stored(root: &Path, topic: &str, sent: &Records) -> Result<()> {
    eventually("everything in the archive", DELIVERY, async || {
        let (_, rows) = archive::progress(root)?;
        ensure!(rows >= sent.len() as u64, "{rows} of {} rows", sent.len());
        archive::read(root, topic).map(drop)
    })
    .await?;
    let found = archive::read(root, topic)?;
    ensure!(found == *sent, "{} records found, {} sent", found.len(), sent.len());
    Ok(())
}

async fn terminate(mut process: Process) -> Result<Ended> {
    process.signal(Signal::TERM)?;
    let ended = process.ended(Duration::from_secs(30)).await?;
    ensure!(ended.status.success(), "{}", ended.status);
    Ok(ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_has_each_record_once_after_kills_and_with_a_second_process() -> Result<()> {
    let kafka = stack::kafka().await?;
    archive::create_topic(kafka.bootstrap(), "kept.raw", PARTITIONS).await?;
    let home = Home::new()?;
    let root = home.data_dir().join("archive");
    let keys = format!("url = \"file://{}\"", root.display());
    let one = || start(&home, kafka.bootstrap(), "kept", "one", &keys);

    let mut sink = one()?;
    let mut sent = archive::produce(kafka.bootstrap(), "kept.raw", &messages(8_000)).await?;
    for rolls in [1, 2, 1] {
        rolls_stored(&root, rolls).await?;
        sink.kill()?;
        sink = one()?;
    }
    let mut second = start(&home, kafka.bootstrap(), "kept", "two", &keys)?;
    sent.extend(archive::produce(kafka.bootstrap(), "kept.raw", &messages(6_000)).await?);
    rolls_stored(&root, 2).await?;
    sink.kill()?;
    sink = one()?;
    sent.extend(archive::produce(kafka.bootstrap(), "kept.raw", &messages(6_000)).await?);
    rolls_stored(&root, 2).await?;
    second.kill()?;
    // Its partitions come to the one that is left when its session ends.
    all_is_stored(&root, "kept.raw", &sent).await?;
    terminate(sink).await?;
    all_is_stored(&root, "kept.raw", &sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_on_s3_waits_for_its_store_and_has_each_record_once() -> Result<()> {
    let kafka = stack::kafka().await?;
    archive::create_topic(kafka.bootstrap(), "lake.raw", PARTITIONS).await?;
    let s3 = stack::S3::start().await?;
    let root = s3.bucket("lake")?.join("plant/a");
    let home = Home::new()?;
    let keys = format!(
        "url = \"s3://lake/plant/a\"\nendpoint = \"{}\"\naccess_key_env = \"S3_ACCESS\"\nsecret_key_env = \"S3_SECRET\"",
        s3.endpoint()
    );
    let one = || start(&home, kafka.bootstrap(), "lake", "one", &keys);

    let mut sink = one()?;
    let mut sent = archive::produce(kafka.bootstrap(), "lake.raw", &messages(3_000)).await?;
    rolls_stored(&root, 1).await?;
    s3.kill().await?;
    sent.extend(archive::produce(kafka.bootstrap(), "lake.raw", &messages(3_000)).await?);
    eventually("a word about the store", DELIVERY, async || {
        ensure!(sink.stderr().contains("Roll not stored."), "nothing is said");
        Ok(())
    })
    .await?;
    s3.start_again().await?;
    rolls_stored(&root, 1).await?;
    sink.kill()?;
    sink = one()?;
    all_is_stored(&root, "lake.raw", &sent).await?;
    terminate(sink).await?;
    Ok(())
}

/// Payloads of a decoder that is missing at first.
fn for_plant(number: usize) -> Vec<Message> {
    let topic = |i: usize| format!("plant/press-{}/state", i % 3);
    let message = |i: usize| {
        let payload = format!("{{\"ts\":{},\"bar\":{i}}}", 1_763_730_000_000_i64 + i as i64);
        Message { device: topic(i), topic: topic(i), payload: payload.into_bytes(), decoder: Some("plant/1") }
    };
    (0..number).map(message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_once_each_however_often_a_redrive_is_killed_and_repeated() -> Result<()> {
    const LETTERS: usize = 1_200;
    let kafka = stack::kafka().await?;
    let bootstrap = kafka.bootstrap();
    archive::create_topic(bootstrap, "mended.raw", PARTITIONS).await?;
    let bucket = stack::bucket("mended").await?;
    let home = Home::new()?;
    let without = cloud_sink(bootstrap, "mended", &bucket)?;
    let with = format!("{without}\n[[decode]]\nid = \"plant\"\ntopic = \"plant/{{device}}/state\"\n");
    let file = home.write("cloud-sink.toml", &without)?;
    let env = [(TOKEN_ENV, bucket.token())];
    let run = || Process::start("cloud-sink", &["run", "--config", &file], &env);
    let ask = async |verb: &[&str]| -> Result<String> {
        let args = [&["dead-letters"][..], verb, &["--config", file.as_str()][..]].concat();
        let ended = Process::start("cloud-sink", &args, &env)?.ended(DELIVERY).await?;
        ensure!(ended.status.success(), "{verb:?}: {}", ended.stderr);
        Ok(ended.stdout)
    };

    let mut sink = run()?;
    let mut all = for_plant(LETTERS);
    let poison = Message { payload: b"{\"bar\":".to_vec(), decoder: None, ..all[0].clone() };
    all.push(poison);
    let sent = archive::produce(bootstrap, "mended.raw", &all).await?;
    eventually("all dead letters", DELIVERY, async || {
        let letters = kafka::count(bootstrap, "mended.dead-letters")?;
        ensure!(letters == sent.len() as u64, "{letters} of {} letters", sent.len());
        Ok(())
    })
    .await?;
    sink.kill()?;
    home.write("cloud-sink.toml", &with)?;
    let mut sink = run()?;

    let listed = ask(&["list", "--json", "--limit", "10"]).await?;
    ensure!(listed.lines().count() == 10 && listed.contains("\"reason\":\"decoder_unknown\""), "{listed}");
    let told = ask(&["redrive", "--dry-run"]).await?;
    ensure!(told.starts_with(&format!("would redrive {}\n", sent.len())), "{told}");
    ensure!(kafka::count(bootstrap, "mended.raw")? == sent.len() as u64, "a dry run sends nothing");

    let args = ["dead-letters", "redrive", "--reason", "decoder_unknown", "--config", &file];
    for more in [1, 300] {
        let mut killed = Process::start("cloud-sink", &args, &env)?;
        let before = kafka::count(bootstrap, "mended.raw")?;
        eventually("letters on their way, or all of them there", DELIVERY, async || {
            let records = kafka::count(bootstrap, "mended.raw")?;
            let is_there = records >= before + more || killed.still_running().is_err();
            ensure!(is_there, "{records} of {} records", before + more);
            Ok(())
        })
        .await?;
        // It may have finished just before: then the next finds nothing to do, which is right, too.
        if killed.still_running().is_ok() {
            killed.kill()?;
        }
    }
    ask(&["redrive", "--reason", "decoder_unknown"]).await?;
    let told = ask(&["redrive", "--reason", "decoder_unknown"]).await?;
    ensure!(told.starts_with("redrove 0\n") && told.contains("were redriven before"), "{told}");
    ensure!(told.contains("1 are of other reasons"), "{told}");
    let listed = ask(&["list", "--limit", "5000"]).await?;
    ensure!(listed.matches("(redriven)").count() == LETTERS, "{} are marked", listed.matches("(redriven)").count());

    eventually("points in InfluxDB", DELIVERY, async || {
        let points = bucket.count("sensor", "bar").await?;
        ensure!(points == LETTERS as u64, "{points} of {LETTERS} points");
        Ok(())
    })
    .await?;
    let committed = kafka::read_committed(bootstrap, "mended.raw")?;
    let copies = |message: &Message| committed.iter().filter(|entry| entry.value == message.payload).count();
    let wrong = for_plant(LETTERS).iter().filter(|message| copies(message) != 2).count();
    ensure!(wrong == 0, "{wrong} records are there more or less than twice");
    let again = committed.iter().rfind(|entry| entry.value == all[0].payload).context("the redriven record")?;
    let first = committed.iter().find(|entry| entry.value == all[0].payload);
    ensure!(Some(again) == first, "bytes, key and headers are the original ones: {again:?}");
    sink.still_running()
}
