//! What detection costs: nanoseconds a reading from a window's readings to its features, beside a plain loop for mean and
//! variance over the same values, which no such figures can be cheaper than; then the close of a device's windows with all
//! detectors, and the memory of a thousand devices.
//!
//! `cargo bench -p gateway --bench detect` prints a line for each case.

mod detect;

fn main() {
    detect::speed::run();
    detect::devices::run();
}
