//! What of the outbox is durable: one named state of the queue, postcard behind a version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::lane::{KeptLane, Lane};

const VERSION: u8 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) cases: BTreeMap<String, Case>,
    /// By the channel's name.
    pub(super) lanes: BTreeMap<String, KeptLane>,
}

/// Bytes that are no outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what alerts have told cannot be read: {0}")]
pub(in crate::alert) struct Unreadable(&'static str);

pub(super) fn write(cases: &BTreeMap<String, Case>, lanes: &[Lane]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        cases: &'a BTreeMap<String, Case>,
        lanes: BTreeMap<&'a str, KeptLane>,
    }
    let lanes = lanes.iter().map(|lane| (lane.name.as_str(), lane.kept())).collect();
    postcard::to_extend(&Borrowed { cases, lanes }, vec![VERSION]).expect("plain data has a form in postcard")
}

pub(super) fn read(bytes: &[u8]) -> Result<Kept, Unreadable> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| Unreadable("its bytes follow no format")),
        Some(_) => Err(Unreadable("it was written by a newer gateway")),
        None => Err(Unreadable("it is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_outbox_is_told_and_never_taken_for_one() {
        for bytes in [&[][..], &[2, 0, 0], &[VERSION, 0xff, 0xff]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&write(&BTreeMap::new(), &[])).is_ok());
    }
}
