//! What may be meant as it is written, but lets others see or do more than most would want.

use std::net::{IpAddr, SocketAddr};

use super::Config;
use crate::alert::Target;
use crate::forward::{KafkaConfig, SaslMechanism, SinkConfig};

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
                && mqtt.tls.is_none()
                && matches!(&mqtt.login, Some((_, Some(_))))
                && !is_this_machine(&mqtt.host)
            {
                let (name, host) = (&alert.name, &mqtt.host);
                out.push(format!(
                    "the password of the alert channel {name} crosses the network in the clear: `url` is no mqtts://{host}"
                ));
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
}

fn shows_password(kafka: &KafkaConfig) -> bool {
    let is_plain = kafka.security.login.as_ref().is_some_and(|login| login.mechanism == SaslMechanism::Plain);
    let host = |server: &str| server.trim().rsplit_once(':').map_or(String::new(), |(host, _)| host.to_owned());
    is_plain && kafka.security.tls.is_none() && !kafka.bootstrap.split(',').map(host).all(|host| is_this_machine(&host))
}

fn is_public(bind: SocketAddr) -> bool {
    !bind.ip().is_loopback()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
