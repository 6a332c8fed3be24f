//! Identities that a device gives to what it sends.

/// Counts the starts of one device; a device that cannot count draws a random number at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u32);

/// Counts a device's frames from 0 at each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceSeq(pub u32);
