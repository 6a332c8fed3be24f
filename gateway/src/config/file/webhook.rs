//! `[[webhook]]`: an HTTP endpoint that takes batches of records.

use super::{Named, servers, sinks};
use crate::config::reader::Section;
use crate::config::secrets::{self, Keys};
use crate::config::urls;
use crate::config::values::Wrong;
use crate::forward::{DeliveryConfig, FileFormat, Headers, Order, TokenHeader, WebhookConfig};

const HEADERS_MAX: usize = 16;
const TOKEN_HEADER: &str = "Authorization: Bearer {token}";

pub(super) fn read(s: &mut Section<'_, '_>, names: &mut Vec<String>, named: &mut Named) -> WebhookConfig {
    let name = sinks::unique_name(s, "webhook", names);
    let hint = "write the address that takes a POST, such as \"https://host/path\"";
    let url = s.required("url", hint, |url: &String| urls::endpoint(url)).unwrap_or_default();
    let http = servers::http(s, &name, &url, named);
    let formats = [("ndjson", FileFormat::Ndjson), ("line_protocol", FileFormat::LineProtocol)];
    let format = s.choice("format", FileFormat::Ndjson, &formats);
    let gzip = s.value("gzip", false);
    let lines = s.checked("headers", Vec::new(), |lines: &Vec<String>| headers(lines).map(drop));
    let token = secrets::read_source(s, &Keys { file: "token_file", variable: "token_env" });
    let token_header = s.checked("token_header", TOKEN_HEADER.to_owned(), |line: &String| {
        let hint = "write the header with {token} in it, such as \"X-Api-Key: {token}\"";
        TokenHeader::parse(line).map(drop).map_err(|fault| Wrong::new(fault.to_string(), hint))
    });
    let token_header = TokenHeader::parse(&token_header)
        .unwrap_or_else(|_| TokenHeader::parse(TOKEN_HEADER).expect("a default is a header"));
    let default = DeliveryConfig { order: Order::LiveFirst, inflight: 2, ..DeliveryConfig::default() };
    let delivery = sinks::delivery(s, &default);
    let headers = headers(&lines).unwrap_or_default();
    WebhookConfig { name, url, format, gzip, headers, token, token_header, http, delivery }
}

fn headers(lines: &[String]) -> Result<Headers, Wrong> {
    const FORM: &str = "write [\"Name: value\"]; a secret goes into `token_file` or `token_env`, with `token_header`";
    if lines.len() > HEADERS_MAX {
        return Err(Wrong::new(format!("holds {} headers, the limit is {HEADERS_MAX}", lines.len()), FORM));
    }
    Headers::parse(lines).map_err(|fault| Wrong::new(fault.to_string(), FORM))
}
