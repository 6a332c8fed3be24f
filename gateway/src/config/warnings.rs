//! What may be meant as it is written, but lets others see or do more than most would want.

use std::net::{IpAddr, SocketAddr};

use super::Config;
use crate::alert::Target;
use crate::forward::{KafkaConfig, Kind, MqttSinkConfig, SaslMechanism, SinkConfig};
use crate::ingest::MqttConfig;
use crate::publisher::Broker;

impl Config {
    /// One sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(listen) = &self.listen
            && is_public(listen.bind)
        {
            let bind = listen.bind;
            if listen.tls.is_none() && listen.access.users_file.is_some() {
                out.push(format!(
                    "passwords of sensors cross the network in the clear: `listen` has no `tls_cert_file` on {bind}"
                ));
            }
            if listen.access.admits_anonymous && listen.access.users_file.is_none() && listen.tls.is_none() {
                out.push(format!("whoever reaches {bind} may send messages: `listen.allow_anonymous` is set"));
            }
        }
        for broker in &self.mqtt {
            if broker.tls.is_none() && broker.password.is_some() && !is_this_machine(&broker.host) {
                let (name, host) = (&broker.name, &broker.host);
                out.push(format!(
                    "the password for broker {name} crosses the network in the clear: `url` is no mqtts://{host}"
                ));
            }
        }
        for sink in &self.sinks {
            if let SinkConfig::Kafka(kafka) = sink
                && shows_password(kafka)
            {
                let name = &kafka.name;
                out.push(format!(
                    "the password of the sink {name} crosses the network in the clear: set `tls`, or `sasl` to a scram"
                ));
            }
        }
        for alert in &self.alerts {
            if let Target::Mqtt(mqtt) = &alert.target
                && shows_its_password(&mqtt.broker)
            {
                let (name, host) = (&alert.name, &mqtt.broker.host);
                out.push(format!(
                    "the password of the alert channel {name} crosses the network in the clear: `url` is no mqtts://{host}"
                ));
            }
        }
        for sink in &self.sinks {
            if let SinkConfig::Mqtt(sink) = sink {
                if shows_its_password(&sink.broker) {
                    let (name, host) = (&sink.name, &sink.broker.host);
                    out.push(format!(
                        "the password of the sink {name} crosses the network in the clear: `url` is no mqtts://{host}"
                    ));
                }
                out.extend(self.comes_back(sink));
            }
        }
        if let Some(http) = &self.http
            && is_public(http.bind)
        {
            let bind = http.bind;
            if http.tokens.is_empty() {
                out.push(format!("whoever reaches {bind} may use it: `http.allow_anonymous` is set"));
            } else if http.tls.is_none() {
                out.push(format!(
                    "tokens cross the network in the clear: `http` has no `tls_cert_file` on {bind}, nor a proxy's"
                ));
            }
        }
        out
    }

    /// What the sink publishes may come in again, and would be published again.
    fn comes_back(&self, sink: &MqttSinkConfig) -> Option<String> {
        let MqttSinkConfig { name, broker, topic, raw_topic, delivery, .. } = sink;
        if let Some(listen) = &self.listen
            && listen.bind.port() == broker.port
            && (is_this_machine(&broker.host) || broker.host == listen.bind.ip().to_string())
        {
            return Some(format!("the sink {name} publishes at the gateway's own door [listen]: all comes in again"));
        }
        let is_raw = |kind: &Kind| *kind == Kind::Raw;
        let templates = [
            (topic, delivery.filter.kinds.iter().any(|kind| !is_raw(kind))),
            (raw_topic, delivery.filter.kinds.iter().any(is_raw)),
        ];
        let same = |door: &&MqttConfig| door.host == broker.host && door.port == broker.port;
        self.mqtt.iter().filter(same).find_map(|door| {
            let used = templates.iter().filter(|(_, is_used)| *is_used);
            let mut begins = used.map(|(template, _)| template.first_levels(&self.gateway.name));
            let (begin, filter) =
                begins.find_map(|begin| door.subscribe.iter().find(|f| may_match(f, &begin)).map(|f| (begin, f)))?;
            let door = &door.name;
            Some(format!(
                "what the sink {name} publishes under \"{begin}\" may come in again: broker {door} has the same \
                 address and `subscribe` has \"{filter}\""
            ))
        })
    }
}

/// Whether the filter may take a topic that begins with these levels.
fn may_match(filter: &str, begin: &str) -> bool {
    let filter = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |(_, rest)| rest);
    let levels = begin.split('/').filter(|_| !begin.is_empty());
    let mut wanted = filter.split('/');
    for level in levels {
        match wanted.next() {
            Some("#") => return true,
            Some(other) if other == "+" || other == level => {}
            Some(_) | None => return false,
        }
    }
    true
}

fn shows_password(kafka: &KafkaConfig) -> bool {
    let is_plain = kafka.security.login.as_ref().is_some_and(|login| login.mechanism == SaslMechanism::Plain);
    let host = |server: &str| server.trim().rsplit_once(':').map_or(String::new(), |(host, _)| host.to_owned());
    is_plain && kafka.security.tls.is_none() && !kafka.bootstrap.split(',').map(host).all(|host| is_this_machine(&host))
}

fn is_public(bind: SocketAddr) -> bool {
    !bind.ip().is_loopback()
}

fn shows_its_password(broker: &Broker) -> bool {
    let has_password = matches!(&broker.login, Some((_, Some(_))));
    has_password && broker.tls.is_none() && !is_this_machine(&broker.host)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::may_match;

    #[test]
    fn a_filter_may_match_what_begins_as_it_does() {
        for (filter, begin) in
            [("#", "gateway/edge"), ("+/edge/#", "gateway/edge"), ("$share/g/a/#", "a"), ("a/b/c", "a"), ("a", "")]
        {
            assert!(may_match(filter, begin), "{filter} {begin}");
        }
        for (filter, begin) in [("sensors/#", "gateway/edge"), ("+", "a/b"), ("$share/g/a/#", "b")] {
            assert!(!may_match(filter, begin), "{filter} {begin}");
        }
    }
}
