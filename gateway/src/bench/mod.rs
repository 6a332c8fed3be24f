//! What `gateway bench` measures with: a load generator and the accounts of the process under test.

pub mod load;
pub mod process;
