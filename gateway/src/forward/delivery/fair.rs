//! Who has a place in a batch when there are more records than places: each device gets as many as the others, as long
//! as it has any (max-min fairness), so that the noisiest cannot starve another.

use std::collections::{HashMap, VecDeque};

use super::segment::Item;

/// Takes `places` items out of the queue, those of a device in their order; the rest stays in its order.
pub(super) fn pick(queue: &mut VecDeque<Item>, places: usize) -> Vec<Item> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    queue.iter().for_each(|item| *counts.entry(item.device).or_default() += 1);
    let Shares { each, mut extra } = shares(counts.values().copied(), places);
    let mut taken: HashMap<u32, usize> = HashMap::with_capacity(counts.len());
    let mut picked = Vec::with_capacity(places);
    let mut rest = VecDeque::with_capacity(queue.len().saturating_sub(places));
    for item in queue.drain(..) {
        let taken = taken.entry(item.device).or_default();
        if *taken < each || (*taken == each && extra > 0) {
            extra -= usize::from(*taken == each);
            *taken += 1;
            picked.push(item);
        } else {
            rest.push_back(item);
        }
    }
    *queue = rest;
    picked
}

/// How many places each device may take, and how many of them may take one more.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    each: usize,
    extra: usize,
}

/// Fills up from those who want the least.
fn shares(wanted: impl Iterator<Item = usize>, places: usize) -> Shares {
    let mut wanted: Vec<usize> = wanted.collect();
    wanted.sort_unstable();
    let mut left = places;
    for (served, wants) in wanted.iter().enumerate() {
        let among = wanted.len() - served;
        if left / among < *wants {
            return Shares { each: left / among, extra: left % among };
        }
        left -= wants;
    }
    Shares { each: wanted.last().copied().unwrap_or(0), extra: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_want_little_get_all_and_the_others_share_the_rest_evenly() {
        let of = |wanted: &[usize], places| shares(wanted.iter().copied(), places);
        assert_eq!(of(&[1_000, 2, 3], 105), Shares { each: 100, extra: 0 });
        assert_eq!(of(&[10, 10, 10], 20), Shares { each: 6, extra: 2 });
        assert_eq!(of(&[1, 2], 9), Shares { each: 2, extra: 0 });
        assert_eq!(of(&[5, 5, 5, 5], 2), Shares { each: 0, extra: 2 });
        assert_eq!(of(&[], 2), Shares { each: 0, extra: 0 });
    }
}
