//! Sets of windows that mostly follow one another.

use serde::{Deserialize, Serialize};

use super::super::calendar::WindowIndex;

/// As spans without gaps, oldest first: `from` to before `until`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct Runs(Vec<(WindowIndex, WindowIndex)>);

impl Runs {
    pub(super) const NONE: Self = Self(Vec::new());

    pub(super) fn contains(&self, window: WindowIndex) -> bool {
        self.0.iter().any(|(from, until)| (*from..*until).contains(&window))
    }

    pub(super) fn insert(&mut self, window: WindowIndex) {
        let next = WindowIndex(window.0 + 1);
        let place = self.0.partition_point(|(_, until)| *until < window);
        match self.0.get_mut(place) {
            Some((from, until)) if *from <= next => {
                *from = window.min(*from);
                *until = next.max(*until);
                let end = *until;
                if let Some((_, until)) = self.0.get(place + 1).copied().filter(|(from, _)| *from == end) {
                    self.0[place].1 = until;
                    self.0.remove(place + 1);
                }
            }
            Some(_) | None => self.0.insert(place, (window, next)),
        }
    }

    /// Takes out all windows before `end`.
    pub(super) fn take_before(&mut self, end: WindowIndex) -> Vec<WindowIndex> {
        let mut taken = Vec::new();
        while let Some((from, until)) = self.0.first_mut().filter(|(from, _)| *from < end) {
            taken.extend((from.0..until.0.min(end.0)).map(WindowIndex));
            *from = end;
            if *from >= *until {
                self.0.remove(0);
            }
        }
        taken
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = WindowIndex> {
        self.0.iter().flat_map(|(from, until)| (from.0..until.0).map(WindowIndex))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_a_set(steps in proptest::collection::vec((0..40_i64, any::<bool>()), 0..80)) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for (window, is_insert) in steps {
                let window = WindowIndex(window);
                if is_insert {
                    runs.insert(window);
                    set.insert(window);
                } else {
                    let later = set.split_off(&window);
                    prop_assert_eq!(runs.take_before(window), set.into_iter().collect::<Vec<_>>());
                    set = later;
                }
                prop_assert_eq!(runs.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(runs.contains(window), set.contains(&window));
                prop_assert!(runs.0.windows(2).all(|w| w[0].1 < w[1].0), "no two that touch");
            }
        }
    }
}
