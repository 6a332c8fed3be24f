//! CRC-32 (ISO-HDLC, as in zlib, Ethernet and PNG), which closes every frame.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// Gateways check megabytes a second: 16 KiB of tables, 16 bytes a step.
#[cfg(feature = "std")]
type Lookup = Table<16>;
/// Firmware checks a few frames a second: 1 KiB of table.
#[cfg(not(feature = "std"))]
type Lookup = Table<1>;

static ISO_HDLC: Crc<u32, Lookup> = Crc::<u32, Lookup>::new(&CRC_32_ISO_HDLC);

pub fn crc32(bytes: &[u8]) -> u32 {
    ISO_HDLC.checksum(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_crc_that_the_catalogue_calls_iso_hdlc() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
