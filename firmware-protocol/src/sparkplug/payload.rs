//! The protobuf message `Payload` (section 6.4.5), read in place.

use super::metric::is_control;
use super::protobuf::{Fields, Value as Wire};
use super::{Fault, Label, Metric, Value};

/// A position in an edge node's sequence of births and data (section 6.4.5): 0 to 255, and 0 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seq(pub u8);

impl Seq {
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A payload whose own fields are read; its metrics are read as they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    /// When it was sent, milliseconds since 1970.
    pub timestamp: Option<u64>,
    /// Missing in deaths and commands.
    pub seq: Option<Seq>,
}

impl<'a> Payload<'a> {
    /// Empty bytes are a valid payload without anything.
    ///
    /// # Errors
    /// The bytes are no protobuf message, or a field is of another type than Sparkplug's.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut payload = Self { bytes, timestamp: None, seq: None };
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Wire::Varint(at)) => payload.timestamp = Some(at),
                (2, Wire::Bytes(_)) => {}
                (3, Wire::Varint(seq)) => payload.seq = Some(Seq(u8::try_from(seq).map_err(|_| Fault::Seq(seq))?)),
                (1..=3, value) => return Err(value.unexpected(number)),
                // uuid, body and extensions say nothing here.
                _ => {}
            }
        }
        Ok(payload)
    }

    /// The metrics in their order; ends after the first that cannot be read.
    pub fn metrics(&self) -> Metrics<'a> {
        Metrics { fields: Fields::of(self.bytes) }
    }

    /// As [`Self::metrics`], for the path of every message: a metric is given in place, not moved out of an iterator, which
    /// is a sixth of the time that data by alias takes.
    ///
    /// # Errors
    /// The first metric that cannot be read, or what `each` says.
    pub fn for_each_metric<E: From<Fault>>(&self, mut each: impl FnMut(&Metric<'a>) -> Result<(), E>) -> Result<(), E> {
        let mut fields = Fields::of(self.bytes);
        while let Some((number, value)) = fields.next()? {
            if let (2, Wire::Bytes(metric)) = (number, value) {
                each(&Metric::parse(metric)?)?;
            }
        }
        Ok(())
    }

    /// The numbers under which a data message's metrics are looked up (see [`Label::number`]), in its order; of those
    /// that make no reading there is none. A number may come more than once.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let readings = self.metrics().filter_map(Result::ok).filter(Metric::has_reading);
        let labels = readings.filter_map(|metric| metric.label().ok());
        labels.filter(|label| !matches!(label, Label::Name(name) if is_control(name))).map(Label::number)
    }

    /// The number that a node's birth and death have in common (section 6.4.19 and 6.4.25).
    pub fn bd_seq(&self) -> Option<u64> {
        let metric = self.metrics().filter_map(Result::ok).find(|metric| metric.name == Some("bdSeq"))?;
        match metric.value? {
            Value::Int(v) => Some(u64::from(v)),
            Value::Long(v) => Some(v),
            Value::Float(_) | Value::Double(_) | Value::Bool(_) | Value::Text(_) | Value::Other => None,
        }
    }
}

/// The metrics of a [`Payload`].
#[derive(Clone, Debug)]
pub struct Metrics<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Metrics<'a> {
    type Item = Result<Metric<'a>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let metric = loop {
            match self.fields.next().transpose()? {
                Ok((2, Wire::Bytes(metric))) => break Metric::parse(metric),
                Ok(_) => {}
                Err(fault) => break Err(fault),
            }
        };
        if metric.is_err() {
            self.fields = Fields::of(&[]);
        }
        Some(metric)
    }
}
