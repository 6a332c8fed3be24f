//! Hashes of passwords: making, checking, and not doing it twice.
//!
//! # Invariants
//! - At most [`HASHES_AT_ONCE`] hashes run at a time, of at most [`MEMORY_MAX_KIB`] each; who waits holds nothing.
//! - What was found out is remembered as a digest under a random key, right and wrong apart, each within a bound: a
//!   thousand sensors that come back take no hash, and neither does one that tries the same wrong password for ever.
//! - Passwords are compared in constant time.
//! - The memory of a hash goes back to the system at its end.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{Output, PasswordHashString, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;

use super::digest::{Key, Keyed};
use super::users::{User, Users};

/// Two use the cores of a small device without taking all of them, and 38 MiB for as long as they run.
const HASHES_AT_ONCE: usize = 2;
/// OWASP's least for argon2id: 19 MiB, two passes, one lane. Some 20 ms on a desktop, 0.1 s on a Raspberry Pi 4.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// What a users file may ask for: a hash must not take the memory that the queue needs.
const MEMORY_MAX_KIB: u32 = 64 * 1024;
const PASSES_MAX: u32 = 10;
const LANES_MAX: u32 = 4;
/// An allocation from here on is mapped by itself and goes back to the system when freed: the C library keeps smaller
/// ones (up to 32 MiB) for each thread that ever made a hash, some hundred MB together. What is not touched costs nothing.
const GIVEN_BACK_FROM_BYTES: usize = 33 << 20;
/// Right passwords remembered, some 100 bytes each: more than a gateway has sensors.
const RIGHT_MAX: usize = 20_000;
/// Wrong ones: enough for all sensors that were set up wrongly.
const WRONG_MAX: usize = 1_000;

/// Why a hash cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    #[error("not an argon2id hash ($argon2id$v=19$…); set the password with `gateway passwd`")]
    NotArgon2id,
    #[error(
        "the hash takes more than {MEMORY_MAX_KIB} KiB, {PASSES_MAX} passes or {LANES_MAX} lanes; set the password with `gateway passwd`"
    )]
    TooCostly,
}

/// An argon2id hash with its salt and parameters, as text `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash(PasswordHashString);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, HashFault> {
        let hash = PasswordHash::new(text).map_err(|_| HashFault::NotArgon2id)?;
        let is_argon2id = Algorithm::try_from(hash.algorithm) == Ok(Algorithm::Argon2id);
        let has_all = hash.version == Some(Version::V0x13.into()) && hash.salt.is_some() && hash.hash.is_some();
        if !is_argon2id || !has_all {
            return Err(HashFault::NotArgon2id);
        }
        let params = Params::try_from(&hash).map_err(|_| HashFault::NotArgon2id)?;
        if params.m_cost() > MEMORY_MAX_KIB || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
            return Err(HashFault::TooCostly);
        }
        Ok(Self(hash.serialize()))
    }

    /// Of a random password: nobody has it. Checking it takes as long as a hash of this cost.
    pub(super) fn of_nobody(cost: Option<Cost>) -> Self {
        let Cost { memory_kib, passes, lanes } = cost.unwrap_or_default();
        let text = format!(
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}",
            SaltString::generate(&mut OsRng),
            // 32 bytes that are the hash of nothing.
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        );
        let hash = PasswordHash::new(&text).expect("salt, parameters and hash have the form of one");
        Self(hash.serialize())
    }

    pub(super) fn cost(&self) -> Cost {
        let params = Params::try_from(&self.0.password_hash()).unwrap_or_default();
        Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
    }

    /// Takes its time.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let hash = self.0.password_hash();
        // Outputs are compared in constant time.
        output_of(&hash, password).is_some_and(|output| hash.hash == Some(output))
    }
}

/// What the password gives with the salt and the parameters of `hash`; `None` if it has none.
fn output_of(hash: &PasswordHash<'_>, password: &[u8]) -> Option<Output> {
    let params = Params::try_from(hash).ok()?;
    let mut salt = [0; Salt::MAX_LENGTH];
    let salt = hash.salt?.decode_b64(&mut salt).ok()?;
    let mut memory = Vec::with_capacity(params.block_count().max(GIVEN_BACK_FROM_BYTES / Block::SIZE));
    memory.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let work = |out: &mut [u8]| Ok(argon2.hash_password_into_with_memory(password, salt, out, &mut memory)?);
    Output::init_with(hash.hash?.len(), work).ok()
}

/// What a hash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
    }
}

/// The hash of a password, for a users file. Takes its time.
///
/// # Errors
/// The password is longer than 4 GiB.
pub fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(password, &SaltString::generate(&mut OsRng))?.to_string())
}

/// The runtime is stopping.
#[derive(Debug)]
pub(super) struct Unavailable;

/// Lets few hashes run at a time.
#[derive(Debug)]
pub(super) struct Hashing {
    key: Key,
    turns: Arc<Semaphore>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self { key: Key::random(), turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)) }
    }

    /// The user, if the password is right. `hashes` counts what was not known before.
    pub(super) async fn verify(
        &self,
        users: &Arc<Users>,
        name: &str,
        password: &[u8],
        hashes: &Counter,
    ) -> Result<Option<Arc<User>>, Unavailable> {
        let digest = self.key.digest(&[name.as_bytes(), password]);
        let of = |is_right: bool| if is_right { users.get(name) } else { None };
        if let Some(is_right) = users.verdicts.get(&digest) {
            return Ok(of(is_right));
        }
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Unavailable)?;
        // Another connection may have asked the same while this one waited.
        if let Some(is_right) = users.verdicts.get(&digest) {
            return Ok(of(is_right));
        }
        hashes.inc();
        let (all, name, password) = (users.clone(), name.to_owned(), password.to_owned());
        // Remembered in there, so that the work is not lost on a client that goes away meanwhile.
        let work = move || {
            let is_right = all.verify(&name, &password);
            all.verdicts.put(digest, is_right);
            drop(turn);
            is_right
        };
        tokio::task::spawn_blocking(work).await.map(of).map_err(|_| Unavailable)
    }
}

/// What was found out about passwords since the users were read.
#[derive(Debug)]
pub(super) struct Verdicts {
    right: Mutex<Recent>,
    wrong: Mutex<Recent>,
}

impl Verdicts {
    pub(super) fn new() -> Self {
        Self { right: Mutex::new(Recent::new(RIGHT_MAX)), wrong: Mutex::new(Recent::new(WRONG_MAX)) }
    }

    fn get(&self, digest: &Keyed) -> Option<bool> {
        let holds = |recent: &Mutex<Recent>| recent.lock().unwrap_or_else(PoisonError::into_inner).all.contains(digest);
        if holds(&self.right) { Some(true) } else { holds(&self.wrong).then_some(false) }
    }

    fn put(&self, digest: Keyed, is_right: bool) {
        let recent = if is_right { &self.right } else { &self.wrong };
        recent.lock().unwrap_or_else(PoisonError::into_inner).put(digest);
    }
}

/// The last ones of a bounded number.
#[derive(Debug)]
struct Recent {
    all: HashSet<Keyed>,
    oldest_first: VecDeque<Keyed>,
    max: usize,
}

impl Recent {
    fn new(max: usize) -> Self {
        Self { all: HashSet::new(), oldest_first: VecDeque::new(), max }
    }

    fn put(&mut self, digest: Keyed) {
        if !self.all.insert(digest) {
            return;
        }
        if self.oldest_first.len() == self.max
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.all.remove(&oldest);
        }
        self.oldest_first.push_back(digest);
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::LazyLock;

    use super::*;

    /// A hash of "secret" that takes no time.
    pub(in crate::ingest::access) static QUICK: LazyLock<String> = LazyLock::new(|| quick(b"secret"));

    pub(in crate::ingest::access) fn quick(password: &[u8]) -> String {
        let params = Params::new(8, 1, 1, None).expect("within the bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password, &SaltString::generate(&mut OsRng)).expect("short").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::QUICK;
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_never_the_same_twice() {
        let [one, two] = [hash(b"secret").expect("short"), hash(b"secret").expect("short")];
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let parsed = Hash::parse(&one).expect("our own");
        assert!(parsed.is_of(b"secret") && !parsed.is_of(b"Secret") && !parsed.is_of(b""));
        assert_eq!(parsed.cost(), Cost::default());
        assert!(Hash::parse(&QUICK).expect("valid").is_of(b"secret"));
    }

    #[test]
    fn hashes_that_cost_too_much_or_are_of_another_kind_are_refused() {
        let with = |from: &str, to: &str| Hash::parse(&QUICK.replace(from, to)).map(drop);
        assert_eq!(with("m=8,", "m=65537,"), Err(HashFault::TooCostly));
        assert_eq!(with("t=1,", "t=11,"), Err(HashFault::TooCostly));
        assert_eq!(with("argon2id", "argon2i"), Err(HashFault::NotArgon2id));
        assert_eq!(with("v=19$", ""), Err(HashFault::NotArgon2id));
        assert_eq!(Hash::parse("$7$101$c2FsdA$aGFzaA").map(drop), Err(HashFault::NotArgon2id));
        assert_eq!(Hash::parse("hunter2").map(drop), Err(HashFault::NotArgon2id));
    }

    #[test]
    fn nobodys_hash_costs_the_same_and_is_of_no_password() {
        let cost = Hash::parse(&QUICK).expect("valid").cost();
        let nobody = Hash::of_nobody(Some(cost));
        assert_eq!(nobody.cost(), cost);
        assert!(!nobody.is_of(b"") && !nobody.is_of(b"secret"));
        assert_eq!(Hash::of_nobody(None).cost(), Cost::default());
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_the_oldest_goes_first() {
        let key = Key::random();
        let digest = |n: u8| key.digest(&[&[n]]);
        let mut recent = Recent::new(2);
        for n in [1, 2, 1, 3] {
            recent.put(digest(n));
        }
        assert_eq!([1, 2, 3].map(|n| recent.all.contains(&digest(n))), [false, true, true]);
        assert_eq!((recent.all.len(), recent.oldest_first.len()), (2, 2));
    }
}
