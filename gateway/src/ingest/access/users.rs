//! The users file: a name and the hash of a password per line.
//!
//! # Invariants
//! - A file with a fault is refused as a whole: half of the users would be a surprise.
//! - Hashes that would take too much memory or time are faults: the file cannot stall the gateway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, fs};

use super::passwords::{self, Hash, Verdicts};

/// Some hundred bytes a user.
const FILE_MAX_BYTES: u64 = 4 << 20;
/// More than a gateway has sensors.
const USERS_MAX: usize = 20_000;
/// MQTT allows 64 KiB; nobody needs that much.
const NAME_MAX_BYTES: usize = 256;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("users file {} cannot be read: {error}\nhint: `gateway passwd --file FILE NAME` makes one", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("users file {} is {bytes} bytes, the limit is {FILE_MAX_BYTES}", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("users file {} is not UTF-8", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("users file {}, line {line}: {fault}", path.display())]
    Line { path: PathBuf, line: usize, fault: Fault },
}

/// What is wrong with a line. It is never shown itself: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no colon between name and hash")]
    NoColon,
    #[error(transparent)]
    Name(#[from] NameFault),
    #[error("the user is there twice")]
    Twice,
    #[error("more than {USERS_MAX} users")]
    TooMany,
    #[error(transparent)]
    Hash(#[from] passwords::HashFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than {NAME_MAX_BYTES} bytes")]
    TooLong,
    #[error("the name holds a colon, a control character, or space at its ends, or begins with #")]
    BadCharacter,
}

/// One user.
pub struct User {
    hash: Hash,
    revoked: AtomicBool,
}

impl User {
    /// It is gone from the file, or has another password by now.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("revoked", &self.revoked).finish_non_exhaustive()
    }
}

/// All users of a file, and what was found out about their passwords since it was read.
#[derive(Debug)]
pub struct Users {
    by_name: BTreeMap<String, Arc<User>>,
    /// Is hashed with for names that are not there.
    nobody: Hash,
    pub(super) verdicts: Verdicts,
}

impl Users {
    /// # Errors
    /// The file cannot be read, or has a fault.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = || path.to_owned();
        let unreadable = |error| Error::Unreadable { path: path(), error };
        let bytes = fs::metadata(path()).map_err(unreadable)?.len();
        if bytes > FILE_MAX_BYTES {
            return Err(Error::TooLarge { path: path(), bytes });
        }
        let text = String::from_utf8(fs::read(path()).map_err(unreadable)?);
        let text = text.map_err(|_| Error::NotUtf8 { path: path() })?;
        Self::parse(&text).map_err(|(line, fault)| Error::Line { path: path(), line, fault })
    }

    /// # Errors
    /// The first line (from 1) with a fault.
    pub fn parse(text: &str) -> Result<Self, (usize, Fault)> {
        let mut by_name = BTreeMap::new();
        for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
            let Some((name, hash)) = entry(text).map_err(|fault| (line, fault))? else { continue };
            let hash = Hash::parse(hash).map_err(|fault| (line, fault.into()))?;
            let user = Arc::new(User { hash, revoked: AtomicBool::new(false) });
            if by_name.insert(name.to_owned(), user).is_some() {
                return Err((line, Fault::Twice));
            }
            if by_name.len() > USERS_MAX {
                return Err((line, Fault::TooMany));
            }
        }
        let costliest = by_name.values().map(|user| user.hash.cost()).max();
        Ok(Self { nobody: Hash::of_nobody(costliest), by_name, verdicts: Verdicts::new() })
    }

    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Takes as long for a name that is not there.
    pub(super) fn verify(&self, name: &str, password: &[u8]) -> bool {
        match self.by_name.get(name) {
            Some(user) => user.hash.is_of(password),
            None => {
                let _same_work = self.nobody.is_of(password);
                false
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<User>> {
        self.by_name.get(name).cloned()
    }

    /// Users whose hash is the same stay the same users.
    pub(super) fn keep_unchanged_of(&mut self, former: &Self) {
        for (name, user) in &mut self.by_name {
            if let Some(same) = former.by_name.get(name).filter(|other| other.hash == user.hash) {
                *user = same.clone();
            }
        }
    }

    /// Revokes who is not among `current`; how many.
    pub(super) fn revoke_all_but(&self, current: &Self) -> usize {
        let stays = |name: &str, user: &Arc<User>| current.by_name.get(name).is_some_and(|now| Arc::ptr_eq(now, user));
        let gone = self.by_name.iter().filter(|(name, user)| !stays(name, user));
        gone.map(|(_, user)| user.revoked.store(true, Ordering::Relaxed)).count()
    }
}

/// Name and hash of a line; `None` for an empty one or a comment.
///
/// # Errors
/// What is wrong with it.
pub fn entry(line: &str) -> Result<Option<(&str, &str)>, Fault> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, hash) = line.split_once(':').ok_or(Fault::NoColon)?;
    check_name(name)?;
    Ok(Some((name, hash)))
}

/// # Errors
/// It cannot be a user's name.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > NAME_MAX_BYTES {
        return Err(NameFault::TooLong);
    }
    if name.trim() != name || name.starts_with('#') || name.chars().any(|c| c == ':' || c.is_control()) {
        return Err(NameFault::BadCharacter);
    }
    Ok(())
}

/// The text of a file in which `name` has this hash, or is not there any more; all other lines stay as they are.
/// `None`: the user to take out is not there.
pub fn edited(text: &str, name: &str, hash: Option<&str>) -> Option<String> {
    let mut found = false;
    let mut out = String::with_capacity(text.len() + 256);
    for line in text.lines() {
        let is_it = entry(line).is_ok_and(|entry| entry.is_some_and(|(other, _)| other == name));
        let line = match (is_it, hash) {
            (false, _) => Some(line.to_owned()),
            (true, Some(hash)) if !found => Some(format!("{name}:{hash}")),
            (true, Some(_) | None) => None,
        };
        found |= is_it;
        out.extend(line.map(|line| line + "\n"));
    }
    match hash {
        Some(hash) if !found => Some(out + name + ":" + hash + "\n"),
        None if !found => None,
        Some(_) | None => Some(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::access::passwords::testing::QUICK;

    fn fault(text: &str) -> (usize, Fault) {
        Users::parse(text).map(|users| users.count()).expect_err(text)
    }

    #[test]
    fn names_and_hashes_are_read_and_comments_left_out() {
        let q = &*QUICK;
        let users = Users::parse(&format!("# sensors\n\npump 7:{q}\n  fan:{q}\r\n")).expect("valid");
        assert_eq!(users.by_name.keys().collect::<Vec<_>>(), ["fan", "pump 7"]);
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        let q = &*QUICK;
        assert_eq!(fault("a\n"), (1, Fault::NoColon));
        assert_eq!(fault(&format!("#\n:{q}\n")), (2, NameFault::Empty.into()));
        assert_eq!(fault(&format!("a:{q}\na:{q}\n")), (2, Fault::Twice));
        assert_eq!(fault("a:hunter2\n"), (1, passwords::HashFault::NotArgon2id.into()));
    }

    #[test]
    fn editing_leaves_all_other_lines_as_they_are() {
        let text = "# sensors\na:1\n\nb:2\n";
        assert_eq!(edited(text, "a", Some("9")).as_deref(), Some("# sensors\na:9\n\nb:2\n"));
        assert_eq!(edited(text, "c", Some("9")).as_deref(), Some("# sensors\na:1\n\nb:2\nc:9\n"));
        assert_eq!(edited(text, "a", None).as_deref(), Some("# sensors\n\nb:2\n"));
        assert_eq!(edited(text, "c", None), None);
        assert_eq!(edited("a:1", "b", Some("2")).as_deref(), Some("a:1\nb:2\n"));
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        for name in ["", "a:b", "a\nb", " a", "a ", "#a", "a\u{7}"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("pump 7 (ä)").is_ok() && check_name(&"x".repeat(257)).is_err());
    }
}
