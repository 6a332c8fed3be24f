use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::*;

/// A value as a visitor of JSON sees it.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Seen>),
    Map(Vec<(String, Seen)>),
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct See;
        impl<'de> Visitor<'de> for See {
            type Value = Seen;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Seen, E> {
                Ok(Seen::Null)
            }
            fn visit_bool<E>(self, v: bool) -> Result<Seen, E> {
                Ok(Seen::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Seen, E> {
                Ok(Seen::Signed(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Seen, E> {
                Ok(Seen::Unsigned(v))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Seen, E> {
                Ok(Seen::Float(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Seen, E> {
                Ok(Seen::Text(v.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Seen::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Seen::Map(entries))
            }
        }
        input.deserialize_any(See)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn see(hex: &str) -> Result<Seen, Fault> {
    read(&bytes(hex), std::marker::PhantomData::<Seen>)
}

fn skip(hex: &[u8]) -> Result<(), Fault> {
    read(hex, std::marker::PhantomData::<IgnoredAny>).map(drop)
}

fn text(v: &str) -> Seen {
    Seen::Text(v.to_owned())
}

fn numbers(all: impl IntoIterator<Item = u64>) -> Vec<Seen> {
    all.into_iter().map(Seen::Unsigned).collect()
}

/// RFC 8949, appendix A: all of it, but for keys of numbers, which are below.
#[test]
fn the_examples_of_the_standard_are_read() {
    use Seen::{Bool, Float, List, Map, Null, Signed, Unsigned};
    let entry = |key: &str, value| (key.to_owned(), value);
    let nested = || List(vec![Unsigned(1), List(numbers([2, 3])), List(numbers([4, 5]))]);
    let map = || Map(vec![entry("a", Unsigned(1)), entry("b", List(numbers([2, 3])))]);
    let letters = Map(["a", "b", "c", "d", "e"].map(|key| entry(key, text(&key.to_uppercase()))).into());
    for (hex, expected) in [
        ("00", Unsigned(0)),
        ("01", Unsigned(1)),
        ("0a", Unsigned(10)),
        ("17", Unsigned(23)),
        ("1818", Unsigned(24)),
        ("1819", Unsigned(25)),
        ("1864", Unsigned(100)),
        ("1903e8", Unsigned(1_000)),
        ("1a000f4240", Unsigned(1_000_000)),
        ("1b000000e8d4a51000", Unsigned(1_000_000_000_000)),
        ("1bffffffffffffffff", Unsigned(u64::MAX)),
        ("c249010000000000000000", Float(18_446_744_073_709_551_616.0)),
        ("3bffffffffffffffff", Float(-18_446_744_073_709_551_616.0)),
        ("c349010000000000000000", Float(-18_446_744_073_709_551_617.0)),
        ("20", Signed(-1)),
        ("29", Signed(-10)),
        ("3863", Signed(-100)),
        ("3903e7", Signed(-1_000)),
        ("f90000", Float(0.0)),
        ("f98000", Float(-0.0)),
        ("f93c00", Float(1.0)),
        ("fb3ff199999999999a", Float(1.1)),
        ("f93e00", Float(1.5)),
        ("f97bff", Float(65_504.0)),
        ("fa47c35000", Float(100_000.0)),
        ("fa7f7fffff", Float(3.4028234663852886e+38)),
        ("fb7e37e43c8800759c", Float(1.0e+300)),
        ("f90001", Float(5.960464477539063e-8)),
        ("f90400", Float(0.00006103515625)),
        ("f9c400", Float(-4.0)),
        ("fbc010666666666666", Float(-4.1)),
        ("f97c00", Float(f64::INFINITY)),
        ("f9fc00", Float(f64::NEG_INFINITY)),
        ("fa7f800000", Float(f64::INFINITY)),
        ("faff800000", Float(f64::NEG_INFINITY)),
        ("fb7ff0000000000000", Float(f64::INFINITY)),
        ("fbfff0000000000000", Float(f64::NEG_INFINITY)),
        ("f4", Bool(false)),
        ("f5", Bool(true)),
        ("f6", Null),
        ("f7", Null),
        ("f0", Null),
        ("f8ff", Null),
        ("c074323031332d30332d32315432303a30343a30305a", text("2013-03-21T20:04:00Z")),
        ("c11a514b67b0", Unsigned(1_363_896_240)),
        ("c1fb41d452d9ec200000", Float(1_363_896_240.5)),
        ("d74401020304", Null),
        ("d818456449455446", Null),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", text("http://www.example.com")),
        ("40", Null),
        ("4401020304", Null),
        ("60", text("")),
        ("6161", text("a")),
        ("6449455446", text("IETF")),
        ("62225c", text("\"\\")),
        ("62c3bc", text("\u{fc}")),
        ("63e6b0b4", text("\u{6c34}")),
        ("64f0908591", text("\u{10151}")),
        ("80", List(vec![])),
        ("83010203", List(numbers([1, 2, 3]))),
        ("8301820203820405", nested()),
        ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", List(numbers(1..=25))),
        ("a0", Map(vec![])),
        ("a26161016162820203", map()),
        ("826161a161626163", List(vec![text("a"), Map(vec![entry("b", text("c"))])])),
        ("a56161614161626142616361436164614461656145", letters),
        ("5f42010243030405ff", Null),
        ("7f657374726561646d696e67ff", text("streaming")),
        ("9fff", List(vec![])),
        ("9f018202039f0405ffff", nested()),
        ("9f01820203820405ff", nested()),
        ("83018202039f0405ff", nested()),
        ("83019f0203ff820405", nested()),
        ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", List(numbers(1..=25))),
        ("bf61610161629f0203ffff", map()),
        ("826161bf61626163ff", List(vec![text("a"), Map(vec![entry("b", text("c"))])])),
        ("bf6346756ef563416d7421ff", Map(vec![entry("Fun", Bool(true)), entry("Amt", Signed(-2))])),
    ] {
        assert_eq!(see(hex), Ok(expected), "{hex}");
        assert_eq!(skip(&bytes(hex)), Ok(()), "{hex}");
    }
    for hex in ["f97e00", "fa7fc00000", "fb7ff8000000000000"] {
        assert!(matches!(see(hex), Ok(Float(v)) if v.is_nan()), "{hex}");
    }
    let keyed = Map(vec![entry("1", Unsigned(2)), entry("3", Unsigned(4)), entry("-1", Null)]);
    assert_eq!(see("a30102030420f6"), Ok(keyed), "whole numbers as keys are text");
}

#[test]
fn fractions_are_the_nearest_number() {
    for (hex, value) in [
        // RFC 8949, section 3.4.4.
        ("c48221196ab3", 273.15),
        ("c5822003", 1.5),
        ("c48201186f", 1_110.0),
        ("c4822038d6", -21.5),
        ("c482 20 c241d7", 21.5),
        ("c482 3a0001869f 01", 0.0),
        ("c482 1a7fffffff 01", f64::INFINITY),
    ] {
        assert_eq!(see(hex), Ok(Seen::Float(value)), "{hex}");
    }
    assert_eq!(see(&format!("c2 5903e8 {}", "ff".repeat(1_000))), Ok(Seen::Float(f64::INFINITY)));
    for broken in ["c401", "c48101", "c4820102 00", "c48201f5", "c482 01 c161", "c482f601", "c200"] {
        assert!(see(broken).is_err(), "{broken}");
    }
}

#[test]
fn bytes_that_are_not_well_formed_are_refused() {
    // RFC 8949, appendix F: ends too early, ends within, reserved values, ends of nothing.
    for hex in [
        "18",
        "19",
        "1a",
        "1b",
        "1901",
        "1a0102",
        "1b01020304050607",
        "38",
        "58",
        "78",
        "98",
        "9a01ff00",
        "b8",
        "d8",
        "f8",
        "f900",
        "fa0000",
        "fb000000",
        "41",
        "61",
        "5affffffff00",
        "5bffffffffffffffff010203",
        "7affffffff00",
        "7b7fffffffffffffff010203",
        "81",
        "818181818181818181",
        "8200",
        "a1",
        "a20102",
        "a100",
        "a2000000",
        "c0",
        "5f4100",
        "7f6100",
        "9f",
        "9f0102",
        "bf",
        "bf01020102",
        "819f",
        "9f8000",
        "9f9f9f9f9fffffffff",
        "9f819f819f9fffffff",
        "1c",
        "1d",
        "1e",
        "3c",
        "5c",
        "7c",
        "9c",
        "bc",
        "dc",
        "fc",
        "fd",
        "fe",
        "5f00ff",
        "5f21ff",
        "5f6100ff",
        "5f80ff",
        "5fa0ff",
        "5fc000ff",
        "5fe0ff",
        "7f4100ff",
        "5f5f4100ffff",
        "7f7f6100ffff",
        "ff",
        "81ff",
        "8200ff",
        "a1ff",
        "a1ff00",
        "a100ff",
        "a20000ff",
        "9f81ff",
        "9f829f819f9fffffffff",
        "bf00ff",
        "bf000000ff",
        "1f",
        "3f",
        "df",
        "",
        "0000",
        "61ff",
        "62c328",
    ] {
        assert!(see(hex).is_err(), "{hex}");
    }
    assert_eq!(see("8301"), Err(Fault::Truncated));
    assert_eq!(see("0001"), Err(Fault::Trailing { at: 1 }));
}

#[test]
fn every_part_of_a_value_is_too_short() {
    let whole =
        bytes("bf6161a201fb3ff199999999999a207f617862797aff6162c48221196ab361639f0182c11a514b67b0f6ff6164d81842abcdff");
    assert!(read(&whole, std::marker::PhantomData::<Seen>).is_ok());
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end], std::marker::PhantomData::<Seen>), Err(Fault::Truncated), "{end}");
        assert_eq!(skip(&whole[..end]), Err(Fault::Truncated), "{end}");
    }
}

#[test]
fn depth_is_limited_where_it_is_read_and_no_matter_where_it_is_not() {
    let deep = |byte: u8, depth: usize| [vec![byte; depth], vec![0]].concat();
    assert!(read(&deep(0x81, DEPTH_MAX), std::marker::PhantomData::<Seen>).is_ok());
    let refused = read(&deep(0x81, DEPTH_MAX + 1), std::marker::PhantomData::<Seen>);
    assert_eq!(refused, Err(Fault::TooDeep { limit: DEPTH_MAX }));
    assert_eq!(skip(&deep(0x81, 1_000_000)), Ok(()));
    assert_eq!(skip(&deep(0xc1, 1_000_000)), Ok(()));
    assert_eq!(skip(&deep(0x9f, 1_000_000)), Err(Fault::TooDeep { limit: 1_024 }));
    assert!(read(&deep(0xc1, 1_000_000), std::marker::PhantomData::<Seen>).is_ok(), "tags are no depth");
}

#[test]
fn what_a_visitor_leaves_is_passed_over() {
    /// Reads the first element of each container.
    struct First;
    impl<'de> DeserializeSeed<'de> for First {
        type Value = u64;
        fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<u64, D::Error> {
            input.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for First {
        type Value = u64;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }
        fn visit_u64<E>(self, v: u64) -> Result<u64, E> {
            Ok(v)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
            Ok(seq.next_element_seed(First)?.unwrap_or_default())
        }
    }
    for hex in ["8301 8102 f6", "9f01 a16161 9f0203ff ff", "82 9f 05 6161 ff 06"] {
        assert!(read(&bytes(hex), First).is_ok(), "{hex}");
    }
}
