//! Headers of requests, proven when the configuration is read.

use reqwest::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use crate::secret::Secret;

const TOKEN: &str = "{token}";
/// What HTTP itself needs, or the sink says.
const OWN: [HeaderName; 5] = [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// Headers without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// The header with the token, and what stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHeader {
    name: HeaderName,
    before: String,
    after: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    #[error("holds {line:?}, which is no header")]
    NoHeader { line: String },
    #[error("holds the header {name}, which is the sink's own to set")]
    Own { name: String },
    #[error("has no {{token}} in its value, or more than one")]
    NoToken,
}

impl Headers {
    /// Of lines `Name: value`.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(lines: &[String]) -> Result<Self, HeaderFault> {
        lines.iter().map(|line| header(line)).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            map.append(name.clone(), value.clone());
        }
        map
    }
}

impl TokenHeader {
    /// Of a line such as `Authorization: Bearer {token}`.
    ///
    /// # Errors
    /// It is no header, or has no place for the token.
    pub fn parse(line: &str) -> Result<Self, HeaderFault> {
        let (name, _) = header(line)?;
        let value = line.split_once(':').map_or("", |(_, value)| value.trim());
        match value.split_once(TOKEN) {
            Some((before, after)) if !after.contains(TOKEN) => {
                Ok(Self { name, before: before.to_owned(), after: after.to_owned() })
            }
            Some(_) | None => Err(HeaderFault::NoToken),
        }
    }

    /// No value, if the token holds what a header cannot.
    pub(super) fn with(&self, token: &Secret) -> (HeaderName, Option<HeaderValue>) {
        let value = HeaderValue::from_str(&format!("{}{}{}", self.before, token.expose(), self.after)).ok();
        let value = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        (self.name.clone(), value)
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), HeaderFault> {
    let parsed = line.split_once(':').and_then(|(name, value)| {
        Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
    });
    let (name, value) = parsed.ok_or_else(|| HeaderFault::NoHeader { line: line.to_owned() })?;
    if OWN.contains(&name) {
        return Err(HeaderFault::Own { name: name.to_string() });
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value_and_none_of_the_sinks_own() {
        let headers = Headers::parse(&["X-Site: hall 3".to_owned(), "x-a:b".to_owned()]).unwrap().to_map();
        assert_eq!((headers["x-site"].to_str().unwrap(), headers["x-a"].to_str().unwrap()), ("hall 3", "b"));
        for (line, fault) in [("X-Site", "is no header"), ("a b: c", "is no header"), ("Host: a", "own to set")] {
            let error = Headers::parse(&[line.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn the_token_goes_where_its_place_is_and_is_not_shown() {
        let header = TokenHeader::parse("Authorization: Bearer {token}").unwrap();
        let (name, value) = header.with(&Secret::new("t0ken"));
        let value = value.unwrap();
        assert_eq!(
            (name.as_str(), value.to_str().unwrap(), value.is_sensitive()),
            ("authorization", "Bearer t0ken", true)
        );
        assert_eq!(TokenHeader::parse("X-Api-Key: key"), Err(HeaderFault::NoToken));
        assert_eq!(TokenHeader::parse("X: {token}{token}"), Err(HeaderFault::NoToken));
        assert_eq!(header.with(&Secret::new("a\nb")).1, None);
    }
}
