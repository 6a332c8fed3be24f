//! Some readings as bytes: times and values as small differences.
//!
//! # Format
//! | bytes | content |
//! |---|---|
//! | 1 | samples, 1 to [`SAMPLES_MAX`] |
//! | 1 | unit of times: 0 ns, 1 µs, 2 ms, 3 s |
//! | 1 | values: `d` decimals of an f64, 16 + `d` of an f32, 32 plain f32, 33 plain f64 |
//! | 1, 1 | bits of a packed time, bits of a packed value |
//! | 8 | first time, ns since 1970, little endian |
//! | varints | newest time less the first, in units; second time less the first, zigzag; first value, zigzag (decimals only) |
//! | … | times from the third on: difference of differences, zigzag, from the low bit |
//! | … | values from the second on: difference, zigzag, from the low bit; or all values plain, little endian |
//!
//! # Invariants
//! - Lossless to the bit, for every time and value, in any order.
//! - Chunks one after the other are a list of chunks; bytes that are no chunk end it, and nothing is read beyond them.

use firmware_protocol::measurement::EventTime;

use super::super::features::Sample;

/// Of one chunk: enough to pay for 20 bytes of head, and 1 KB while they wait for it.
pub(super) const SAMPLES_MAX: usize = 64;

const UNITS_NS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];
const HEAD_BYTES: usize = 13;
const KIND_F32_DECIMALS: u8 = 16;
const KIND_F32: u8 = 32;
const KIND_F64: u8 = 33;
/// More decimals than sensors send.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Integers below are exact in an f64.
const EXACT_BELOW: u64 = 1 << 53;
/// Decimals that differ by more bits than this are no shorter than plain floats.
const DECIMAL_BITS_MAX: u32 = 56;
/// A packed value is read with the 8 bytes from its first one on: wider ones take 64 bits, whole bytes.
const UNALIGNED_BITS_MAX: u32 = 56;
const SERIES_BYTES: usize = SAMPLES_MAX * 8 + 8;

type Integers = [i64; SAMPLES_MAX];

/// Adds a chunk of these samples, 1 to [`SAMPLES_MAX`], to `out`.
pub(super) fn encode(samples: &[Sample], out: &mut Vec<u8>) {
    let n = samples.len();
    let first = samples[0].at.0;
    let newest = samples.iter().fold(first, |newest, s| newest.max(s.at.0));
    let mut times: Integers = [0; SAMPLES_MAX];
    for i in 1..n {
        times[i] = samples[i].at.0.wrapping_sub(samples[i - 1].at.0);
    }
    let unit = in_coarsest_unit(&mut times[..n]);
    let second = if n > 1 { times[1] } else { 0 };
    for i in (2..n).rev() {
        times[i] = times[i].wrapping_sub(times[i - 1]);
    }
    let times = &times[n.min(2)..n];
    let time_bits = bits_of(times);

    let mut values: Integers = [0; SAMPLES_MAX];
    let (kind, first_value) = values_kind(samples, &mut values);
    let values = &mut values[..n];
    let value_bits = match first_value {
        Some(_) => {
            for i in (1..n).rev() {
                values[i] -= values[i - 1];
            }
            bits_of(&values[1..])
        }
        None => 0,
    };

    out.extend_from_slice(&[n as u8, unit as u8, kind, time_bits as u8, value_bits as u8]);
    out.extend_from_slice(&first.to_le_bytes());
    put_varint(out, (newest.wrapping_sub(first) as u64).div_ceil(UNITS_NS[unit] as u64));
    put_varint(out, zigzag(second));
    if let Some(value) = first_value {
        put_varint(out, zigzag(value));
    }
    put_series(out, times, time_bits);
    match kind {
        KIND_F32 => samples.iter().for_each(|s| out.extend_from_slice(&(s.value as f32).to_le_bytes())),
        KIND_F64 => samples.iter().for_each(|s| out.extend_from_slice(&s.value.to_le_bytes())),
        _decimals => put_series(out, &values[1..], value_bits),
    }
}

/// A chunk at the beginning of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    samples: usize,
    unit: i64,
    kind: u8,
    time_bits: u32,
    value_bits: u32,
    first: i64,
    /// No sample is newer.
    pub(super) newest: EventTime,
    second: i64,
    first_value: i64,
    times: &'a [u8],
    values: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The chunk and the bytes after it; `None` if there is no whole one.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [samples, unit, kind, time_bits, value_bits, first @ ..] = *head;
        let samples = usize::from(samples);
        let unit = *UNITS_NS.get(usize::from(unit))?;
        let (time_bits, value_bits) = (u32::from(time_bits), u32::from(value_bits));
        let is_known = kind == KIND_F32 || kind == KIND_F64 || usize::from(kind % KIND_F32_DECIMALS) < POWERS.len();
        if !(1..=SAMPLES_MAX).contains(&samples) || kind > KIND_F64 || !is_known || time_bits > 64 || value_bits > 64 {
            return None;
        }
        let first = i64::from_le_bytes(first);
        let newest = i128::from(first) + i128::from(take_varint(&mut rest)?) * i128::from(unit);
        let second = unzigzag(take_varint(&mut rest)?);
        let (first_value, value_bytes) = match kind {
            KIND_F32 => (0, samples * 4),
            KIND_F64 => (0, samples * 8),
            _decimals => (unzigzag(take_varint(&mut rest)?), series_bytes(samples - 1, value_bits)),
        };
        let (times, rest) = rest.split_at_checked(series_bytes(samples.saturating_sub(2), time_bits))?;
        let (values, rest) = rest.split_at_checked(value_bytes)?;
        let newest = EventTime(i64::try_from(newest).unwrap_or(i64::MAX));
        let chunk =
            Self { samples, unit, kind, time_bits, value_bits, first, newest, second, first_value, times, values };
        Some((chunk, rest))
    }

    /// Adds its samples to `into`.
    pub(super) fn read(&self, into: &mut Vec<Sample>) {
        let begin = into.len();
        let times = Series::new(self.times, self.time_bits);
        let (mut at, mut difference) = (self.first, self.second);
        into.push(Sample { at: EventTime(at), value: 0.0 });
        for i in 1..self.samples {
            if i > 1 {
                difference = difference.wrapping_add(times.get(i - 2));
            }
            at = at.wrapping_add(difference.wrapping_mul(self.unit));
            into.push(Sample { at: EventTime(at), value: 0.0 });
        }
        let samples = &mut into[begin..];
        match self.kind {
            KIND_F32 => {
                for (sample, bytes) in samples.iter_mut().zip(self.values.as_chunks::<4>().0) {
                    sample.value = f64::from(f32::from_le_bytes(*bytes));
                }
            }
            KIND_F64 => {
                for (sample, bytes) in samples.iter_mut().zip(self.values.as_chunks::<8>().0) {
                    sample.value = f64::from_le_bytes(*bytes);
                }
            }
            decimals => {
                let power = POWERS[usize::from(decimals % KIND_F32_DECIMALS)];
                let is_f32 = decimals >= KIND_F32_DECIMALS;
                let values = Series::new(self.values, self.value_bits);
                let mut integer = self.first_value;
                for (i, sample) in samples.iter_mut().enumerate() {
                    if i > 0 {
                        integer = integer.wrapping_add(values.get(i - 1));
                    }
                    let value = integer as f64 / power;
                    sample.value = if is_f32 { f64::from(value as f32) } else { value };
                }
            }
        }
    }
}

/// Divides the differences by the coarsest unit that loses nothing; gives its place.
fn in_coarsest_unit(differences: &mut [i64]) -> usize {
    // One function per unit: a division by a constant is a multiplication.
    fn scaled<const UNIT: i64>(differences: &mut [i64]) -> bool {
        let fits = differences.iter().all(|d| d % UNIT == 0);
        if fits {
            differences.iter_mut().for_each(|d| *d /= UNIT);
        }
        fits
    }
    if scaled::<{ UNITS_NS[3] }>(differences) {
        3
    } else if scaled::<{ UNITS_NS[2] }>(differences) {
        2
    } else if scaled::<{ UNITS_NS[1] }>(differences) {
        1
    } else {
        0
    }
}

/// The shortest kind that gives all values back; with the first value, if they become integers.
fn values_kind(samples: &[Sample], integers: &mut Integers) -> (u8, Option<i64>) {
    let is_f32 = samples.iter().all(|s| f64::from(s.value as f32).to_bits() == s.value.to_bits());
    let f64_decimals = (0..POWERS.len()).find(|d| as_decimals(samples, POWERS[*d], integers, |v| v));
    if let Some(digits) = f64_decimals.filter(|_| is_narrow(integers, samples.len())) {
        return (digits as u8, Some(integers[0]));
    }
    if !is_f32 {
        return (KIND_F64, None);
    }
    let f32_decimals = (0..POWERS.len()).find(|d| as_decimals(samples, POWERS[*d], integers, |v| f64::from(v as f32)));
    match f32_decimals.filter(|_| is_narrow(integers, samples.len())) {
        Some(digits) => (KIND_F32_DECIMALS + digits as u8, Some(integers[0])),
        None => (KIND_F32, None),
    }
}

/// Whether each value is an integer over `power`, rounded as `round` does; fills in the integers.
fn as_decimals(samples: &[Sample], power: f64, integers: &mut Integers, round: impl Fn(f64) -> f64) -> bool {
    for (sample, integer) in samples.iter().zip(integers.iter_mut()) {
        let scaled = sample.value * power;
        // To the nearest or its neighbour: the comparison decides.
        *integer = (scaled + 0.5_f64.copysign(scaled)) as i64;
        let is_exact = integer.unsigned_abs() < EXACT_BELOW;
        if !is_exact || round(*integer as f64 / power).to_bits() != sample.value.to_bits() {
            return false;
        }
    }
    true
}

fn is_narrow(integers: &Integers, samples: usize) -> bool {
    let widest = integers[..samples].windows(2).fold(0, |bits, w| bits | zigzag(w[1] - w[0]));
    u64::BITS - widest.leading_zeros() <= DECIMAL_BITS_MAX
}

/// Bits that hold each of the differences.
fn bits_of(differences: &[i64]) -> u32 {
    let all = differences.iter().fold(0, |bits, d| bits | zigzag(*d));
    let bits = u64::BITS - all.leading_zeros();
    if bits > UNALIGNED_BITS_MAX { u64::BITS } else { bits }
}

fn series_bytes(values: usize, bits: u32) -> usize {
    (values * bits as usize).div_ceil(8)
}

fn put_series(out: &mut Vec<u8>, differences: &[i64], bits: u32) {
    let mut series = [0_u8; SERIES_BYTES];
    for (i, difference) in differences.iter().enumerate() {
        let bit = i * bits as usize;
        let place = &mut series[bit / 8..bit / 8 + 8];
        let mut word = [0; 8];
        word.copy_from_slice(place);
        let word = u64::from_le_bytes(word) | zigzag(*difference) << (bit % 8);
        place.copy_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&series[..series_bytes(differences.len(), bits)]);
}

/// Packed differences, with room behind them to read whole words.
struct Series {
    bytes: [u8; SERIES_BYTES],
    bits: u32,
}

impl Series {
    fn new(packed: &[u8], bits: u32) -> Self {
        let mut bytes = [0; SERIES_BYTES];
        bytes[..packed.len()].copy_from_slice(packed);
        Self { bytes, bits }
    }

    fn get(&self, i: usize) -> i64 {
        let bit = i * self.bits as usize;
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[bit / 8..bit / 8 + 8]);
        let word = u64::from_le_bytes(word) >> (bit % 8);
        unzigzag(if self.bits == u64::BITS { word } else { word & ((1 << self.bits) - 1) })
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<(i64, u64)> {
        let (mut rest, mut samples) = (bytes, Vec::new());
        while let Some((chunk, after)) = Chunk::parse(rest) {
            chunk.read(&mut samples);
            rest = after;
        }
        samples.iter().map(|s| (s.at.0, s.value.to_bits())).collect()
    }

    fn samples_of(times: &[i64], values: &[f64]) -> Vec<Sample> {
        times.iter().zip(values).map(|(at, value)| Sample { at: EventTime(*at), value: *value }).collect()
    }

    fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
        samples.iter().map(|s| (s.at.0, s.value.to_bits())).collect()
    }

    fn times() -> impl Strategy<Value = Vec<i64>> {
        let regular = (any::<i32>(), prop_oneof![Just(1), Just(1_000), Just(1_000_000), Just(1_000_000_000)])
            .prop_map(|(start, unit)| (0..64).map(|i| (i64::from(start) + i) * unit).collect());
        let jitter = proptest::collection::vec(0..1_000_i64, 64).prop_map(|j| {
            j.iter().enumerate().map(|(i, j)| 1_700_000_000_000_000_000 + (i as i64 * 1_000 + j) * 1_000_000).collect()
        });
        prop_oneof![regular, jitter, proptest::collection::vec(any::<i64>(), 64)]
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let decimals = (0..10_u32, proptest::collection::vec(any::<i32>(), 64))
            .prop_map(|(d, v)| v.iter().map(|v| f64::from(*v) / 10_f64.powi(d as i32)).collect());
        let of_f32 = proptest::collection::vec(-9_999..9_999_i32, 64)
            .prop_map(|v| v.iter().map(|v| f64::from(*v as f32 / 100.0)).collect());
        let odd =
            proptest::collection::vec(prop_oneof![Just(0.0), Just(-0.0), Just(1e18), Just(-1e-300), any::<f64>()], 64);
        prop_oneof![decimals, of_f32, odd, proptest::collection::vec(any::<f64>(), 64)]
    }

    proptest! {
        #[test]
        fn every_sample_comes_back_bit_by_bit(times in times(), values in values(), n in 1..=64_usize) {
            let samples = samples_of(&times[..n], &values[..n]);
            let mut bytes = Vec::new();
            encode(&samples, &mut bytes);
            encode(&samples[..1], &mut bytes);
            let expected = [bits(&samples), bits(&samples[..1])].concat();
            prop_assert_eq!(decoded(&bytes), expected);
            let newest = Chunk::parse(&bytes).map(|(chunk, _)| chunk.newest);
            prop_assert!(samples.iter().all(|s| Some(s.at) <= newest));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in any::<[u8; 5]>()) {
            decoded(&bytes);
            let bounded = [head[0] % 65, head[1] % 5, head[2] % 35, head[3] % 66, head[4] % 66];
            decoded(&[&bounded, bytes.as_slice()].concat());
        }
    }

    #[test]
    fn readings_of_two_decimals_each_second_take_little_more_than_a_byte() {
        let times: Vec<i64> = (0..64).map(|i| 1_700_000_000_000_000_000 + i * 1_000_000_000).collect();
        let values: Vec<f64> = (0..64).map(|i| f64::from(2_153 + i * 37 % 23) / 100.0).collect();
        let mut bytes = Vec::new();
        encode(&samples_of(&times, &values), &mut bytes);
        assert!(bytes.len() < 80, "{}", bytes.len());
    }
}
