//! What a writer tells its parent, a line each.

use std::fmt;
use std::str::FromStr;

/// What was acknowledged: all of it is to be there after a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Sequences after the last acknowledged records.
    pub(crate) ends: [u64; 2],
    /// Cursors that became durable with them.
    pub(crate) sink: [u64; 2],
    pub(crate) detect: u64,
}

impl fmt::Display for Acked {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { ends: [raw, derived], sink: [sink_raw, sink_derived], detect } = self;
        write!(f, "acked {raw} {derived} {sink_raw} {sink_derived} {detect}")
    }
}

impl FromStr for Acked {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let numbers = line.strip_prefix("acked ").ok_or(())?.split(' ').map(|n| n.parse().map_err(|_| ()));
        let numbers: Vec<u64> = numbers.collect::<Result<_, ()>>()?;
        let [raw, derived, sink_raw, sink_derived, detect] = numbers[..] else { return Err(()) };
        Ok(Self { ends: [raw, derived], sink: [sink_raw, sink_derived], detect })
    }
}

/// What a writer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Acked(Acked),
    /// Doors are held up, for the disk is full; so many commits had failed by then.
    HeldUp {
        failed_commits: u64,
    },
    /// Asked to, it has read all that the sink had not passed, byte for byte: up to these ends.
    Read {
        ends: [u64; 2],
    },
    /// Asked to, it has moved the sink to these ends.
    Drained {
        ends: [u64; 2],
    },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Acked(acked) => acked.fmt(f),
            Self::HeldUp { failed_commits } => write!(f, "held up {failed_commits}"),
            Self::Read { ends: [raw, derived] } => write!(f, "read {raw} {derived}"),
            Self::Drained { ends: [raw, derived] } => write!(f, "drained {raw} {derived}"),
        }
    }
}

impl FromStr for Told {
    type Err = ();

    /// What the test harness says itself is none.
    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse().map_err(|_| ());
        match words[..] {
            ["held", "up", _] => Ok(Self::HeldUp { failed_commits: number(2)? }),
            ["read", _, _] => Ok(Self::Read { ends: [number(1)?, number(2)?] }),
            ["drained", _, _] => Ok(Self::Drained { ends: [number(1)?, number(2)?] }),
            _ => line.parse().map(Self::Acked),
        }
    }
}

#[test]
fn lines_come_back_as_what_was_told() {
    let acked = Acked { ends: [1, 2], sink: [3, 4], detect: 5 };
    let ends = [6, 7];
    for told in [Told::Acked(acked), Told::HeldUp { failed_commits: 8 }, Told::Read { ends }, Told::Drained { ends }] {
        assert_eq!(told.to_string().parse(), Ok(told));
    }
    assert_eq!("test result: ok".parse::<Told>(), Err(()));
}
