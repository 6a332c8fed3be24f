//! What a channel measured: values with a time each, or with one distance for all.

/// The samples of one channel in a frame to be encoded; at most [`super::SAMPLES_MAX`].
///
/// Pairs are offset from the base time in microseconds, and value. Floats that are not finite mean "no value".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Samples<'a> {
    F32(&'a [(i64, f32)]),
    F64(&'a [(i64, f64)]),
    I32(&'a [(i64, i32)]),
    Bool(&'a [(i64, bool)]),
    /// Each at most [`super::TEXT_MAX_BYTES`], no control characters.
    Text(&'a [(i64, &'a str)]),
    F32Every(Every<'a, f32>),
    F64Every(Every<'a, f64>),
    I32Every(Every<'a, i32>),
    BoolEvery(Every<'a, bool>),
    /// Counts of a converter, as it leaves them in memory; on the wire they are `I32Every`.
    U16Every(Every<'a, u16>),
    /// As `U16Every`.
    I16Every(Every<'a, i16>),
}

/// Values at equal distances in time, as a converter's buffer holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Every<'a, T> {
    /// Of the first value from the base time, microseconds.
    pub first: i64,
    /// From each value to the next, microseconds; at least 1.
    pub interval_micros: u32,
    pub values: &'a [T],
}

/// What kind of value all samples of a channel are; the number is the tag on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    F32 = 0,
    F64 = 1,
    I32 = 2,
    Bool = 3,
    Text = 4,
}

impl Kind {
    pub(super) fn of_tag(tag: u32) -> Option<Self> {
        [Self::F32, Self::F64, Self::I32, Self::Bool, Self::Text].get(usize::try_from(tag).ok()?).copied()
    }
}

/// How the times of a channel's samples are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Each sample has its own.
    Own,
    /// As in [`Every`].
    Every { first: i64, interval_micros: u32 },
}

/// A decoded sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    F32(f32),
    F64(f64),
    I32(i32),
    Bool(bool),
    Text(&'a str),
}

impl Value<'_> {
    /// Exact for every kind that is a number; `true` is 1.
    #[inline]
    pub fn number(self) -> Option<f64> {
        match self {
            Self::F32(v) => Some(f64::from(v)),
            Self::F64(v) => Some(v),
            Self::I32(v) => Some(f64::from(v)),
            Self::Bool(v) => Some(f64::from(u8::from(v))),
            Self::Text(_) => None,
        }
    }
}

/// A value that a sample can have.
pub trait Sample: Copy + sealed::Sample {}

/// A value that samples of one distance in time can have: all but text.
pub trait RegularSample: Sample {}

pub(super) mod sealed {
    use super::super::TEXT_MAX_BYTES;
    use super::super::write::Writer;
    use super::{Kind, RegularSample};
    use crate::FrameError;

    pub trait Sample {
        const KIND: Kind;

        fn write(self, w: &mut Writer<'_>) -> Result<(), FrameError>;
    }

    macro_rules! numbers {
        ($($type:ty, $kind:ident, |$v:ident, $w:ident| $write:expr;)*) => {$(
            impl Sample for $type {
                const KIND: Kind = Kind::$kind;

                fn write(self, $w: &mut Writer<'_>) -> Result<(), FrameError> {
                    let $v = self;
                    $write
                }
            }

            impl super::Sample for $type {}

            impl RegularSample for $type {}
        )*};
    }

    numbers! {
        f32, F32, |v, w| w.bytes(&v.to_le_bytes());
        f64, F64, |v, w| w.bytes(&v.to_le_bytes());
        i32, I32, |v, w| w.zigzag(v.into());
        u16, I32, |v, w| w.zigzag(v.into());
        i16, I32, |v, w| w.zigzag(v.into());
        bool, Bool, |v, w| w.bytes(&[v.into()]);
    }

    impl Sample for &str {
        const KIND: Kind = Kind::Text;

        fn write(self, w: &mut Writer<'_>) -> Result<(), FrameError> {
            w.text(self, TEXT_MAX_BYTES)
        }
    }

    impl super::Sample for &str {}
}
