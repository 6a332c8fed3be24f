//! A route that was found to be right, in the form in which it is used.

use super::paths::Tree;
use super::rules::Rules;
use super::tags::Tags;
use super::{Route, RouteFault};
use crate::measurement::EventTime;
use crate::time::{self, Fault};
use crate::topic::Pattern;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) route: Route,
    pub(super) pattern: Pattern,
    pub(crate) rules: Rules,
    pub(crate) tree: Tree,
    pub(super) tags: Tags,
    pub(crate) times: Times,
    pub(super) delimiter: u8,
}

impl Plan {
    /// # Errors
    /// The first thing that is wrong with the route.
    pub(crate) fn new(route: Route) -> Result<Self, RouteFault> {
        let of_channels = route.channels.iter().flat_map(|channel| channel.faults(route.format));
        if let Some(fault) = route.faults().into_iter().chain(of_channels).next() {
            return Err(fault);
        }
        let fault = |field| move |message| RouteFault { field, message };
        let pattern = route.pattern()?;
        let tags = Tags::new(&route.tags, &pattern).map_err(fault("tags"))?;
        let rules = Rules::new(&route)?;
        let tree = Tree::new(&route).map_err(fault("channels"))?;
        let times = Times {
            unit: route.time_unit,
            pattern: route.time_pattern().map_err(fault("time_format"))?,
            east_s: route.east_s().map_err(fault("utc_offset"))?,
        };
        let delimiter = route.delimiter_byte().map_err(fault("delimiter"))?;
        Ok(Self { route, pattern, rules, tree, tags, times, delimiter })
    }
}

/// How the times of a route's payloads are written.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    unit: super::TimeUnit,
    /// Of texts, in place of RFC 3339.
    pattern: Option<time::Pattern>,
    /// How far the clock that wrote the texts is ahead of UTC, if they do not say.
    east_s: i64,
}

impl Times {
    pub(crate) fn integer(&self, value: i64) -> Result<EventTime, Fault> {
        time::from_integer(value, self.unit)
    }

    pub(crate) fn float(&self, value: f64) -> Result<EventTime, Fault> {
        time::from_float(value, self.unit)
    }

    pub(crate) fn text(&self, text: &str) -> Result<EventTime, Fault> {
        match &self.pattern {
            Some(pattern) => pattern.parse(text, self.east_s),
            None => time::from_text(text, self.unit),
        }
    }
}
