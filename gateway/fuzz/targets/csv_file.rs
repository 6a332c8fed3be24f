//! See `gateway::ingest::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gateway::ingest::fuzzing::csv_file(input));
