//! Patterns for file names: `*` is any text, `?` any one character.

use std::fmt;

/// Longest pattern, bytes: that of file names.
const PATTERN_MAX: usize = 255;

/// A proven pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Default for Glob {
    fn default() -> Self {
        Self("*.csv".to_owned())
    }
}

impl Glob {
    /// Names that begin with a dot match only patterns that do: programs hide there what is not complete.
    pub fn matches(&self, name: &str) -> bool {
        if name.starts_with('.') && !self.0.starts_with('.') {
            return false;
        }
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut p, mut n) = (0, 0);
        // Where to go back to: behind the last star, with one character more for it.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p + 1, n));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                Some(_) | None => match star {
                    Some((behind, taken)) => {
                        star = Some((behind, taken + 1));
                        (p, n) = (behind, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > PATTERN_MAX {
            return Err(format!("is {} bytes long, outside 1 to {PATTERN_MAX}", text.len()));
        }
        if text.contains('/') {
            return Err("has a /, but only names in `dir` itself are looked at".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, matches) in [
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", false),
            ("*.csv", ".a.csv", false),
            (".*.csv", ".a.csv", true),
            ("*.csv", "a.csv.done", false),
            ("*.csv", "a.CSV", false),
            ("log-????.csv", "log-2026.csv", true),
            ("log-????.csv", "log-26.csv", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("*", "Wärme", true),
            ("W?rme", "Wärme", true),
            ("a", "", false),
        ] {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(name), matches, "{pattern} {name}");
        }
        assert!("a/*.csv".parse::<Glob>().is_err() && "".parse::<Glob>().is_err());
    }

    #[test]
    fn many_stars_are_no_trap() {
        let pattern: Glob = "*a".repeat(60).parse().unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(200))));
    }
}
