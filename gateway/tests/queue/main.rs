//! The queue against the real world, once for each engine, through its public door alone.
//!
//! A child process writes and tells what was acknowledged to it (`writer`), a fault strikes, the queue is opened again
//! and judged (`oracle`). What was acknowledged is there, byte for byte, or its consumer has passed it; what damage took
//! is counted to the record; and the ledger balances after each fault.
//!
//! | fault | here | short, long |
//! |---|---|---|
//! | kill -9 at a random moment | `kill`, `once` | 12, 200 |
//! | the power fails, with and without a volatile cache in the disk | `power_cut` | 4, 60 |
//! | a damaged, cut or missing file | `damage` | 40, 1000 |
//! | a disk that is full | `full_disk` | 1, 5 of each |
//! | a clock that goes backwards | `clock` | |
//!
//! `GATEWAY_TEST_LONG` chooses the long setting. What needs root to mount says so loudly where it cannot run. Each test
//! prints its seed; `GATEWAY_TEST_SEED` sets it.

#![cfg(test)]

mod kill;
mod once;
mod power_cut;
mod damage;
mod full_disk;
mod clock;

mod writer;
mod attendant;
mod job;
mod told;
mod workload;
mod child;
mod oracle;
mod template;
mod wound;
mod disk;
mod image;
mod setting;
