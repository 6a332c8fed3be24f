//! What may be meant as it is written, but lets others see or do more than most would want.

use std::net::{IpAddr, SocketAddr};

use super::Config;
use crate::alert::Target;

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

fn is_public(bind: SocketAddr) -> bool {
    !bind.ip().is_loopback()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
