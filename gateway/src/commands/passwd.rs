//! `gateway passwd`: adds a user to a users file, changes a password, or takes a user out.

mod file;
mod prompt;

use anyhow::{Context, bail};

use crate::cli::PasswdArgs;
use crate::ingest::access::{passwords, users};

/// Nobody types more; a longer one is a file in the wrong place.
const PASSWORD_MAX_BYTES: usize = 1024;

/// # Errors
/// A name or password that cannot be used, or a file that cannot be read or written.
pub async fn run(args: &PasswdArgs) -> anyhow::Result<()> {
    let name = &args.name;
    users::check_name(name).map_err(|fault| anyhow::anyhow!("{name:?} cannot be a user's name: {fault}"))?;
    let hash = if args.delete { None } else { Some(hashed(prompt::password(name).await?)?) };
    let path = args.file.clone();
    let file = file::Locked::open(&path)?;
    // A file with a fault is not made worse, and the fault is told.
    users::Users::parse(file.text())
        .map_err(|(line, fault)| anyhow::anyhow!("{}, line {line}: {fault}", path.display()))?;
    let Some(text) = users::edited(file.text(), name, hash.as_deref()) else {
        bail!("{} has no user {name:?}", path.display());
    };
    file.replace(&text).with_context(|| format!("{} cannot be written", path.display()))?;
    let done = if args.delete { "is taken out of" } else { "is set in" };
    println!("user {name:?} {done} {}; a running gateway notices within ten seconds", path.display());
    Ok(())
}

fn hashed(password: Vec<u8>) -> anyhow::Result<String> {
    if password.is_empty() {
        bail!("the password is empty\nhint: give one on standard input, or type it at the prompt");
    }
    if password.len() > PASSWORD_MAX_BYTES {
        bail!("the password is {} bytes long, the limit is {PASSWORD_MAX_BYTES}", password.len());
    }
    passwords::hash(&password).map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))
}
