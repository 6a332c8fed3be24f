//! Numbers as decimal text without the machinery of `core::fmt`, which is half the cost of a short line.

/// A number's decimal digits, on the stack.
pub(crate) struct Digits {
    text: [u8; Self::MAX_BYTES],
    begin: usize,
}

impl Digits {
    /// `-9223372036854775808`, and `18446744073709551615`.
    const MAX_BYTES: usize = 20;

    pub(crate) fn unsigned(mut value: u64) -> Self {
        let mut digits = Self { text: [0; Self::MAX_BYTES], begin: Self::MAX_BYTES };
        // Two digits a division: timestamps have nineteen.
        while value >= 100 {
            let pair = (value % 100) as u8;
            digits.push_front(b'0' + pair % 10);
            digits.push_front(b'0' + pair / 10);
            value /= 100;
        }
        digits.push_front(b'0' + (value % 10) as u8);
        if value >= 10 {
            digits.push_front(b'0' + (value / 10) as u8);
        }
        digits
    }

    pub(crate) fn signed(value: i64) -> Self {
        let mut digits = Self::unsigned(value.unsigned_abs());
        if value < 0 {
            digits.push_front(b'-');
        }
        digits
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[self.begin..]
    }

    fn push_front(&mut self, byte: u8) {
        self.begin -= 1;
        self.text[self.begin] = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        for v in [0, 1, -1, 9, 10, -10, 99, 100, 101, 1_234_567_890, i64::MIN, i64::MAX] {
            assert_eq!(Digits::signed(v).as_bytes(), v.to_string().as_bytes());
        }
        assert_eq!(Digits::unsigned(u64::MAX).as_bytes(), u64::MAX.to_string().as_bytes());
    }
}
