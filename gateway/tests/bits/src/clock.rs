//! Stands for the gateway's clock: records carry a time of receipt that is not looked at here.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp;
