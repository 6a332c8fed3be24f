//! What we want to know of a certificate beyond what its verification says: whose it is, and how long it holds.
//!
//! # Invariants
//! - Reads any bytes without a panic; what is not understood is `None`.
//! - An identity is one name without control characters: a certificate with two common names has none.
//!
//! # Not here
//! Verification: an identity counts only for certificates that rustls has verified.

/// Longest identity, bytes; common names end at 64, URIs may be longer.
const IDENTITY_MAX_BYTES: usize = 256;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// From when until when, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before_s: i64,
    pub not_after_s: i64,
}

/// The subject's common name; without one the first host name or URI among its alternative names.
pub(super) fn identity(certificate: &[u8]) -> Option<String> {
    let fields = Fields::read(certificate)?;
    let mut names = common_names(fields.subject);
    let name = match (names.next(), names.next()) {
        (Some(name), None) => name,
        (Some(_), Some(_)) => return None,
        (None, _) => alternative_name(fields.extensions?),
    };
    let name = name?;
    let fits = !name.is_empty() && name.len() <= IDENTITY_MAX_BYTES && !name.chars().any(char::is_control);
    fits.then(|| name.to_owned())
}

pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut times = Der(Fields::read(certificate)?.validity);
    Some(Validity { not_before_s: time(times.next()?)?, not_after_s: time(times.next()?)? })
}

struct Fields<'a> {
    validity: &'a [u8],
    subject: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut signed = Der(Der(certificate).expect(SEQUENCE)?);
        let mut fields = Der(signed.expect(SEQUENCE)?);
        let first = fields.next()?;
        // A version comes before the serial number, except in the first version.
        if first.0 == 0xa0 {
            fields.next()?;
        }
        let (_algorithm, _issuer) = (fields.next()?, fields.next()?);
        let (validity, subject) = (fields.expect(SEQUENCE)?, fields.expect(SEQUENCE)?);
        let extensions = fields.find(|(tag, _)| *tag == EXTENSIONS).map(|(_, content)| content);
        Some(Self { validity, subject, extensions })
    }
}

/// Each common name, `None` for one of a kind that we cannot read.
fn common_names(subject: &[u8]) -> impl Iterator<Item = Option<&str>> {
    let parts = Der(subject).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| Der(set));
    parts.filter_map(|(_, part)| {
        let mut part = Der(part);
        (part.expect(OID)? == COMMON_NAME).then(|| match part.next()? {
            (UTF8_STRING | PRINTABLE_STRING | IA5_STRING, text) => std::str::from_utf8(text).ok(),
            _ => None,
        })
    })
}

fn alternative_name(extensions: &[u8]) -> Option<&str> {
    let extension = Der(Der(extensions).expect(SEQUENCE)?).find_map(|(_, extension)| {
        let mut parts = Der(extension);
        (parts.expect(OID)? == SUBJECT_ALT_NAME).then_some(parts)
    });
    // Between its name and its content it may say whether it is critical.
    let (_, content) = extension?.find(|(tag, _)| *tag == OCTET_STRING)?;
    let (_, name) = Der(Der(content).expect(SEQUENCE)?).find(|(tag, _)| matches!(*tag, DNS_NAME | URI))?;
    std::str::from_utf8(name).ok()
}

/// Seconds since 1970 of `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            // Two digits mean 1950 to 2049.
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    (rest.len() == 10).then_some(())?;
    Some(days_since_1970(year, month, day) * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?)
}

/// In the Gregorian calendar, with the year begun in March so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Elements of an encoding one after the other: (tag, content). Ends at the first that is not whole.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            // Certificates are far below 2^24 bytes.
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            0x80 | 0x84.. => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::tls::testing::{Authority, Leaf};

    fn of(leaf: Leaf<'_>) -> Option<String> {
        identity(&Authority::new().issue(leaf).der)
    }

    #[test]
    fn the_common_name_is_the_identity_and_else_the_first_alternative_name() {
        assert_eq!(
            of(Leaf { common_name: "pump-7", names: &["a.example"], ..Leaf::default() }).as_deref(),
            Some("pump-7")
        );
        assert_eq!(of(Leaf { names: &["a.example", "b"], ..Leaf::default() }).as_deref(), Some("a.example"));
        assert_eq!(of(Leaf { uri: "spiffe://plant/7", ..Leaf::default() }).as_deref(), Some("spiffe://plant/7"));
        assert_eq!(of(Leaf::default()), None);
    }

    #[test]
    fn an_identity_has_no_control_characters() {
        assert_eq!(of(Leaf { common_name: "pump\n7", ..Leaf::default() }), None);
        assert_eq!(of(Leaf { common_name: &"x".repeat(257), ..Leaf::default() }), None);
    }

    #[test]
    fn validity_is_read_in_both_forms_of_time() {
        let of =
            |from: i64, to: i64| validity(&Authority::new().issue(Leaf { valid_s: (from, to), ..Leaf::default() }).der);
        for (not_before_s, not_after_s) in [(1, 951_782_399), (951_782_400, 4_102_444_800), (-1, 95_617_584_000)] {
            assert_eq!(of(not_before_s, not_after_s), Some(Validity { not_before_s, not_after_s }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0_usize..400, with: u8) {
            let mut damaged = Authority::new().issue(Leaf { common_name: "a", ..Leaf::default() }).der;
            let at = at % damaged.len();
            damaged[at] = with;
            bytes.splice(0..0, [SEQUENCE, 40, SEQUENCE, 38]);
            for bytes in [&bytes, &damaged] {
                drop((identity(bytes), validity(bytes)));
            }
        }
    }
}
