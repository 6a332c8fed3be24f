//! Births (sections 6.4.19 and 6.4.20): all that an edge node or device will ever send, with names, numbers and types.

use super::{Fault, Label, Payload, Seq};
use crate::table::Entry;

/// Most metrics of a birth; large plant gateways have some ten thousand.
pub const BIRTH_METRICS_MAX: usize = 32_768;

/// What an NBIRTH or DBIRTH tells about the metrics of later data.
///
/// Numbers are those of the edge node: an NBIRTH begins anew for the node and all its devices, a DBIRTH adds a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Birth<'a> {
    /// The number that the node's death will have, too; an NBIRTH's alone.
    pub bd_seq: Option<u64>,
    pub seq: Option<Seq>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Birth<'a> {
    /// # Errors
    /// The payload is broken, a metric has no name, or two have one name or one alias: later data would be read wrong.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Fault> {
        Self::of(&Payload::parse(payload)?)
    }

    /// # Errors
    /// As [`Self::parse`].
    pub fn of(payload: &Payload<'a>) -> Result<Self, Fault> {
        let mut entries = Vec::new();
        for metric in payload.metrics() {
            let metric = metric?;
            let name = metric.name.ok_or(Fault::NoName)?;
            if entries.len() == BIRTH_METRICS_MAX {
                return Err(Fault::TooManyMetrics);
            }
            let label = metric.alias.map_or(Label::Name(name), Label::Alias);
            entries.push((label, Entry { number: label.number(), name, unit: metric.unit()?, kind: metric.kind }));
        }
        refuse_repeated(&mut entries)?;
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Ok(Self { bd_seq: payload.bd_seq(), seq: payload.seq, entries })
    }

    /// One for each metric, by ascending number.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }
}

/// Leaves the entries in the order of their numbers.
fn refuse_repeated(entries: &mut [(Label<'_>, Entry<'_>)]) -> Result<(), Fault> {
    entries.sort_unstable_by_key(|(_, entry)| entry.name);
    let by_name = entries.windows(2).find(|pair| matches!(pair, [(_, a), (_, b)] if a.name == b.name));
    let by_name = by_name.map(|pair| pair[0].1.name.to_owned());
    entries.sort_unstable_by_key(|(_, entry)| entry.number);
    // Of two names with one number readers take the one that they mean.
    let is_alias_twice =
        |pair: &&[(Label<'_>, Entry<'_>)]| matches!(pair, [(Label::Alias(a), _), (Label::Alias(b), _)] if a == b);
    let by_alias = entries.windows(2).find(is_alias_twice).map(|pair| pair[0].1.name.to_owned());
    by_name.or(by_alias).map_or(Ok(()), |name| Err(Fault::Duplicate(name)))
}
