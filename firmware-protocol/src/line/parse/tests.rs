use super::*;

type Pairs<'a, V> = Vec<(Cow<'a, str>, V)>;

fn parsed(text: &str) -> (Cow<'_, str>, Pairs<'_, Cow<'_, str>>, Pairs<'_, Value<'_>>, Option<i64>) {
    let line = Line::parse(text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
    let tags = line.tags().map(|(key, value)| (key.text(), value.text())).collect();
    let fields = line.fields().map(|(key, value)| (key.text(), value)).collect();
    (line.measurement().text(), tags, fields, line.timestamp())
}

#[test]
fn a_line_is_read_as_influxdb_reads_it() {
    let (measurement, tags, fields, timestamp) = parsed(
        "weather,location=us\\ mid\\,west,k\\=1=a\\b temperature=82,on=t,note=\"a \\\"b\\\", c=d\" -1465839830\n",
    );
    assert_eq!(measurement, "weather");
    assert_eq!(tags, [("location".into(), "us mid,west".into()), ("k=1".into(), Cow::from("a\\b"))]);
    let text = Value::Text("a \\\"b\\\", c=d");
    assert_eq!(
        fields,
        [("temperature".into(), Value::Float(82.0)), ("on".into(), Value::Bool(true)), ("note".into(), text)]
    );
    assert_eq!(timestamp, Some(-1_465_839_830));
}

#[test]
fn values_have_the_kinds_that_influxdb_knows() {
    for (text, value) in [
        ("1", Value::Float(1.0)),
        ("-1.5e3", Value::Float(-1_500.0)),
        (".5", Value::Float(0.5)),
        ("-9223372036854775808i", Value::Integer(i64::MIN)),
        ("18446744073709551615u", Value::Unsigned(u64::MAX)),
        ("TRUE", Value::Bool(true)),
        ("False", Value::Bool(false)),
        ("\"\"", Value::Text("")),
        ("\"\\\\\"", Value::Text("\\\\")),
        ("\"two\nlines\"", Value::Text("two\nlines")),
    ] {
        assert_eq!(parsed(&format!("m f={text}")).2, [("f".into(), value)], "{text}");
        assert_eq!(parsed(&format!("m f={text},g=1 7")).2[0], ("f".into(), value), "{text}");
    }
    for text in ["", "1x", "inf", "NaN", "1e999", "1.5i", "-1u", "9223372036854775808i", "tRUE", "i", "0x1", "'a'"] {
        assert!(Line::parse(&format!("m f={text}")).is_err(), "{text}");
    }
}

#[test]
fn a_broken_line_is_refused_with_the_column_and_the_reason() {
    for (text, message) in [
        ("", "column 1: no measurement"),
        ("# a=1", "column 1: a comment, not a line"),
        ("m", "column 2: no fields: a space must stand before them"),
        ("m,a f=1", "column 4: tag has no value"),
        ("m,a= f=1", "column 5: tag has no value"),
        ("m,=1 f=1", "column 3: tag has no key"),
        ("m,a=1,a=2 f=1", "column 10: a tag's key is there twice"),
        ("m f", "column 4: field has no value"),
        ("m f=", "column 5: field has no value"),
        ("  m f=x", "column 7: value is no number, true, false or text in quotes that line protocol knows"),
        ("m f=1,", "column 7: field has no key"),
        ("m f=\"a", "column 5: text in quotes does not end"),
        ("m f=\"a\"b", "column 8: a comma or a space must follow a text in quotes"),
        ("m f=1 1.5", "column 7: timestamp is not a whole number of 64 bits"),
        ("m f=1 1 2", "column 7: timestamp is not a whole number of 64 bits"),
        ("m f=1\nm f=2", "column 6: a line break outside of quotes: one record is one line"),
    ] {
        assert_eq!(Line::parse(text).unwrap_err().to_string(), message, "{text:?}");
    }
}

#[test]
fn tags_and_fields_are_bounded() {
    let pairs = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
    assert!(Line::parse(&format!("m,{} {}", pairs(TAGS_MAX), pairs(FIELDS_MAX))).is_ok());
    let error = Line::parse(&format!("m,{} f=1", pairs(TAGS_MAX + 1))).unwrap_err();
    assert_eq!(error.what, format!("more than {TAGS_MAX} tags"));
    let error = Line::parse(&format!("m {}", pairs(FIELDS_MAX + 1))).unwrap_err();
    assert_eq!(error.what, format!("more than {FIELDS_MAX} fields"));
}

#[test]
fn the_precision_is_the_unit_of_the_timestamp() {
    let at = |text: &str, unit: &str| Line::parse(text).unwrap().at(Precision::of(unit).unwrap());
    for (unit, nanos) in [("ns", 5), ("n", 5), ("us", 5_000), ("u", 5_000), ("ms", 5_000_000), ("s", 5_000_000_000)] {
        assert_eq!(at("m f=1 5", unit), Ok(Some(EventTime(nanos))), "{unit}");
    }
    assert_eq!(at("m f=1", "s"), Ok(None));
    assert!(at("m f=1 1772366400000", "s").is_err());
    assert_eq!(Precision::of("h"), None);
}

fn lines(text: &str) -> Vec<&str> {
    let (mut lines, mut text) = (Vec::new(), text.as_bytes());
    while let Some((line, rest)) = next_line(text) {
        lines.push(std::str::from_utf8(line).unwrap());
        text = rest;
    }
    lines
}

#[test]
fn a_line_break_in_quotes_does_not_end_a_line() {
    assert_eq!(lines("m f=\"a\nb\" 1\nm f=2\n"), ["m f=\"a\nb\" 1\n", "m f=2\n"]);
    assert_eq!(lines("m\",t=\"a f=1\nm f=2"), ["m\",t=\"a f=1\n", "m f=2"], "quotes in names are characters");
    assert_eq!(lines("m f=\"a\\\"\n\"\nm f=2"), ["m f=\"a\\\"\n\"\n", "m f=2"]);
    assert_eq!(lines("# it's = \"so\nm f=2\n\n"), ["# it's = \"so\n", "m f=2\n", "\n"]);
}

#[test]
fn quotes_that_never_close_take_no_other_line_along() {
    assert_eq!(lines("m f=\"torn\nm f=2\nm f=3\n"), ["m f=\"torn\n", "m f=2\n", "m f=3\n"]);
}
