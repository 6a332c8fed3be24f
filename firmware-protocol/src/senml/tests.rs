use super::*;

fn records(payload: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    read(payload, |_| {
        count += 1;
        Ok(())
    })
    .map(|()| count)
}

fn refusal(json: &str) -> String {
    records(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_record_has_its_fields_in_either_form() {
    let json =
        br#" [{"bn":"a","bt":1,"bu":"V","bv":2,"bs":3,"bver":10,"n":"b","u":"W","t":4,"v":5.5,"s":6,"ut":7,"x":[{}]}]"#;
    let cbor = [
        0x81, 0xad, 0x21, 0x61, b'a', 0x22, 1, 0x23, 0x61, b'V', 0x24, 2, 0x25, 3, 0x20, 10, 0, 0x61, b'b', 1, 0x61,
        b'W', 6, 4, 2, 0xf9, 0x45, 0x80, 5, 6, 7, 7, 0x61, b'x', 0x81, 0xa0,
    ];
    let expected = Record {
        base_name: Some("a".into()),
        base_time: Some(1.0),
        base_unit: Some("V".into()),
        base_value: Some(2.0),
        base_sum: Some(3.0),
        version: Some(10),
        name: Some("b".into()),
        unit: Some("W".into()),
        time: Some(4.0),
        value: Some(Value::Number(5.5)),
        sum: Some(6.0),
    };
    for payload in [&json[..], &cbor] {
        let mut seen = Vec::new();
        read(payload, |record| {
            seen.push(record.clone());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, std::slice::from_ref(&expected));
    }
}

#[test]
fn what_is_no_pack_is_refused_with_the_reason() {
    for (json, why) in [
        ("[{\"v\":1,\"vb\":true}]", "a record has more than one value"),
        ("[{\"n\":\"a\",\"n\":\"b\"}]", "a record has more than one name"),
        ("[{\"v\":\"1\"}]", "invalid type: string \"1\", expected f64"),
        ("[{\"n\":1}]", "expected text"),
        ("[{\"v\":true}]", "expected f64"),
        ("[{\"vb\":1}]", "expected a boolean"),
        ("[{\"must_\":1}]", "field `must_` must be understood, and is not known here"),
        ("[{\"bver\":-1}]", "expected u64"),
        ("[1]", "expected a record, which is an object"),
        ("[{}", "EOF"),
        ("[{}] x", "trailing characters"),
        ("[{\"v\":1e999}]", "number out of range"),
    ] {
        let text = refusal(json);
        assert!(text.starts_with("senml: ") && text.contains(why), "{json}: {text}");
    }
    assert!(refusal("{}").starts_with("senml: "), "an object alone is no pack");
    assert_eq!(records(b"[]"), Ok(0));
    assert_eq!(records(&[0x80]), Ok(0));
}

#[test]
fn reading_ends_with_the_first_refusal() {
    let mut seen = 0;
    let result = read(b"[{\"v\":1},{\"v\":2},{broken", |_| {
        seen += 1;
        if seen == 2 { Err(DecodeError::NoDevice) } else { Ok(()) }
    });
    assert_eq!((result, seen), (Err(DecodeError::NoDevice), 2));
}
