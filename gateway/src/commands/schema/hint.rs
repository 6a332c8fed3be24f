//! What to do about a payload that cannot be decoded, by the reason's word.

/// `None` where the message itself says it.
pub(super) fn hint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "no_route" => {
            "`gateway schema list` shows which topics are taken; add a [[decode]] table with this `topic`, or one for \"#\""
        }
        "no_device" => "name the device in `topic` with {device}, or the field that names it with `device_field`",
        "frame_version" => "the firmware is newer than this gateway: update it, then `gateway quarantine redrive`",
        "frame_crc" => "the bytes were damaged on their way, or captured in part: capture them once more",
        "frame_too_large" | "frame_duplicate_channel" | "frame" => {
            "the firmware is at fault: SPEC.md says what a frame is"
        }
        "frame_truncated" => "the end is missing: was the payload captured whole, in binary?",
        "no_table" => "give the hello frame with --hello FILE, or for Sparkplug B the birth with --birth FILE",
        "json" => "if it is no JSON, set the `format` of the [[decode]] table, or --content-type as the sender does",
        "senml" | "cbor" | "sparkplug" | "line" => {
            "was the payload captured whole? if it is of another kind, set `format`, or --content-type as the sender does"
        }
        "not_a_number" => {
            "set the `format` of the [[decode]] table, or --content-type as the sender does; texts become numbers by `words`"
        }
        "not_utf8" => "binary payloads need their `format` in the [[decode]] table, or a content type",
        "bad_time" => "name the form of the times with `time_unit` or `time_format`, and their field with `time_field`",
        "no_readings" => {
            "name what is to be read in [[decode.channels]]; texts become numbers by `words`, or stay texts by `text`"
        }
        "unknown_word" => "add the word to `words` of its channel",
        "out_of_bounds" => {
            "look at `min`, `max`, `unit` and `scale` of the channels: bounds are in the unit converted to"
        }
        "duplicate_channel" => "give one of the two another `name` in [[decode.channels]], or `ignore` it",
        "too_deep" => {
            "set `fields = \"listed\"` and list what is wanted in [[decode.channels]]: the rest is skipped at any depth"
        }
        "too_large" => "set `fields = \"listed\"`, or `ignore` what is not wanted",
        "retained" => "set `time_field`, so that the message tells when it was measured",
        _ => return None,
    })
}
