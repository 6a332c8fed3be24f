//! What `gateway bench` measures with: a load generator and the accounts of the process under test; and the benchmark of
//! detection, which needs no process.

pub mod detect;
pub mod load;
pub mod process;
