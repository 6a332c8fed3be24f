//! A stamp as two numbers, for snapshots.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::{ClockBoot, Stamp};

pub(super) fn serialize<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
    (stamp.boot.0, stamp.since_boot_ns).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
    let (boot, since_boot_ns) = Deserialize::deserialize(deserializer)?;
    Ok(Stamp { boot: ClockBoot(boot), since_boot_ns })
}
