//! Fields that were added behind what older gateways stored.

use serde::{Deserialize, Deserializer};

/// The field, or its default where the stored value ends before it. Only for the last field of a value with a checksum of
/// its own: that it cannot be read then means that it is not there.
///
/// # Errors
/// None.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(field: D) -> Result<T, D::Error> {
    Ok(T::deserialize(field).unwrap_or_default())
}
