//! Logging: human on a terminal, JSON lines otherwise, always to stderr, so that stdout belongs to the command.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::cli::{LogArgs, LogFormat};

/// Crates whose `info` and `debug` tell nothing about the gateway; a directive of the user's wins over each.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,reqwest=warn,rumqttc=warn,rustls=warn,tower=warn";

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "log level {directives:?} cannot be used: {source}\n  hint: write a level such as `debug`, or `info,gateway::queue=debug`"
    )]
    Directives { directives: String, source: ParseError },
    #[error("log is already set up")]
    AlreadySet(#[from] TryInitError),
}

/// Sets up the log of this process, at `default_level` unless the user named one. Call it once, before anything else.
///
/// # Errors
/// The directives cannot be read, or there is a log already.
pub fn init(args: &LogArgs, default_level: &str) -> Result<(), Error> {
    let filter = filter(args.log_level.as_deref().unwrap_or(default_level))?;
    let on_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if is_human(args.log_format, on_terminal) {
        builder.with_ansi(has_colours(on_terminal, std::env::var_os("NO_COLOR").as_deref())).finish().try_init()?;
    } else {
        builder.json().flatten_event(true).finish().try_init()?;
    }
    Ok(())
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(format!("{QUIET},{directives}"))
        .map_err(|source| Error::Directives { directives: directives.to_owned(), source })
}

fn is_human(format: LogFormat, on_terminal: bool) -> bool {
    match format {
        LogFormat::Auto => on_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// See <https://no-color.org>: any value that is not empty switches colours off.
fn has_colours(on_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
    on_terminal && no_color.is_none_or(std::ffi::OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_log_is_human_on_a_terminal_and_json_elsewhere_unless_told_otherwise() {
        assert!(is_human(LogFormat::Auto, true) && !is_human(LogFormat::Auto, false));
        assert!(is_human(LogFormat::Human, false) && !is_human(LogFormat::Json, true));
    }

    #[test]
    fn colours_need_a_terminal_and_no_objection() {
        assert!(has_colours(true, None) && has_colours(true, Some(OsStr::new(""))));
        assert!(!has_colours(false, None) && !has_colours(true, Some(OsStr::new("1"))));
    }

    #[test]
    fn noisy_crates_are_quiet_until_the_user_names_them() {
        let shown = |directives| filter(directives).expect("valid").to_string();
        assert!(shown("debug").contains("hyper=warn") && shown("debug").contains("debug"));
        assert!(shown("debug,hyper=trace").contains("hyper=trace"));
        assert!(!shown("debug,hyper=trace").contains("hyper=warn"));
    }

    #[test]
    fn directives_that_cannot_be_read_are_an_error_with_a_hint() {
        let error = filter("gateway=loud").expect_err("no such level").to_string();
        assert!(error.contains("\"gateway=loud\"") && error.contains("hint:"), "{error}");
    }
}
