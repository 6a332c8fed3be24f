//! Prints check sums of what detection computes: run on two processors, it prints the same.

mod detect;

fn main() {
    for line in detect::lines() {
        println!("{line}");
    }
}
