//! Which records a sink gets: the keys that all sinks have for it.

use std::fmt;

use crate::config::filters;
use crate::config::nearest::nearest;
use crate::config::reader::Section;
use crate::config::values::Wrong;
use crate::forward::{Filter, Kind, Matches, Patterns};

/// Each is tried on each record.
const PATTERNS_MAX: usize = 64;
const NAMES: &str = "write names, `*` for any text and `!` in front to leave one out: [\"pump-*\", \"!pump-9\"]";
const TOPICS: &str = "write topic filters, `!` in front to leave topics out: [\"sensors/#\", \"!sensors/test/#\"]";

pub(super) fn read(s: &mut Section<'_, '_>, default: &Filter) -> Filter {
    let filter = Filter {
        kinds: some_kinds(s, "logs", &default.kinds, |names| {
            let hint =
                || format!("write some of \"{}\", or take the sink out", Kind::ALL.map(Kind::name).join("\", \""));
            if names.is_empty() { Err(Wrong::new("is empty: the sink would get nothing", hint())) } else { Ok(()) }
        }),
        devices: patterns(s, "devices", NAMES, |_| Ok(())),
        channels: patterns(s, "channels", NAMES, |_| Ok(())),
        topics: patterns(s, "topics", TOPICS, filters::check),
    };
    if !filter.topics.takes_all() && !filter.takes_kind(Kind::Raw) {
        let message = "`topics` is for raw records, which `logs` leaves out";
        s.fault(Some("topics"), message, "take it out, or add \"raw\" to `logs`");
    }
    filter
}

/// Kinds of records, which also pass `check`.
pub(super) fn some_kinds(
    s: &mut Section<'_, '_>,
    key: &'static str,
    default: &[Kind],
    check: impl Fn(&[String]) -> Result<(), Wrong>,
) -> Vec<Kind> {
    let default = default.iter().map(|kind| kind.name().to_owned()).collect();
    let names = s.checked(key, default, |names: &Vec<String>| {
        check(names)?;
        kinds(names).map(drop)
    });
    kinds(&names).unwrap_or_default()
}

fn kinds(names: &[String]) -> Result<Vec<Kind>, Wrong> {
    let known = Kind::ALL.map(Kind::name);
    let kind = |name: &String| {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let hint = match nearest(name, &known) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("write some of \"{}\"", known.join("\", \"")),
            };
            Wrong::new(format!("holds {name:?}, which is no log"), hint)
        })
    };
    names.iter().map(kind).collect()
}

fn patterns<P: Matches>(
    s: &mut Section<'_, '_>,
    key: &'static str,
    form: &str,
    check: impl Fn(&str) -> Result<(), Wrong>,
) -> Patterns<P>
where
    P::Err: fmt::Display,
{
    let texts = s.checked(key, Vec::new(), |texts: &Vec<String>| {
        if texts.len() > PATTERNS_MAX {
            let message = format!("holds {} patterns, the limit is {PATTERNS_MAX}", texts.len());
            return Err(Wrong::new(message, form));
        }
        texts.iter().try_for_each(|text| check(text.strip_prefix('!').unwrap_or(text)))?;
        let wrong = |(text, why): (&str, P::Err)| Wrong::new(format!("holds {text:?}: {why}"), form);
        Patterns::<P>::parse(texts.iter().map(String::as_str)).map(drop).map_err(wrong)
    });
    Patterns::parse(texts.iter().map(String::as_str)).unwrap_or_default()
}
