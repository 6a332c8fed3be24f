use proptest::prelude::*;

use super::*;

/// A row's line and its fields.
type Fields = (u64, Vec<String>);

/// All items of a text that comes in pieces of this size: rows as line and fields, bad lines with their fault.
fn read(mut reader: Reader, text: &[u8], piece: usize) -> (Vec<Fields>, Vec<(u64, RowFault)>) {
    let (mut rows, mut bad, mut pieces) = (Vec::new(), Vec::new(), text.chunks(piece));
    loop {
        match reader.next() {
            Item::Row(row) => rows.push((row.line, row.fields().map(str::to_owned).collect())),
            Item::Bad { line, fault } => bad.push((line, fault)),
            Item::NeedInput => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
            Item::End => return (rows, bad),
        }
    }
}

fn of_columns(columns: usize) -> Reader {
    Reader::resume(b',', Position::default(), Some(columns))
}

fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
    let (rows, bad) = read(Reader::new(b','), text.as_bytes(), text.len().max(1));
    assert_eq!(bad, [], "{text:?}");
    rows
}

fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
    (line, fields.iter().map(|f| (*f).to_owned()).collect())
}

#[test]
fn rows_are_read_whatever_ends_their_lines() {
    for text in ["a,b\nc,d\n", "a,b\r\nc,d\r\n", "a,b\nc,d", "a,b\r\nc,d\r", "\u{FEFF}a,b\nc,d"] {
        assert_eq!(rows(text), [row(1, &["a", "b"]), row(2, &["c", "d"])], "{text:?}");
    }
    assert_eq!(rows(""), []);
    assert_eq!(rows("\n\r\n\n"), []);
}

#[test]
fn line_breaks_in_quotes_and_blank_lines_keep_line_numbers_right() {
    let text = "\n\r\na,\"x\ny\r\n\nz\"\n\nb,\"q\"\"q\"\nc,";
    assert_eq!(rows(text), [row(3, &["a", "x\ny\n\nz"]), row(8, &["b", "q\"q"]), row(9, &["c", ""])]);
}

#[test]
fn a_row_with_too_many_or_too_few_columns_is_bad_unless_the_rest_is_empty() {
    let reader = Reader::resume(b';', Position::default(), Some(2));
    let (rows, bad) = read(reader, b"1;2\n1\n1;2;3\n1;2;;\n1;;\n", 3);
    assert_eq!(rows, [row(1, &["1", "2"]), row(4, &["1", "2", "", ""]), row(5, &["1", "", ""])]);
    let columns = |found| RowFault::Columns { found, expected: 2 };
    assert_eq!(bad, [(2, columns(1)), (3, columns(3))]);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    for piece in [1, 7, 1 << 20] {
        let mut text = "1,2\n3,\"4\n".to_owned();
        for n in 0..200 {
            text.push_str(&format!("{n},0\n"));
        }
        let (rows, bad) = read(of_columns(2), text.as_bytes(), piece);
        assert_eq!(bad, [(2, RowFault::OpenQuote)]);
        assert_eq!((rows.len(), rows[1].0, rows[200].0), (201, 3, 202));
    }
}

#[test]
fn a_quote_that_is_open_at_the_end_costs_one_line() {
    let (rows, bad) = read(Reader::new(b','), b"1,\"2\n3,4\n", 4);
    assert_eq!((rows, bad), (vec![row(2, &["3", "4"])], vec![(1, RowFault::OpenQuote)]));
}

#[test]
fn a_quote_that_is_closed_lines_later_costs_one_line() {
    let text = b"1,\"2\n3,4\n5,6\",7\n8,9\n";
    let (rows, bad) = read(of_columns(2), text, 1 << 20);
    assert_eq!(rows, [row(2, &["3", "4"]), row(4, &["8", "9"])]);
    assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_row_of_several_lines_that_is_given_up_is_read_again_from_its_second_line_on() {
    let mut reader = Reader::new(b',');
    reader.push(b"1,\"2\n3,4\n5,\"\n6,7\n");
    reader.finish();
    assert!(matches!(reader.next(), Item::Row(row) if row.line == 1 && row.len() == 2));
    assert_eq!(reader.position(), Position { offset: 13, line: 4 });
    reader.give_up_row();
    assert_eq!(reader.position(), Position { offset: 5, line: 2 });
    let (rows, bad) = read(reader, b"", 1);
    assert_eq!(rows, [row(2, &["3", "4"]), row(4, &["6", "7"])]);
    assert_eq!(bad, [(3, RowFault::OpenQuote)]);
}

#[test]
fn what_is_too_long_or_too_wide_is_passed_over_in_bounded_memory() {
    let long = "x".repeat(3 * ROW_BYTES_MAX);
    let wide = ",".repeat(COLUMNS_MAX);
    let text = format!("a\n{long}\nb\n{wide}\n{}\n{long}", &wide[1..]);
    let (rows, bad) = read(Reader::new(b','), text.as_bytes(), 1_000);
    assert_eq!(rows, [row(1, &["a"]), row(3, &["b"]), row(5, &[""; COLUMNS_MAX])]);
    assert_eq!(bad, [(2, RowFault::TooLong), (4, RowFault::TooManyColumns), (6, RowFault::TooLong)]);
    let mut reader = Reader::new(b',');
    for piece in text.as_bytes().chunks(1_000) {
        while !matches!(reader.next(), Item::NeedInput | Item::End) {}
        reader.push(piece);
        assert!(reader.input.capacity() <= 3 * ROW_BYTES_MAX, "{}", reader.input.capacity());
    }
}

#[test]
fn a_row_that_is_not_utf_8_is_bad_and_the_others_are_not() {
    let (rows, bad) = read(Reader::new(b','), b"a,1\nW\xE4rme,2\nb,3\n", 5);
    assert_eq!(rows, [row(1, &["a", "1"]), row(3, &["b", "3"])]);
    assert_eq!(bad, [(2, RowFault::NotUtf8)]);
}

/// A field as a simple writer writes it.
fn written(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}

/// Fields with all that is special; a lone carriage return before a line break is the one thing that is not kept.
fn field() -> impl Strategy<Value = String> {
    "([a-z0-9 ;äß]|\"|,|\n){0,8}"
}

proptest! {
    #[test]
    fn what_a_writer_wrote_comes_back_with_the_right_lines(
        table in proptest::collection::vec(proptest::collection::vec(field(), 3), 0..20),
        crlf in any::<bool>(),
        piece in 1_usize..50,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let (mut text, mut line, mut expected) = (String::new(), 1, Vec::new());
        for fields in &table {
            let row = fields.iter().map(|f| written(f)).collect::<Vec<_>>().join(",");
            expected.push((line, fields.clone()));
            line += 1 + row.matches('\n').count() as u64;
            text.push_str(&row);
            text.push_str(end);
        }
        let (rows, bad) = read(of_columns(3), text.as_bytes(), piece);
        prop_assert_eq!(bad, vec![]);
        prop_assert_eq!(rows, expected);
    }

    #[test]
    fn a_reader_that_goes_on_at_any_item_reads_the_same(text in "([0-9]|,|\"|\n|\r\n|x){0,200}", piece in 1_usize..30) {
        let whole = read(of_columns(2), text.as_bytes(), piece);
        for stop_after in 0..8 {
            let (mut first, mut pieces) = (of_columns(2), text.as_bytes().chunks(piece));
            let (mut rows, mut bad, mut items) = (Vec::new(), Vec::new(), 0);
            while items < stop_after {
                match first.next() {
                    Item::Row(row) => rows.push((row.line, row.fields().map(str::to_owned).collect::<Vec<_>>())),
                    Item::Bad { line, fault } => bad.push((line, fault)),
                    Item::NeedInput => {
                        match pieces.next() { Some(piece) => first.push(piece), None => first.finish() }
                        continue;
                    }
                    Item::End => break,
                }
                items += 1;
            }
            let at = first.position();
            let second = Reader::resume(b',', at, Some(2));
            let (more_rows, more_bad) = read(second, &text.as_bytes()[at.offset as usize..], piece);
            rows.extend(more_rows);
            bad.extend(more_bad);
            prop_assert_eq!((&rows, &bad), (&whole.0, &whole.1));
        }
    }
}
