//! What an operator gets wrong, and what the gateway says about it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tests::config::GatewayConfig;
use tests::gateway::Home;
use tests::process::{Ended, Process};

const END: Duration = Duration::from_secs(30);

async fn gateway(args: &[&str]) -> Result<Ended> {
    Process::start("gateway", args, &[])?.ended(END).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_all_faults_of_a_file_with_their_lines_and_exits_with_2() -> Result<()> {
    let home = Home::new()?;
    let file =
        home.write("broken.toml", "[gateway]\nnmae = \"gw\"\n\n[http]\nbind = \"nowhere\"\n\n[[mqtt]]\nurl = 7\n")?;
    let ended = gateway(&["check", "--config", &file]).await?;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    for (place, word) in [("2:1", "name"), ("5:8", "nowhere"), ("8:7", "url")] {
        let named = ended.stderr.contains(place) && ended.stderr.contains(word);
        assert!(named, "{place} {word} is not named:\n{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named() -> Result<()> {
    let ended = gateway(&["run", "--config", "/nowhere/gateway.toml"]).await?;
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("/nowhere/gateway.toml"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_named() -> Result<()> {
    let busy = TcpListener::bind("127.0.0.1:0")?;
    let address = busy.local_addr()?.to_string();
    let home = Home::new()?;
    let config = home.config().listen_on(&address);
    let ended = gateway(&["run", "--config", &home.write("gateway.toml", config.as_str())?]).await?;
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_data_directory_is_named() -> Result<()> {
    let home = Home::new()?;
    // Below a file nobody can make a directory, not even root.
    let data_dir = Path::new(&home.write("file", "")?).join("data");
    let config = GatewayConfig::new(&data_dir).listen();
    let ended = gateway(&["run", "--config", &home.write("gateway.toml", config.as_str())?]).await?;
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains(&data_dir.display().to_string()), "{}", ended.stderr);
    Ok(())
}
