//! What frames hold: `cargo run -p firmware-protocol --example read -- FILE...`, one frame in each file.
//!
//! For a firmware author who looks at the bytes of a device; the gateway reads them by the same code.

use std::process::ExitCode;
use std::{env, fs};

use firmware_protocol::frame::{self, BaseTime, FrameView, HelloView, Label, Parsed, Signature, Value};

fn main() -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for path in env::args_os().skip(1) {
        let told = fs::read(&path).map_err(|e| e.to_string()).and_then(|bytes| tell(&bytes).map_err(|e| e.to_string()));
        match told {
            Ok(text) => print!("{text}"),
            Err(reason) => {
                eprintln!("{}: {reason}", path.display());
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

fn tell(bytes: &[u8]) -> Result<String, firmware_protocol::FrameError> {
    let parsed = frame::parse(bytes)?;
    let header = parsed.header();
    let signed =
        Signature::of(bytes).map_or(String::new(), |signature| format!(", signed by key {}", signature.key_id));
    let body = match &parsed {
        Parsed::Hello(hello) => hello_text(hello),
        Parsed::Samples(view) => samples_text(view),
    };
    Ok(format!("{} boot {} seq {}{signed}\n{body}", header.device, header.boot.0, header.seq.0))
}

fn hello_text(hello: &HelloView<'_>) -> String {
    let channels = hello.channels().enumerate().map(|(number, channel)| {
        let range = channel.range.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
        let every = match channel.interval_micros {
            0 => String::new(),
            micros => format!(", every {micros} us"),
        };
        format!("  {number}: {} [{}] {:?}{range}{every}\n", channel.name, channel.unit, channel.kind)
    });
    let table = hello.table.0;
    format!("  hello at {}, table {table:08x}\n{}", base_text(hello.base), channels.collect::<String>())
}

fn samples_text(view: &FrameView<'_>) -> String {
    let table = view.table.map_or(String::new(), |table| format!(", table {:08x}", table.0));
    let channels = view.channels().map(|channel| {
        let label = match channel.label {
            Label::Name(name) => name.to_owned(),
            Label::Number(number) => number.to_string(),
        };
        let samples = channel.samples().map(|(offset, value)| {
            let value = match value {
                Value::F32(v) => v.to_string(),
                Value::F64(v) => v.to_string(),
                Value::I32(v) => v.to_string(),
                Value::Bool(v) => v.to_string(),
                Value::Text(v) => format!("{v:?}"),
            };
            format!(" {offset:+} us {value};")
        });
        format!("  {label} ({:?}):{}\n", channel.kind, samples.collect::<String>())
    });
    format!("  samples from {}{table}\n{}", base_text(view.base), channels.collect::<String>())
}

fn base_text(base: BaseTime) -> String {
    match base {
        BaseTime::UnixMicros(at) => format!("{at} us since 1970"),
        BaseTime::SinceBootMicros(at) => format!("{at} us since its start"),
    }
}
