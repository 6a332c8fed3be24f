//! Mail: one connection for each message, which has the plot attached.
//!
//! # Invariants
//! - A password goes only over TLS, or to this machine: the configuration sees to it.
//! - `Message-ID` is made of the message's id, the same at each attempt, so that mail programs can tell a repeat; the end
//!   of an incident answers its beginning.
//! - Until the text of the message is sent nothing can have arrived; from then on, only the server's answer tells.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use super::{Outcome, Said, quote};
use crate::alert::message::Message;
use crate::alert::settings::{Mail, MailTls};

/// Tried in this order.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// The good-bye is a courtesy.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::alert) struct SmtpChannel {
    mail: Mail,
    timeout: Duration,
}

impl SmtpChannel {
    pub(super) fn new(mail: &Mail, timeout: Duration) -> Self {
        Self { mail: mail.clone(), timeout }
    }

    pub(super) async fn send(&self, message: &Message) -> Outcome {
        let letter = match letter(&self.mail, message) {
            Ok(letter) => letter,
            Err(reason) => return Outcome::Refused { reason },
        };
        let mut connection = match timeout(self.timeout, self.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(outcome)) => return outcome,
            Err(_elapsed) => return Outcome::not_sent(format!("no connection within {:?}", self.timeout)),
        };
        match timeout(self.timeout, connection.send(letter.envelope(), &letter.formatted())).await {
            Ok(Ok(response)) => {
                // It has the message; how the connection ends changes nothing.
                drop(timeout(QUIT_TIMEOUT, connection.quit()).await);
                Outcome::Sent(Said(quote(&format!("{} {}", response.code(), response.first_line().unwrap_or("")))))
            }
            Ok(Err(error)) if error.is_permanent() => Outcome::Refused { reason: told(&error) },
            Ok(Err(error)) if error.is_transient() => Outcome::not_sent(told(&error)),
            Ok(Err(error)) => Outcome::unknown(told(&error)),
            Err(_elapsed) => Outcome::unknown(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// Greeted, under TLS if it is to be, and logged in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Outcome> {
        let Mail { host, port, tls, ca_file, login, .. } = &self.mail;
        let parameters = match tls {
            MailTls::None => None,
            MailTls::Implicit | MailTls::Starttls => {
                let (host, ca_file) = (host.clone(), ca_file.clone());
                let made = tokio::task::spawn_blocking(move || parameters(host, ca_file.as_deref())).await;
                Some(made.map_err(Outcome::not_sent)?.map_err(|reason| Outcome::Misconfigured { reason })?)
            }
        };
        let (implicit, starttls) = match tls {
            MailTls::Implicit => (parameters, None),
            MailTls::Starttls | MailTls::None => (None, parameters),
        };
        let (server, hello) = ((host.as_str(), *port), ClientId::default());
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &hello, implicit, None).await;
        let mut connection = connected.map_err(|error| Outcome::not_sent(told(&error)))?;
        if let Some(parameters) = starttls {
            if !connection.can_starttls() {
                let reason =
                    "the server offers no STARTTLS, so nothing is sent; mend it there, or set `tls`".to_owned();
                return Err(Outcome::Misconfigured { reason });
            }
            connection.starttls(parameters, &hello).await.map_err(|error| Outcome::not_sent(told(&error)))?;
        }
        if let Some((username, password)) = login {
            let credentials = Credentials::new(username.clone(), password.expose().to_owned());
            connection.auth(&MECHANISMS, &credentials).await.map_err(|error| {
                let reason = format!("login of {username}: {}", told(&error));
                if error.is_transient() { Outcome::not_sent(reason) } else { Outcome::Misconfigured { reason } }
            })?;
        }
        Ok(connection)
    }
}

fn parameters(host: String, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host);
    if let Some(path) = ca_file {
        let pem = fs::read(path).map_err(|e| format!("tls_ca_file {} cannot be read: {e}", path.display()))?;
        let ca = Certificate::from_pem(&pem);
        let ca = ca.map_err(|e| format!("tls_ca_file {} is no certificate: {}", path.display(), told(&e)))?;
        builder = builder.add_root_certificate(ca);
    }
    builder.build_rustls().map_err(|e| format!("tls cannot be set up: {}", told(&e)))
}

fn letter(mail: &Mail, message: &Message) -> Result<lettre::Message, String> {
    let address = |text: &String| text.parse::<Mailbox>().map_err(|e| format!("{text:?} is no address: {e}"));
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut builder = lettre::Message::builder()
        .from(address(&mail.from)?)
        .subject(message.title.clone())
        .message_id(Some(message_id(&message.id)))
        // RFC 3834: nobody's holiday answers to this.
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
    for to in &mail.to {
        builder = builder.to(address(to)?);
    }
    if let Some(first) = &message.answers {
        builder = builder.in_reply_to(message_id(first)).references(message_id(first));
    }
    let built = match &message.svg {
        None => builder.singlepart(SinglePart::plain(message.text.clone())),
        Some(svg) => {
            let kind = ContentType::parse("image/svg+xml").expect("it is a media type");
            let plot = Attachment::new("incident.svg".to_owned()).body(svg.clone(), kind);
            builder.multipart(MultiPart::mixed().singlepart(SinglePart::plain(message.text.clone())).singlepart(plot))
        }
    };
    built.map_err(|e| e.to_string())
}

/// RFC 5322 allows few characters in it.
fn message_id(id: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '.' };
    format!("<{}@alerts.gateway.invalid>", id.chars().map(allowed).collect::<String>())
}

fn told(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let text = error.to_string();
    match cause.filter(|cause| !text.contains(cause)) {
        Some(cause) => quote(&format!("{text}: {cause}")),
        None => quote(&text),
    }
}

#[cfg(test)]
mod tests;
