//! Who may come in, and what they may publish and read.
//!
//! # Not here
//! Packets and status codes: the doors say what was decided in their own protocol.

mod digest;
pub mod tokens;
mod topics;

pub use topics::Filter;
