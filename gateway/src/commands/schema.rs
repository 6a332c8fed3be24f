//! `gateway schema …`: the decoders of a configuration, and what they make of a payload.

mod hint;
mod shown;
mod test;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use firmware_protocol::decode::{Decoder, Format, Route};
use serde::Serialize;
use serde_json::json;

use super::unless_closed;
use crate::cli::{SchemaListArgs, SchemaShowArgs, SchemaVerb};
use crate::config;
use crate::text::{Colour, Style, columns};

/// # Errors
/// Faults of the configuration, a decoder that is not there, or a payload that cannot be decoded.
pub fn run(verb: SchemaVerb) -> anyhow::Result<()> {
    match verb {
        SchemaVerb::List(args) => list(&args),
        SchemaVerb::Show(args) => show(&args),
        SchemaVerb::Test(args) => test::run(&args),
    }
}

fn list(args: &SchemaListArgs) -> anyhow::Result<()> {
    let routes = config::decoders(args.config.as_deref())?;
    let text = if args.json {
        let route = |route: &Route| {
            json!({
                "id": route.decoder_id(),
                "version": route.version,
                "topic": route.topic,
                "format": format_name(route.format),
                "fingerprint": route.fingerprint().to_string(),
            })
        };
        format!("{:#}\n", routes.iter().map(route).collect::<serde_json::Value>())
    } else {
        table(&routes, Style::of_stdout())
    };
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

fn table(routes: &[Route], style: Style) -> String {
    let heading = ["decoder", "version", "topic", "format", "fingerprint"].map(str::to_owned);
    let row = |route: &Route| {
        let (id, topic) = (route.decoder_id().to_owned(), route.topic.clone());
        let format = format_name(route.format).to_owned();
        [id, route.version.to_string(), topic, format, route.fingerprint().to_string()]
    };
    let lines = columns(std::iter::once(heading).chain(routes.iter().map(row)));
    let (heading, rest) = lines.split_once('\n').unwrap_or((&lines, ""));
    format!("{}\n{rest}", style.paint(Colour::Dim, heading))
}

fn show(args: &SchemaShowArgs) -> anyhow::Result<()> {
    let routes = config::decoders(args.config.as_deref())?;
    let Some(route) = routes.iter().find(|route| route.decoder_id() == args.id) else {
        let known: Vec<String> = routes.iter().map(|route| format!("`{}`", route.decoder_id())).collect();
        bail!("no decoder is called `{}`\nhint: there are {}", args.id, known.join(", "));
    };
    unless_closed(write!(std::io::stdout().lock(), "{}", copyable(route)?))
}

/// The whole table, as it can be copied: it gives the same decoder, of the same id.
fn copyable(route: &Route) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Tables<'a> {
        decode: [&'a Route; 1],
    }
    // What is left out would get its default, which for this one is another field; and an id must not follow the topic.
    let time_field = route.time_field.clone().or(Some(String::new()));
    let route = Route { id: route.decoder_id().to_owned(), time_field, ..route.clone() };
    let text = toml::to_string(&Tables { decode: [&route] }).context("the table has no form in TOML")?;
    Ok(format!("# fingerprint {}\n{text}", route.fingerprint()))
}

/// As the configuration has it.
fn format_name(format: Format) -> &'static str {
    Format::ALL.into_iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name)
}

fn decoder(path: Option<&Path>) -> anyhow::Result<Decoder> {
    Decoder::new(config::decoders(path)?).map_err(anyhow::Error::msg)
}

#[cfg(test)]
mod tests {
    use firmware_protocol::decode::Channel;

    use super::*;

    #[test]
    fn a_table_that_is_shown_gives_the_same_decoder_where_it_is_copied_to() {
        let channel = Channel { path: "a.b[0]".into(), min: Some(-40.0), ..Channel::default() };
        let odd = Route {
            topic: "a/{device}".into(),
            time_field: None,
            tags: [("floor".to_owned(), "2".to_owned())].into(),
            channels: vec![channel],
            ..Route::default()
        };
        for route in Route::defaults().into_iter().chain([odd]) {
            let text = copyable(&route).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("part.toml");
            std::fs::write(&file, &text).unwrap();
            let copied = config::decoders(Some(&file)).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!((copied[0].decoder_id(), copied[0].version), (route.decoder_id(), route.version));
            assert_eq!(copied[0].fingerprint(), route.fingerprint(), "{text}");
        }
    }
}
