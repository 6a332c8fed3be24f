//! The known word nearest to a mistyped one.

/// The candidate within a third of the word's length in edits (at least one), nearest first.
pub(super) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let limit = (word.chars().count() / 3).max(1);
    let distances = candidates.iter().map(|c| (distance(&word, c), *c));
    distances.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_each_kind_of_edit_once() {
        for (a, b, want) in
            [("", "ab", 2), ("qos", "qos", 0), ("qso", "qos", 1), ("ursl", "url", 1), ("bnd", "bind", 1)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn a_word_far_from_all_candidates_gets_no_suggestion() {
        assert_eq!(nearest("keepalive", &["keep_alive", "qos"]), Some("keep_alive"));
        assert_eq!(nearest("Keep-Alive", &["keep_alive", "qos"]), Some("keep_alive"));
        assert_eq!(nearest("colour", &["keep_alive", "qos"]), None);
    }
}
