//! Addresses of brokers and servers.

use reqwest::Url;

use super::values::Wrong;

/// Port of a broker whose address names none.
const MQTT_PORT: u16 = 1883;
const MQTTS_PORT: u16 = 8883;

/// Where a broker is.
pub(super) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

/// Host and port of `mqtt://host:port`, or `mqtts://host:port` for TLS.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn mqtt(text: &str) -> Result<Broker, Wrong> {
    const FORM: &str = "write \"mqtt://host:port\", or \"mqtts://host:port\" for TLS";
    let url = parse(text, &["mqtt", "mqtts"], FORM)?;
    let is_tls = url.scheme() == "mqtts";
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("has more than a host and a port", FORM));
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(Wrong::new("has no host", FORM));
    }
    match url.port() {
        Some(0) => Err(Wrong::new("has port 0", FORM)),
        port => {
            let port = port.unwrap_or(if is_tls { MQTTS_PORT } else { MQTT_PORT });
            Ok(Broker { host: host.to_owned(), port, is_tls })
        }
    }
}

/// A server, perhaps below a path of a reverse proxy.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn http(text: &str) -> Result<(), Wrong> {
    const FORM: &str = "write \"http://host:port\" or \"https://host:port\", and a path if it is below one";
    let url = parse(text, &["http", "https"], FORM)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("has more than a host, a port and a path", FORM));
    }
    Ok(())
}

/// An endpoint, with whatever path and query it has.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn endpoint(text: &str) -> Result<(), Wrong> {
    const FORM: &str = "write \"http://host/path\" or \"https://host/path\"";
    parse(text, &["http", "https"], FORM).map(drop)
}

/// `host:port`, comma separated.
///
/// # Errors
/// What is wrong with the first wrong one.
pub(super) fn bootstrap(text: &str) -> Result<(), Wrong> {
    const FORM: &str = "write \"host:port\", several with commas between";
    for server in text.split(',').map(str::trim) {
        if server.contains(['/', '@', ' ']) {
            return Err(Wrong::new("holds more than hosts and ports", FORM));
        }
        let Some((host, port)) = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
            return Err(Wrong::new(format!("holds {server:?}, which is not a host and a port"), FORM));
        };
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(Wrong::new(format!("holds {host:?} with a port that is none of 1 to 65535"), FORM));
        }
    }
    Ok(())
}

fn parse(text: &str, schemes: &[&str], form: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|why| Wrong::new(format!("is no address: {why}"), form))?;
    if !schemes.contains(&url.scheme()) {
        let message = format!("has the scheme {:?}, not {}", url.scheme(), schemes.join(" or "));
        return Err(Wrong::new(message, form));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new(
            "holds credentials",
            "name them with keys of their own, secrets by `…_file` or `…_env`",
        ));
    }
    Ok(url)
}
