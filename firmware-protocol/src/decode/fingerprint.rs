//! What tells two [`Route`]s apart that call themselves the same decoder: a hash over all that they mean.
//!
//! # Invariants
//! - Id and version are not part of it, and neither is what has its default value: a key that a later release adds leaves
//!   the fingerprints of older tables as they were. So a default, once released, stays what it is.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Channel, Route};

/// The first 8 bytes of SHA-256 over the table as canonical JSON: keys in alphabetical order, no spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Route {
    /// The same for tables that mean the same.
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = Sha256::digest(canonical(self));
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Fingerprint(first)
    }
}

fn canonical(route: &Route) -> String {
    let mut keys = differing(route, &Route::default());
    keys.retain(|key, _| key != "id" && key != "version");
    if let Some(channels) = keys.get_mut("channels") {
        let canonical = |channel: &Channel| Value::from_iter(differing(channel, &Channel::default()));
        *channels = route.channels.iter().map(canonical).collect();
    }
    Value::from_iter(keys).to_string()
}

/// The keys of a table that do not have their default value.
fn differing<T: serde::Serialize>(table: &T, default: &T) -> BTreeMap<String, Value> {
    let object = |table: &T| match serde_json::to_value(table) {
        Ok(Value::Object(keys)) => keys,
        Ok(_) | Err(_) => unreachable!("a struct of plain data is a JSON object"),
    };
    let default = object(default);
    object(table).into_iter().filter(|(key, value)| default.get(key) != Some(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Format;

    fn route() -> Route {
        Route { topic: "zigbee2mqtt/{device}".into(), format: Format::Json, time_field: None, ..Route::default() }
    }

    #[test]
    fn fingerprints_of_released_tables_never_change() {
        assert_eq!(canonical(&Route::default()), "{}");
        assert_eq!(Route::default().fingerprint().to_string(), "44136fa355b3678a");
        assert_eq!(canonical(&route()), r#"{"format":"json","time_field":null,"topic":"zigbee2mqtt/{device}"}"#);
        assert_eq!(route().fingerprint().to_string(), "c9f2c89476d96b4d");
    }

    #[test]
    fn the_defaults_of_channels_are_left_out_too_and_all_keys_are_in_order() {
        let words = [("ON".to_owned(), 1.0), ("OFF".to_owned(), 0.0)].into();
        let channel = Channel { path: "temp".into(), min: Some(-40.0), words, ..Channel::default() };
        let route = Route { channels: vec![channel], ..Route::default() };
        assert_eq!(canonical(&route), r#"{"channels":[{"min":-40.0,"path":"temp","words":{"OFF":0.0,"ON":1.0}}]}"#);
    }

    #[test]
    fn only_what_a_table_means_counts() {
        let named = Route { id: "zigbee".into(), version: 7, ..route() };
        assert_eq!(named.fingerprint(), route().fingerprint());
        let other = Route { measurement: "climate".into(), ..route() };
        assert_ne!(other.fingerprint(), route().fingerprint());
    }
}
