use super::*;
use crate::ingest::csv::mapping::Mapping;

/// All batches of a file that comes in pieces of this size, from `progress` on.
fn batches(text: &str, piece: usize, progress: Option<&Progress>) -> Vec<Batch> {
    let head = Head::read(text.as_bytes(), &Mapping::default(), "m").unwrap();
    let progress = progress.cloned().unwrap_or_else(|| Progress::at(head.rows));
    let mut pieces = text.as_bytes()[progress.offset as usize..].chunks(piece);
    let mut converter = Converter::new(head, progress);
    let mut batches = Vec::new();
    loop {
        match converter.fill() {
            Filled::NeedInput => match pieces.next() {
                Some(piece) => converter.push(piece),
                None => converter.finish(),
            },
            Filled::Batch => {
                batches.push(converter.take());
                if batches.last().unwrap().is_last {
                    return batches;
                }
            }
        }
    }
}

/// A file with this many rows; every tenth has no time.
fn file(rows: u64) -> String {
    let mut text = "ts,a\n".to_owned();
    for n in 0..rows {
        let time = if n % 10 == 3 { "soon".to_owned() } else { (1_772_366_400 + n).to_string() };
        text.push_str(&format!("{time},{n}\n"));
    }
    text
}

fn payloads(batches: &[Batch]) -> Vec<Bytes> {
    batches.iter().flat_map(|batch| batch.rows.iter().map(|row| row.payload.clone())).collect()
}

#[test]
fn each_row_is_counted_once_and_the_first_bad_ones_are_listed() {
    let batches = batches(&file(5_000), 999, None);
    assert_eq!(batches.len(), 3);
    assert!(batches.iter().all(|batch| batch.rows.len() + batch.rejected.len() <= BATCH_ROWS_MAX));
    let counts = &batches.last().unwrap().progress.counts;
    assert_eq!((counts.rows, counts.stored, counts.rejected), (5_000, 4_500, 500));
    assert_eq!(counts.errors.len(), ERRORS_MAX);
    let first = &counts.errors[0];
    assert!(first.line == 5 && first.reason.contains("`soon` is no time"), "{first:?}");
    assert_eq!(payloads(&batches).len(), 4_500);
    assert_eq!(batches.iter().flat_map(|batch| &batch.rejected).count(), 500);
}

#[test]
fn going_on_from_any_batch_gives_the_same_rows_and_counts() {
    let text = file(9_000);
    let whole = batches(&text, 4_096, None);
    for done in 1..whole.len() {
        let rest = batches(&text, 777, Some(&whole[done - 1].progress));
        assert_eq!(payloads(&rest), payloads(&whole[done..]));
        assert_eq!(rest.last().unwrap().progress, whole.last().unwrap().progress);
    }
}

#[test]
fn a_file_with_a_header_alone_is_one_empty_batch() {
    let batches = batches("ts,a\n", 100, None);
    assert!(batches.len() == 1 && batches[0].is_last && batches[0].rows.is_empty());
}

#[test]
fn wide_rows_make_smaller_batches() {
    let names: String = (0..200).map(|n| format!(",channel_{n}")).collect();
    let row = format!("1772366400{}\n", ",12345.678".repeat(200));
    let batches = batches(&format!("ts{names}\n{}", row.repeat(1_000)), 10_000, None);
    let sizes = batches.iter().map(|batch| batch.rows.iter().map(|row| row.payload.len()).sum::<usize>());
    assert!(batches.len() > 5 && sizes.max().unwrap() < BATCH_BYTES + 10_000);
}

#[test]
fn rows_of_one_device_share_its_topic() {
    let batches = batches("ts,device,a\n1772366400,m,1\n1772366401,m,2\n1772366402,n,3\n", 100, None);
    let topics: Vec<_> = batches[0].rows.iter().map(|row| row.topic.as_ptr()).collect();
    assert!(topics[0] == topics[1] && topics[1] != topics[2]);
}

#[test]
fn two_lost_quotes_cost_their_two_lines() {
    let batches = batches("ts,a\n1772366400,\"1\n1772366401,2\n1772366402,\"3\n1772366403,4\n", 100, None);
    let counts = &batches[0].progress.counts;
    assert_eq!((counts.stored, counts.rejected), (2, 2), "{counts:?}");
    assert_eq!(counts.errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
}
