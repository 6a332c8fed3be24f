//! What detection costs: nanoseconds a reading from a window's readings to its features, beside a plain loop for mean and
//! variance over the same values, which no such figures can be cheaper than.
//!
//! `cargo bench -p gateway --bench detect` prints a line for each case.

mod detect;

fn main() {
    detect::speed::run();
}
