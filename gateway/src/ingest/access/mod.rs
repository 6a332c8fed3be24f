//! Who may come in, and what they may publish and read.
//!
//! # Invariants
//! - A name counts only if it was proven: by a password, or by a certificate that TLS has verified.
//! - How long a refusal takes does not tell whether there is such a user.
//! - No password is kept, and neither passwords nor hashes are shown.
//! - Memory is bounded: [`passwords`] says how many hashes run at once, a [`Grant`] holds its own rules alone.
//!
//! # Flow
//! ```text
//! CONNECT ─▶ Claim ─▶ Access::admit ─┬▶ Grant: may_publish, may_read, is_revoked
//!                                    └▶ Denied: the door says so in its protocol
//! ```
//!
//! # Not here
//! Packets and status codes: the doors say what was decided in their own protocol.

mod digest;
mod grant;
pub mod passwords;
mod rules;
#[cfg(test)]
mod tests;
pub mod tokens;
mod topics;
pub mod users;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{debug, error, info};

use super::watched::Watched;
use crate::metrics::{DoorOutcome, Security};
use crate::text::in_one_line;

pub use grant::Grant;
pub use rules::Rule;
pub use topics::Filter;

use passwords::Hashing;
use rules::Rules;
use users::Users;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub users_file: Option<PathBuf>,
    /// Clients without a proven name are let in.
    pub admits_anonymous: bool,
    /// The certificate's name is the user's; such a client needs no password, and what it says of itself does not count.
    pub identity_from_certificate: bool,
    /// None: whoever is admitted may publish under any topic, and read `gateway/#` and `spBv1.0/#`.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self { users_file: None, admits_anonymous: true, identity_from_certificate: false, rules: Vec::new() }
    }
}

/// Who a client says it is.
#[derive(Clone, Debug)]
pub struct Claim {
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Password>,
    /// The name in the certificate that TLS has verified.
    pub certificate: Option<String>,
    /// For the log.
    pub peer: SocketAddr,
}

/// A password as it was sent; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has no name, or no rule is for it.
    #[error("not authorized")]
    NotAuthorized,
    #[error("unknown user or wrong password")]
    BadCredentials,
    /// No rule lets this user have this client id.
    #[error("client id not allowed for this user")]
    IdRejected,
    /// The gateway is stopping.
    #[error("passwords cannot be checked now")]
    Unavailable,
}

impl Denied {
    /// For counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAuthorized => "not_authorized",
            Self::BadCredentials => "bad_credentials",
            Self::IdRejected => "id_rejected",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Users(#[from] users::Error),
}

/// Decides who may come in by one door.
#[derive(Debug)]
pub struct Access {
    config: Config,
    door: &'static str,
    metrics: Security,
    rules: Rules,
    hashing: Hashing,
    /// `None`: there is no users file.
    users: Option<Changing>,
}

/// The users file as it was read last.
#[derive(Debug)]
struct Changing {
    path: PathBuf,
    current: RwLock<Arc<Users>>,
    watched: Mutex<Watched>,
}

impl Access {
    /// # Errors
    /// The users file cannot be used.
    pub fn new(config: Config, door: &'static str, metrics: Security) -> Result<Self, Error> {
        let read = |path: &PathBuf| {
            let watched = Mutex::new(Watched::new([path.as_path()]));
            let current = RwLock::new(Arc::new(Users::read(path)?));
            Ok::<_, Error>(Changing { path: path.clone(), current, watched })
        };
        let users = config.users_file.as_ref().map(read).transpose()?;
        Ok(Self { rules: Rules::new(&config.rules), config, door, metrics, hashing: Hashing::new(), users })
    }

    /// Decides, after at most one hash. Safe to drop: a hash under way ends by itself, and what it finds is remembered.
    ///
    /// # Errors
    /// The client is not let in.
    pub async fn admit(self: Arc<Self>, claim: Claim) -> Result<Grant, Denied> {
        let decided = self.decide(&claim).await;
        if let Err(denied) = &decided {
            let Claim { client_id, username, peer, .. } = &claim;
            debug!(door = self.door, %peer, ?client_id, ?username, %denied, "A client was not let in.");
        }
        let outcome = decided.as_ref().map_or_else(|denied| denied.label(), |_| "admitted");
        self.metrics.logins.get_or_create(&self.outcome(outcome)).inc();
        decided
    }

    async fn decide(&self, claim: &Claim) -> Result<Grant, Denied> {
        if let Some(name) = claim.certificate.as_deref().filter(|_| self.config.identity_from_certificate) {
            return self.rules.grant(Some(name), &claim.client_id, None);
        }
        let (Some(users), Some(name)) = (&self.users, &claim.username) else {
            let admitted = self.config.admits_anonymous.then_some(()).ok_or(Denied::NotAuthorized);
            return admitted.and_then(|()| self.rules.grant(None, &claim.client_id, None));
        };
        let users = users.current();
        let password = claim.password.as_ref().map_or(&[][..], |password| &password.0);
        match self.hashing.verify(&users, name, password, &self.metrics.password_hashes).await {
            Ok(Some(user)) => self.rules.grant(Some(name), &claim.client_id, Some(user)),
            Ok(None) => Err(Denied::BadCredentials),
            Err(passwords::Unavailable) => Err(Denied::Unavailable),
        }
    }

    /// Reads the users file again if it has changed; one that cannot be used is told, and what was in force stays.
    /// Blocks for as long as that takes.
    pub fn refresh(&self) {
        let Some(users) = &self.users else { return };
        if !users.watched.lock().unwrap_or_else(PoisonError::into_inner).has_changed() {
            return;
        }
        let path = users.path.display();
        match Users::read(&users.path) {
            Ok(renewed) => {
                let count = renewed.count();
                let revoked = users.replace(renewed);
                self.metrics.users_reloads.get_or_create(&self.outcome("renewed")).inc();
                info!(door = self.door, %path, users = count, revoked, "Users were read again.");
            }
            Err(why) => {
                self.metrics.users_reloads.get_or_create(&self.outcome("refused")).inc();
                error!(
                    door = self.door,
                    why = in_one_line(&why),
                    "New users file cannot be used; the users of the old one stay in force."
                );
            }
        }
    }

    fn outcome(&self, outcome: &'static str) -> DoorOutcome {
        DoorOutcome { door: self.door, outcome }
    }
}

impl Changing {
    fn current(&self) -> Arc<Users> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many users are gone or have another password: their connections are told by [`Grant::is_revoked`].
    fn replace(&self, mut renewed: Users) -> usize {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        renewed.keep_unchanged_of(&current);
        let former = std::mem::replace(&mut *current, Arc::new(renewed));
        former.revoke_all_but(&current)
    }
}
