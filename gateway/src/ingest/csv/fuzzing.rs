//! The pure part of the door on any bytes, for fuzzing: it must not panic, and what it gives must hold together.

use super::convert::{BATCH_ROWS_MAX, Converter, Filled, Progress};
use super::first_pass::FirstPass;
use super::head::Head;
use super::mapping::Mapping;

/// Reads the bytes as a file. The first ones choose the mapping and how the rest is cut in pieces.
///
/// # Panics
/// If a promise of the door is broken: that is what a fuzzer looks for.
pub fn fuzz_csv(data: &[u8]) {
    let Some(([options, piece], file)) = data.split_first_chunk().map(|(first, rest): (&[u8; 2], _)| (*first, rest))
    else {
        return;
    };
    let mut mapping = Mapping { skip_lines: u64::from(options & 3), ..Mapping::default() };
    if options & 4 != 0 {
        mapping.columns = vec!["ts".to_owned(), "device".to_owned(), "a".to_owned(), "b".to_owned()];
    }
    if options & 8 != 0 {
        mapping.set("time_format", "%d.%m.%y %H:%M:%S.%f").expect("a valid pattern");
    }
    if options & 16 != 0 {
        mapping.set("decimal", ",").expect("a valid separator");
    }
    let mut pass = FirstPass::default();
    let is_utf8 = file.chunks(usize::from(piece) + 1).all(|piece| pass.push(piece).is_ok());
    let is_whole = is_utf8 && pass.finish(&mapping, None).is_ok();
    let Ok(head) = Head::read(file, &mapping, "fuzz") else { return };
    let begin = Progress::at(head.rows);
    assert!(begin.offset <= file.len() as u64);
    let mut pieces = file[begin.offset as usize..].chunks(usize::from(piece) + 1);
    let mut converter = Converter::new(head, begin);
    let (mut stored, mut offset) = (0, 0);
    loop {
        match converter.fill() {
            Filled::NeedInput => match pieces.next() {
                Some(piece) => converter.push(piece),
                None => converter.finish(),
            },
            Filled::Batch => {
                let batch = converter.take();
                stored += batch.rows.len() as u64;
                assert!(batch.rows.len() + batch.rejected.len() <= BATCH_ROWS_MAX);
                assert!(batch.progress.offset >= offset && batch.progress.offset <= file.len() as u64);
                offset = batch.progress.offset;
                for row in &batch.rows {
                    serde_json::from_slice::<serde_json::Value>(&row.payload).expect("records are json");
                }
                assert!(!is_whole || !batch.rejected.contains(&"not_utf8"), "the first pass has seen all of it");
                if batch.is_last {
                    assert_eq!(batch.progress.counts.stored, stored);
                    assert_eq!(batch.progress.counts.rows, stored + batch.progress.counts.rejected);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_break_the_door(options in 0_u8..32, piece: u8, bytes: Vec<u8>) {
            fuzz_csv(&[&[options, piece], &bytes[..]].concat());
        }

        #[test]
        fn no_text_that_looks_like_a_table_breaks_the_door(
            options in 0_u8..32,
            piece: u8,
            rows in "(ts|device|a|1772366400|01.03.26 12:00:00.5|-?[0-9]{1,3}|,|;|\t|\"|\r?\n|ß| ){0,120}",
        ) {
            fuzz_csv(&[&[options, piece], rows.as_bytes()].concat());
        }
    }
}
