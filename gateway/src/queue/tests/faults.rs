//! Engines that fail: [`FaultyEngine`] gives an error at the n-th operation, [`CrashEngine`] loses power there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use super::log_engine::{LogEngine, append, frame, log_file};
use super::*;
use crate::queue::generations::generation;
use crate::queue::store::{Entries, Entry, Store, engines};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing of the operation has happened.
    Before,
    /// All of it has, as with a failed fsync: nobody knows.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Io,
    Damaged,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Which operation fails, counted from 0.
    pub(super) at: u64,
    pub(super) moment: Moment,
    pub(super) kind: Kind,
    /// So do all that follow.
    pub(super) lasts: bool,
}

type Then = Box<dyn FnOnce() + Send>;

/// Counts the operations of an engine and its stores, and lets some fail.
pub(super) struct Faults {
    fault: Fault,
    seen: AtomicU64,
    failed: AtomicU64,
    /// Called when so many have failed.
    then: Mutex<Option<(u64, Then)>>,
}

impl Faults {
    pub(super) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self { fault, seen: AtomicU64::new(0), failed: AtomicU64::new(0), then: Mutex::default() })
    }

    /// How many operations failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Calls `then` when so many have failed.
    pub(super) fn once_failed(&self, count: u64, then: impl FnOnce() + Send + 'static) {
        *self.then.lock().unwrap() = Some((count, Box::new(then)));
    }

    /// A full disk hinders nobody to read.
    fn read<T>(&self, path: &Path, operation: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.fault.kind == Kind::Full { operation() } else { self.run(path, operation) }
    }

    fn run<T>(&self, path: &Path, operation: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Fault { at, moment, kind, lasts } = self.fault;
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        if number < at || (number > at && !lasts) {
            return operation();
        }
        let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((_, then)) = self.then.lock().unwrap().take_if(|(count, _)| failed >= *count) {
            then();
        }
        if moment == Moment::After {
            operation()?;
        }
        Err(match kind {
            Kind::Full => StoreError::io(path)(Errno::NOSPC.into()),
            Kind::Io => StoreError::io(path)(Errno::IO.into()),
            Kind::Damaged => StoreError::Damaged { path: path.to_owned(), reason: "for the test".into() },
        })
    }
}

pub(super) struct FaultyEngine<E> {
    pub(super) engine: E,
    pub(super) faults: Arc<Faults>,
}

struct FaultyStore {
    store: Box<dyn Store>,
    dir: PathBuf,
    faults: Arc<Faults>,
}

impl<E: Engine> FaultyEngine<E> {
    fn faulty(&self, dir: &Path, store: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(FaultyStore { store, dir: dir.to_owned(), faults: self.faults.clone() })
    }
}

impl<E: Engine> Engine for FaultyEngine<E> {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        self.engine.is_at_home(dir)
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.faulty(dir, self.faults.run(dir, || self.engine.create(dir))?))
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.faulty(dir, self.faults.run(dir, || self.engine.open(dir))?))
    }
}

impl Store for FaultyStore {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        self.faults.run(&self.dir, || self.store.commit(entries))
    }

    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.faults.read(&self.dir, || self.store.last_to(key))
    }

    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.faults.read(&self.dir, || self.store.first_from(key))
    }

    fn each(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.faults.read(&self.dir, || self.store.each(prefix, f))
    }
}

/// Which change of the stores is the last one before the power goes, and what survives.
pub(super) struct Power {
    queue_dir: PathBuf,
    /// What is found there afterwards.
    survivor: PathBuf,
    fails_at: u64,
    moment: Moment,
    seed: u64,
    seen: AtomicU64,
    is_off: AtomicBool,
}

impl Power {
    pub(super) fn new(queue_dir: &Path, survivor: &Path, fails_at: u64, moment: Moment, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            queue_dir: queue_dir.to_owned(),
            survivor: survivor.to_owned(),
            fails_at,
            moment,
            seed,
            seen: AtomicU64::new(0),
            is_off: AtomicBool::new(false),
        })
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Acquire)
    }

    fn on<T>(&self, operation: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_off() { Err(StoreError::io(&self.queue_dir)(Errno::NODEV.into())) } else { operation() }
    }

    /// The power goes at changes only: their thread is the only one that changes anything in the directory, so what
    /// survives is of one moment. `torn` is what the change writes, and where.
    fn change<T>(
        &self,
        torn: Option<(&Path, Vec<u8>)>,
        operation: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.is_off() {
            if self.seen.fetch_add(1, Ordering::Relaxed) != self.fails_at {
                return operation();
            }
            let mut random = randomness(self.seed);
            match (self.moment, torn) {
                (Moment::Before, Some((path, bytes))) => append(path, &bytes[..random(bytes.len() as u64) as usize])?,
                (Moment::Before, None) => {}
                (Moment::After, _) => drop(operation()?),
            }
            copy_dir(&self.queue_dir, &self.survivor);
            forget_what_was_not_synced(&self.survivor, self.moment, &mut random);
            self.is_off.store(true, Ordering::Release);
        }
        Err(StoreError::io(&self.queue_dir)(Errno::NODEV.into()))
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in files::entries(from).unwrap() {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Whatever is not behind an fsync is there, or not, or in part.
fn forget_what_was_not_synced(dir: &Path, moment: Moment, random: &mut impl FnMut(u64) -> u64) {
    for path in files::entries(dir).unwrap() {
        let is_half_made = generation::is_one(&path) && !path.join(engines::MARKER).exists();
        match random(3) {
            _ if !is_half_made => {}
            0 => std::fs::remove_dir_all(&path).unwrap(),
            1 => {
                let file = std::fs::File::options().write(true).open(log_file(&path));
                file.and_then(|file| file.set_len(random(5_000))).ok();
            }
            _ => {}
        }
    }
    // The write of the watermark that follows a commit may have begun: it goes into the older slot.
    let path = dir.join("watermark");
    let mut bytes = std::fs::read(&path).unwrap();
    let slot = bytes.len() / 2;
    let writes = [0, slot].map(|at| u64::from_le_bytes(bytes[at + 12..at + 20].try_into().unwrap()));
    if moment == Moment::After && random(2) == 0 {
        let older = if writes[0] < writes[1] { 0 } else { slot };
        let torn = random(100) as usize;
        bytes[older..older + torn].fill(0x77);
        std::fs::write(&path, bytes).unwrap();
    }
}

pub(super) struct CrashEngine {
    pub(super) power: Arc<Power>,
}

struct CrashStore {
    store: Box<dyn Store>,
    path: PathBuf,
    power: Arc<Power>,
}

impl CrashEngine {
    fn stored(&self, dir: &Path, store: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(CrashStore { store, path: log_file(dir), power: self.power.clone() })
    }
}

impl Engine for CrashEngine {
    fn name(&self) -> &'static str {
        LogEngine.name()
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        LogEngine.is_at_home(dir)
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.stored(dir, self.power.change(None, || LogEngine.create(dir))?))
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.stored(dir, self.power.on(|| LogEngine.open(dir))?))
    }
}

impl Store for CrashStore {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        self.power.change(Some((&self.path, frame(entries))), || self.store.commit(entries))
    }

    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.power.on(|| self.store.last_to(key))
    }

    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.power.on(|| self.store.first_from(key))
    }

    fn each(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.power.on(|| self.store.each(prefix, f))
    }
}
