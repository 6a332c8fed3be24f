//! Frames that a person should look at, told once a commit: they come in floods.

/// Since they were last told.
#[derive(Debug, Default)]
pub(super) struct Odd {
    /// Frames whose identity another one had, and the device of one of them.
    reused: Option<(u64, String)>,
    /// Frames that were refused, and why and as whose the last of them.
    refused: Option<(u64, &'static str, String)>,
}

impl Odd {
    pub(super) fn reused(&mut self, device: &str) {
        self.reused.get_or_insert_with(|| (0, device.to_owned())).0 += 1;
    }

    pub(super) fn refused(&mut self, reason: &'static str, device: &str) {
        let before = self.refused.as_ref().map_or(0, |(count, ..)| *count);
        self.refused = Some((before + 1, reason, device.to_owned()));
    }

    pub(super) fn tell(&mut self) {
        if let Some((frames, device)) = self.reused.take() {
            tracing::warn!(
                frames,
                device,
                "Frames have the identity of others before: a device must not have one boot id twice. They are stored."
            );
        }
        if let Some((frames, reason, device)) = self.refused.take() {
            tracing::warn!(
                frames,
                reason,
                device,
                "Frames were refused that are not proven to be the device's; their bytes are in the quarantine. See `frames.keys_file`."
            );
        }
    }
}
