//! What a decoder made of a payload, as tables and as JSON.

use firmware_protocol::decode::{Decoder, DecoderName, Incoming, Route};
use firmware_protocol::measurement::Measurement;
use serde_json::{Value, json};

use crate::text::{Colour, Style, columns, counted, utc};

/// A payload that was decoded.
pub(super) struct Shown<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) name: DecoderName<'a>,
    pub(super) route: &'a Route,
    pub(super) message: Incoming<'a>,
    pub(super) measurement: &'a Measurement,
}

impl Shown<'_> {
    pub(super) fn tables(&self, style: Style) -> String {
        let m = self.measurement;
        let mut text = String::new();
        let mut line = |key: &str, value: String| text += &format!("{} {value}\n", style.paint(Colour::Dim, key));
        line("decoder    ", self.name.to_string());
        line("because    ", self.because());
        line("read as    ", self.decoder.read_as(&self.message).to_owned());
        if !m.device().is_empty() {
            line("device     ", m.device().to_owned());
        }
        line("measurement", self.route.measurement.clone());
        if let Some(identity) = m.identity {
            line("identity   ", format!("boot {}, seq {}", identity.boot.0, identity.seq.0));
        }
        if m.tags().next().is_some() {
            line("tags       ", m.tags().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "));
        }
        if m.is_announcement && m.is_empty() {
            return text + "an announcement: it names channels, or says who came or went; nothing is written\n";
        }
        let heading = ["channel", "event time", "value", "unit"].map(str::to_owned);
        let rows = self.rows().map(|(channel, at, value, unit)| [channel, at, value, unit]);
        let table = columns(std::iter::once(heading).chain(rows));
        let (heading, rest) = table.split_once('\n').unwrap_or((&table, ""));
        text += &format!("\n{}\n{rest}\n", style.paint(Colour::Dim, heading));
        text += &counted((m.readings.len() + m.texts().count()) as u64, "reading");
        if m.uses_received_time {
            text += ", with the time of receipt where the message names none";
        }
        text.push('\n');
        for (number, why) in self.dropped() {
            if number > 0 {
                let text_of = format!("{} dropped: {why}", counted(number.into(), "reading"));
                text += &format!("{}\n", style.paint(Colour::Yellow, &text_of));
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let m = self.measurement;
        let reading = |channel, at, value: Value| {
            let unit = m.unit(channel);
            let mut reading = json!({ "channel": m.channel(channel), "at": utc(at), "value": value });
            if !unit.is_empty() {
                reading["unit"] = unit.into();
            }
            reading
        };
        let numbers = m.readings.iter().map(|r| reading(r.channel, r.at, json!(r.value)));
        let texts = m.texts().map(|(channel, at, text)| reading(channel, at, text.into()));
        json!({
            "decoder": { "id": self.name.id(), "version": self.name.version(), "topic": self.route.topic,
                         "fingerprint": self.route.fingerprint().to_string() },
            "read_as": self.decoder.read_as(&self.message),
            "device": m.device(),
            "measurement": self.route.measurement,
            "identity": m.identity.map(|i| json!({ "boot": i.boot.0, "seq": i.seq.0 })),
            "tags": m.tags().map(|(key, value)| (key.to_owned(), value.into())).collect::<serde_json::Map<_, Value>>(),
            "is_announcement": m.is_announcement,
            "uses_received_time": m.uses_received_time,
            "readings": numbers.chain(texts).collect::<Vec<_>>(),
            "dropped": { "not_finite": m.dropped.not_finite, "out_of_bounds": m.dropped.out_of_bounds,
                         "unknown_words": m.dropped.unknown_words },
        })
    }

    fn because(&self) -> String {
        let before = self.decoder.routes().take_while(|route| route.decoder_id() != self.name.id()).count();
        let others = match before {
            0 => "the first that is tried".to_owned(),
            1 => "the one that is tried before does not".to_owned(),
            _ => format!("the {before} that are tried before do not"),
        };
        format!("its topic `{}` takes `{}`; {others}", self.route.topic, self.message.topic)
    }

    fn rows(&self) -> impl Iterator<Item = (String, String, String, String)> {
        let m = self.measurement;
        let row =
            |channel, at, value: String| (m.channel(channel).to_owned(), utc(at), value, m.unit(channel).to_owned());
        let numbers = m.readings.iter().map(move |r| row(r.channel, r.at, r.value.to_string()));
        numbers.chain(m.texts().map(move |(channel, at, text)| row(channel, at, format!("{text:?}"))))
    }

    fn dropped(&self) -> [(u32, &'static str); 3] {
        let dropped = self.measurement.dropped;
        [
            (dropped.not_finite, "infinite, or not a number"),
            (dropped.out_of_bounds, "outside `min` and `max` of the channel"),
            (dropped.unknown_words, "a text that `words` of the channel does not have"),
        ]
    }
}
