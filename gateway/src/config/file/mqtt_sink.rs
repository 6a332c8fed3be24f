//! `[[mqtt_sink]]`: a broker to publish at.

use super::sink_filter::some_kinds;
use super::{Gateway, Named, publishing, sinks};
use crate::config::nearest::nearest;
use crate::config::reader::Section;
use crate::config::values::{Size, Wrong};
use crate::forward::{DeliveryConfig, Filter, Kind, MqttSinkConfig, TemplateFault, TopicTemplate};

const TOPIC: &str = "gateway/{gateway}/{log}/{device}";
const RAW_TOPIC: &str = "gateway/{gateway}/raw/{topic}";
/// MQTT's own limit for a packet is 256 MiB.
const PAYLOAD_MAX: Size = Size(255 << 20);
const PAYLOAD_MIN: Size = Size(1 << 10);
/// What mosquitto, EMQX and HiveMQ take without a word is more; AWS IoT takes 128 KiB.
const PAYLOAD_DEFAULT: Size = Size(128 << 10);

pub(super) fn read(
    s: &mut Section<'_, '_>,
    gateway: &Gateway,
    names: &mut Vec<String>,
    named: &mut Named,
) -> MqttSinkConfig {
    let name = sinks::unique_name(s, "mqtt-out", names);
    let broker = publishing::broker(s, &name, format!("{}-{name}", gateway.name), named);
    let topic = template(s, "topic", TOPIC, &TopicTemplate::NAMES);
    let raw_topic = template(s, "raw_topic", RAW_TOPIC, &TopicTemplate::RAW_NAMES);
    let retain = some_kinds(s, "retain", &[Kind::Incidents], |_| Ok(()));
    let payload_max_bytes = s.within("payload_max", PAYLOAD_DEFAULT, PAYLOAD_MIN..=PAYLOAD_MAX).0 as usize;
    let status = s.value("status", true);
    let status_topic = if status { format!("gateway/{}/{name}/status", gateway.name) } else { String::new() };
    // What sensors send comes from a broker as a rule, and would go back there.
    let filter = Filter { kinds: Kind::ALL[1..].to_vec(), ..Filter::default() };
    let delivery = sinks::delivery(s, &DeliveryConfig { filter, ..DeliveryConfig::default() });
    MqttSinkConfig { name, broker, topic, raw_topic, retain, payload_max_bytes, status_topic, delivery }
}

fn template(s: &mut Section<'_, '_>, key: &'static str, default: &str, names: &[&str]) -> TopicTemplate {
    let text = s.checked(key, default.to_owned(), |text: &String| {
        TopicTemplate::parse(text, names).map(drop).map_err(|fault| wrong(&fault, names))
    });
    TopicTemplate::parse(&text, names)
        .unwrap_or_else(|_| TopicTemplate::parse(default, names).expect("a default is a template"))
}

fn wrong(fault: &TemplateFault, names: &[&str]) -> Wrong {
    let hint = match fault {
        TemplateFault::Unknown { name } => match nearest(name, names) {
            Some(known) => format!("did you mean {{{known}}}?"),
            None => format!("write one of {{{}}}", names.join("}, {")),
        },
        TemplateFault::Empty | TemplateFault::Wildcard | TemplateFault::Brace => {
            format!("write a topic such as \"{TOPIC}\"")
        }
    };
    Wrong::new(fault.to_string(), hint)
}
