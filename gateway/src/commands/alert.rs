//! `gateway alert …`: tries out the channels that people are alerted by. The gateway may run meanwhile.

use anyhow::anyhow;

use crate::alert;
use crate::cli::{AlertTestArgs, AlertVerb};
use crate::config::{Config, Overrides};

/// # Errors
/// Faults of the configuration, a channel that is not there, or what the other side said.
pub async fn run(verb: AlertVerb) -> anyhow::Result<()> {
    match verb {
        AlertVerb::Test(args) => test(&args).await,
    }
}

async fn test(args: &AlertTestArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.config, &Overrides::from_args(&args.config))?;
    let Some(channel) = config.alerts.iter().find(|channel| channel.name == args.channel) else {
        let names: Vec<&str> = config.alerts.iter().map(|channel| channel.name.as_str()).collect();
        let hint = match names.is_empty() {
            true => "add an [[alert]] table".to_owned(),
            false => format!("the channels are {}", names.join(", ")),
        };
        return Err(anyhow!("there is no alert channel {:?}\nhint: {hint}", args.channel));
    };
    let (name, kind) = (&channel.name, channel.target.kind());
    match alert::test(channel, &config.alert_sender()).await {
        Ok(said) => {
            println!("{name} ({kind}): taken: {said}");
            Ok(())
        }
        Err(reason) => Err(anyhow!("{name} ({kind}) did not take the message: {reason}")),
    }
}
