//! Whether certificates, keys and users can be used, and for how long.

use crate::config::{Credentials, CredentialsOf, Fault, Faults, Loaded};
use crate::ingest::access::users::Users;
use crate::ingest::tls::{ClientConfig, Validity};
use crate::text::counted;

const DAY_S: i64 = 86_400;
/// Renewal services renew a month before the end: what is nearer has been forgotten.
const RENEW_BEFORE_DAYS: i64 = 30;

/// One line for each file that is used, with what is to be said about it.
///
/// # Errors
/// The files that cannot be used.
pub(super) fn check(loaded: &Loaded, now_s: i64) -> Result<Vec<String>, Faults> {
    let (mut told, mut faults) = (Vec::new(), Vec::new());
    for credentials in &loaded.credentials {
        match look_at(&credentials.of, now_s) {
            Ok(line) => told.extend(line),
            Err(why) => faults.push(fault(credentials, &why)),
        }
    }
    if faults.is_empty() { Ok(told) } else { Err(loaded.faults(faults)) }
}

fn look_at(of: &CredentialsOf, now_s: i64) -> Result<Option<String>, String> {
    Ok(match of {
        CredentialsOf::Door { door, tls } => {
            let validity = tls.check().map_err(|why| why.to_string())?;
            Some(format!("certificate of {door}, {}: {}", tls.cert_file.display(), holds(validity, now_s)))
        }
        CredentialsOf::Broker { name, tls } => client("broker", name, tls, now_s)?,
        CredentialsOf::Sink { name, tls } => client("sink", name, tls, now_s)?,
        CredentialsOf::Users { path } => {
            let users = Users::read(path).map_err(|why| why.to_string())?;
            Some(format!("users file {}: {}", path.display(), counted(users.count() as u64, "user")))
        }
    })
}

fn client(kind: &str, name: &str, tls: &ClientConfig, now_s: i64) -> Result<Option<String>, String> {
    let validity = tls.check().map_err(|why| why.to_string())?;
    let pair = tls.certificate.as_ref();
    Ok(pair
        .map(|pair| format!("certificate for {kind} {name}, {}: {}", pair.cert_file.display(), holds(validity, now_s))))
}

fn holds(validity: Option<Validity>, now_s: i64) -> String {
    let Some(Validity { not_before_s, not_after_s }) = validity else { return "its dates cannot be read".to_owned() };
    let days = (not_after_s - now_s).div_euclid(DAY_S);
    if now_s < not_before_s {
        return "WARNING: not valid yet by this machine's clock".to_owned();
    }
    if now_s > not_after_s {
        return format!("WARNING: expired {} ago, by this machine's clock", counted((-days).unsigned_abs(), "day"));
    }
    let warning = if days < RENEW_BEFORE_DAYS { "WARNING: " } else { "" };
    format!("{warning}expires in {}", counted(days.unsigned_abs(), "day"))
}

fn fault(credentials: &Credentials, why: &str) -> Fault {
    let (message, hint) = why.split_once("\nhint: ").unwrap_or((why, "mend or replace the file"));
    Fault::new(credentials.place.clone(), message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_certificate_holds_is_told_in_days() {
        let validity = Some(Validity { not_before_s: 0, not_after_s: 100 * DAY_S });
        assert_eq!(holds(validity, -1), "WARNING: not valid yet by this machine's clock");
        assert_eq!(holds(validity, 50 * DAY_S), "expires in 50 days");
        assert_eq!(holds(validity, 98 * DAY_S + 1), "WARNING: expires in 1 day");
        assert_eq!(holds(validity, 102 * DAY_S), "WARNING: expired 2 days ago, by this machine's clock");
    }
}
