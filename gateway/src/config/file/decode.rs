//! `[[decode]]`: from payloads to readings, and `[[decode.channels]]` below it.
//!
//! What can be wrong with a value is for the decoders to say, as cloud-sink reads the same tables: only types, choices and
//! the places of faults are settled here.

use firmware_protocol::decode::{Channel, Fields, Format, Route, RouteFault, TimeOf, TimeUnit};

use crate::config::reader::{Reader, Section};

/// Each route is tried for each message.
const ROUTES_MAX: usize = 256;

/// Without a table: the routes that everything is decoded by.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    reader.tables("decode", ROUTES_MAX, |s| {
        routes.push(route(s));
        // All before it are told apart.
        if let Some((i, fault)) = Route::repeated(&routes) {
            note(s, &fault);
            routes.remove(i);
        }
    });
    if reader.has("decode") { routes } else { Route::defaults() }
}

fn route(s: &mut Section<'_, '_>) -> Route {
    let default = Route::default();
    let none_if_empty = |text: String| (!text.is_empty()).then_some(text);
    let format = s.choice("format", default.format, &Format::ALL);
    let route = Route {
        id: s.value("id", default.id),
        version: s.within("version", u64::from(default.version), 1..=u64::from(u32::MAX)) as u32,
        topic: s.value("topic", default.topic),
        format,
        device_field: none_if_empty(s.value("device_field", default.device_field.unwrap_or_default())),
        time_field: none_if_empty(s.value("time_field", default.time_field.unwrap_or_default())),
        time_unit: s.choice("time_unit", default.time_unit, &TimeUnit::ALL),
        time_format: s.value("time_format", default.time_format),
        utc_offset: s.value("utc_offset", default.utc_offset),
        each: s.value("each", default.each),
        fields: s.choice("fields", default.fields, &Fields::ALL),
        ignore: s.value("ignore", default.ignore),
        tags: s.value("tags", default.tags),
        columns: s.value("columns", default.columns),
        delimiter: s.value("delimiter", default.delimiter),
        channel: s.value("channel", default.channel),
        measurement: s.value("measurement", default.measurement),
        channels: s.tables("channels", Route::LIST_MAX, |s| channel(s, format)),
    };
    for fault in route.faults() {
        note(s, &fault);
    }
    route
}

fn channel(s: &mut Section<'_, '_>, format: Format) -> Channel {
    let default = Channel::default();
    let channel = Channel {
        path: s.required("path", hint("path"), |_| Ok(())).unwrap_or_default(),
        name: s.value("name", default.name),
        unit: s.value("unit", default.unit),
        to: s.value("to", default.to),
        scale: s.value("scale", default.scale),
        offset: s.value("offset", default.offset),
        min: s.optional("min", |_| Ok(())),
        max: s.optional("max", |_| Ok(())),
        words: s.value("words", default.words),
        text: s.value("text", default.text),
        every: s.value("every", default.every),
        time_of: s.choice("time_of", default.time_of, &TimeOf::ALL),
    };
    let is_missing = !s.has("path");
    for fault in channel.faults(format).into_iter().filter(|fault| !(is_missing && fault.field == "path")) {
        note(s, &fault);
    }
    channel
}

fn note(s: &mut Section<'_, '_>, fault: &RouteFault) {
    s.fault(Some(fault.field), format!("`{}` cannot be used: {}", fault.field, fault.message), hint(fault.field));
}

fn hint(field: &str) -> &'static str {
    match field {
        "id" => "write a short name, such as \"zigbee\", that no other [[decode]] has; without one it is the topic",
        "topic" => "patterns look like \"sensors/{device}/{channel}\" or \"site/{site}/+/{device}/#\"",
        "path" | "device_field" | "time_field" | "each" | "ignore" => {
            "paths look like \"battery\", \"uplink.payload.temp\", \"gateways[0].rssi\" or \"samples[*]\""
        }
        "time_format" => "patterns look like \"%Y-%m-%dT%H:%M:%S\" or \"%d.%m.%Y %H:%M\"",
        "utc_offset" => "write how far the clock is ahead of UTC, such as \"+01:00\"",
        "tags" => "tags look like { floor = \"2\", room = \"{room}\" }, with names of levels of `topic` in braces",
        "fields" => "write \"all\", or add [[decode.channels]] with a `path`",
        "delimiter" => "write \",\", \";\", \"|\" or \"tab\"",
        "unit" | "to" => "name the unit in which the value is sent, and one that measures the same to convert it to",
        "scale" | "offset" | "min" | "max" => {
            "readings are value * scale + offset, and finite; then min <= reading <= max"
        }
        "words" => "words look like { ON = 1.0, OFF = 0.0 }",
        "text" => "a text stays text, or becomes a number: leave out `text`, or scale, unit, bounds and words",
        "every" => "write the time between two elements, such as \"10ms\"",
        _ => "write a short name of printable characters",
    }
}
