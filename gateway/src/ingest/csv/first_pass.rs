//! What the first pass over a file finds out: its identity, and whether all of it is UTF-8. Pure.

use sha2::{Digest, Sha256};

use super::mapping::Mapping;
use super::plan::Refusal;
use super::register::Identity;

/// A character of UTF-8 that a piece ends within has at most this many bytes there.
const PARTIAL_MAX: usize = 3;

pub(super) struct FirstPass {
    digest: Sha256,
    /// The beginning of a character that the last piece ended within.
    partial: Vec<u8>,
    line: u64,
    bytes: u64,
}

impl Default for FirstPass {
    fn default() -> Self {
        Self { digest: Sha256::new(), partial: Vec::with_capacity(2 * PARTIAL_MAX), line: 1, bytes: 0 }
    }
}

impl FirstPass {
    /// # Errors
    /// The file is not UTF-8.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.bytes == 0 && (bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF])) {
            return Err(Refusal::NotUtf8 { line: 1, byte: bytes[0], from: "utf-16" });
        }
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
        let mut rest = bytes;
        while !self.partial.is_empty() && !rest.is_empty() {
            self.partial.push(rest[0]);
            rest = &rest[1..];
            match std::str::from_utf8(&self.partial) {
                Ok(_) => self.partial.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(self.refusal(0, self.partial[0])),
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => self.partial.extend_from_slice(&rest[error.valid_up_to()..]),
            Err(error) => {
                let before = &rest[..error.valid_up_to()];
                return Err(self.refusal(count_lines(before), rest[before.len()]));
            }
        }
        self.line += count_lines(rest);
        Ok(())
    }

    /// The identity of the file: its bytes, the mapping, and its name if that is the device.
    ///
    /// # Errors
    /// The file ends within a character.
    pub(super) fn finish(self, mapping: &Mapping, device_of_name: Option<&str>) -> Result<Identity, Refusal> {
        if let Some(byte) = self.partial.first() {
            return Err(self.refusal(0, *byte));
        }
        let mapping = serde_json::to_vec(mapping).expect("a mapping is plain data with texts for keys");
        let mut whole = Sha256::new();
        whole.update(self.digest.finalize());
        whole.update((mapping.len() as u64).to_le_bytes());
        whole.update(&mapping);
        whole.update(device_of_name.unwrap_or_default());
        Ok(Identity(whole.finalize().into()))
    }

    fn refusal(&self, lines: u64, byte: u8) -> Refusal {
        Refusal::NotUtf8 { line: self.line + lines, byte, from: "latin1" }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pieces: &[&[u8]]) -> Result<Identity, Refusal> {
        let mut pass = FirstPass::default();
        pieces.iter().try_for_each(|piece| pass.push(piece))?;
        pass.finish(&Mapping::default(), None)
    }

    #[test]
    fn the_identity_does_not_depend_on_how_the_file_was_cut() {
        let text = "ts,Wärme,€,𝄞\n1,2,3,4\n".as_bytes();
        let whole = identity(&[text]).unwrap();
        for at in 0..=text.len() {
            assert_eq!(identity(&[&text[..at], b"", &text[at..]]), Ok(whole), "{at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(identity(&bytes), Ok(whole));
    }

    #[test]
    fn the_same_bytes_with_another_meaning_are_another_file() {
        let of = |mapping: &Mapping, name| {
            let mut pass = FirstPass::default();
            pass.push(b"ts,a\n1,2\n").unwrap();
            pass.finish(mapping, name).unwrap()
        };
        let plain = of(&Mapping::default(), None);
        assert_ne!(plain, of(&Mapping { device: "m".into(), ..Mapping::default() }, None));
        assert_ne!(plain, of(&Mapping::default(), Some("motor-1")));
        assert_eq!(plain, of(&Mapping::default(), None));
    }

    #[test]
    fn a_file_in_latin_1_is_refused_with_the_line_and_what_to_do() {
        let text = b"ts,a\n1,2\n1,\xB0C\n";
        for at in 0..=text.len() {
            let refusal = identity(&[&text[..at], &text[at..]]).unwrap_err();
            assert_eq!(refusal, Refusal::NotUtf8 { line: 3, byte: 0xB0, from: "latin1" }, "{at}");
        }
        assert!(identity(&[b"ts,W\xE4rme\n"]).unwrap_err().to_string().contains("iconv -f latin1 -t utf-8"));
        assert!(identity(&[b"\xFF\xFEt\0s\0"]).unwrap_err().to_string().contains("iconv -f utf-16 -t utf-8"));
        assert!(identity(&[b"ts\n\xE2\x82"]).is_err());
    }
}
