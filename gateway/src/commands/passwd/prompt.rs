//! A password from a terminal, typed twice without echo, or a line of standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::bail;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::interrupt::INTERRUPTED;

/// # Errors
/// Nothing can be read, or what was typed the second time differs.
pub(super) async fn password(name: &str) -> anyhow::Result<Vec<u8>> {
    if !io::stdin().is_terminal() {
        return Ok(line()?);
    }
    let silent = Silent::new()?;
    let first = asked(&silent, &format!("Password of {name:?}: ")).await?;
    if asked(&silent, "The same again: ").await? != first {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(first)
}

async fn asked(silent: &Silent, prompt: &str) -> anyhow::Result<Vec<u8>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    eprint!("{prompt}");
    io::stderr().flush()?;
    let typed = tokio::select! {
        typed = tokio::task::spawn_blocking(line) => typed??,
        _ = interrupt.recv() => {
            silent.end()?;
            eprintln!();
            // The thread that reads cannot be ended otherwise.
            std::process::exit(INTERRUPTED);
        }
    };
    eprintln!();
    Ok(typed)
}

/// One line without its end.
fn line() -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    io::stdin().lock().read_until(b'\n', &mut line)?;
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    line.truncate(end);
    Ok(line)
}

/// A terminal that does not show what is typed, until dropped.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }

    fn end(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Flush, &self.0)?)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "The terminal could not be set back; type `stty echo`.");
        }
    }
}
