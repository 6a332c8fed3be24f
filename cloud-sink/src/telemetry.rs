//! Logs: text on a terminal, JSON lines otherwise; on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// # Errors
/// The filter is malformed, or logging was set up before.
pub fn init(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if std::io::stderr().is_terminal() {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    set.map_err(|e| anyhow::anyhow!(e))
}
