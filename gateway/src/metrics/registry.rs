//! The names, units and help texts under which metrics are told.

use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

impl Metrics {
    /// A registry with all groups under `gateway_`.
    pub fn registry(&self) -> Registry {
        let mut root = Registry::with_prefix("gateway");
        let r = root.sub_registry_with_prefix("ingest");
        let m = &self.ingest;
        r.register("messages", "Messages taken in", m.messages.clone());
        r.register_with_unit("payload", "Payload taken in", Unit::Bytes, m.payload_bytes.clone());
        r.register("acks", "Acknowledgements sent after the record was durable", m.acks.clone());
        r.register("refused", "Messages not taken in, by reason", m.refused.clone());
        r.register("connections", "Connections open now", m.connections.clone());
        r.register("connects", "Connections made", m.connects.clone());
        r.register("disconnects", "Connections lost or attempts failed, by reason", m.disconnects.clone());
        r.register(
            "repeats",
            "Firmware frames that came before: acknowledged, and not stored a second time",
            self.frames.repeats.clone(),
        );
        r.register("sessions_kept", "Sessions that listen keeps for clients that are away", m.sessions_kept.clone());
        r.register(
            "results_dropped",
            "Results that subscribers of listen did not take in time",
            m.results_dropped.clone(),
        );
        r.register("silent", "1 while a source has sent nothing for no_data_after", m.silent.clone());

        let r = root.sub_registry_with_prefix("serial");
        let m = &self.serial;
        r.register("open", "1 while the device is open", m.open.clone());
        r.register_with_unit(
            "discarded",
            "Read from the line and thrown away: noise, halves, damage",
            Unit::Bytes,
            m.discarded_bytes.clone(),
        );
        r.register(
            "acks_dropped",
            "Acknowledgements not written: the device did not listen, or was gone",
            m.acks_dropped.clone(),
        );

        let m = &self.security;
        let r = root.sub_registry_with_prefix("tls");
        r.register_with_unit(
            "certificate_expires_timestamp",
            "When the certificate in force ends, since 1970",
            Unit::Seconds,
            m.certificate_expires.clone(),
        );
        r.register("reloads", "Certificates read again, by outcome: renewed, refused", m.tls_reloads.clone());
        let r = root.sub_registry_with_prefix("access");
        r.register("logins", "Clients that asked to come in, by outcome", m.logins.clone());
        r.register("password_hashes", "Passwords hashed, for they were not known yet", m.password_hashes.clone());
        r.register("users_reloads", "Users read again, by outcome: renewed, refused", m.users_reloads.clone());

        let r = root.sub_registry_with_prefix("frames");
        let m = &self.frames;
        r.register("missing", "Firmware frames that gap records tell to be missing", m.missing.clone());
        r.register("after_all", "Firmware frames that came after a gap record told of them", m.after_all.clone());
        r.register("unknown", "Firmware frames stored, though too far back to tell from repeats", m.unknown.clone());
        r.register(
            "reused",
            "Firmware frames with the identity of another one, stored: a device had one boot id twice",
            m.reused.clone(),
        );
        r.register("devices", "Devices whose frames are remembered", m.devices.clone());
        r.register("tables", "Senders of which it is known what their channel numbers mean", m.tables.clone());
        r.register("waiting", "Records that wait for a hello or a birth", m.waiting.clone());
        r.register("waited", "Records that waited for a hello or a birth, by how that ended", m.waited.clone());
        r.register("requests", "Requests for hellos and births", m.requests.clone());
        r.register("refused", "Firmware frames acknowledged and not stored, by reason", m.refused.clone());
        r.register("refused_unkept", "Refused firmware frames whose bytes are not kept", m.refused_unkept.clone());

        let r = root.sub_registry_with_prefix("imports");
        let m = &self.imports;
        r.register("files", "CSV files, by what became of them", m.files.clone());
        r.register("rows", "Rows of CSV files, stored or rejected", m.rows.clone());
        r.register_with_unit("read", "Read from CSV files and settled", Unit::Bytes, m.bytes.clone());
        r.register(
            "folder_errors",
            "Times that a watched folder could not be read, or a marker not be written",
            m.folder_errors.clone(),
        );

        let r = root.sub_registry_with_prefix("queue");
        let m = &self.queue;
        r.register("records", "Records made durable", m.records.clone());
        r.register("commits", "Group commits", m.commits.clone());
        r.register_with_unit(
            "commit",
            "From a group's first record to its durability",
            Unit::Seconds,
            m.commit_seconds.clone(),
        );
        r.register_with_unit("written", "Handed to the store, compressed", Unit::Bytes, m.written_bytes.clone());
        r.register_with_unit(
            "grown",
            "Growth of its files, measured on disk; what is deleted is not taken off",
            Unit::Bytes,
            m.grown_bytes.clone(),
        );
        r.register_with_unit("payload", "Payload in raw records taken in", Unit::Bytes, m.payload_bytes.clone());
        r.register("failed_commits", "Commits that failed and were tried again", m.failed_commits.clone());
        r.register("held_up", "1 while doors wait: budget used up, or disk full", m.held_up.clone());
        r.register_with_unit(
            "room",
            "Left until doors are held up, by budget or file system",
            Unit::Bytes,
            m.room_bytes.clone(),
        );
        r.register_with_unit(
            "survivable_outage",
            "How long that room lasts without sinks, at the intake of the last minutes; ten years if nothing comes in",
            Unit::Seconds,
            m.survivable_outage_seconds.clone(),
        );
        r.register("lost", "Records that the disk no longer gives back", m.lost.clone());
        r.register_with_unit("disk", "Size of the queue, measured on disk", Unit::Bytes, m.disk_bytes.clone());

        let r = root.sub_registry_with_prefix("detect");
        let m = &self.detect;
        r.register("readings", "Readings that went into windows", m.readings.clone());
        r.register("refused", "Readings not used, by reason", m.refused.clone());
        r.register("undecodable", "Records that no decoder could read, by reason", m.undecodable.clone());
        r.register("windows", "Windows closed, by status", m.windows.clone());
        r.register("anomalies", "Anomalies found in open or closed windows, or taken back", m.anomalies.clone());
        r.register("incidents", "Incidents opened, by their severity at the opening", m.incidents.clone());
        r.register("open_incidents", "Incidents that may go on", m.open_incidents.clone());
        r.register("channels", "Channels watched", m.channels.clone());
        r.register("models_fitted", "Models learned or relearned", m.models_fitted.clone());
        r.register_with_unit(
            "past",
            "Windows remembered to learn from, beside the queue's generations, measured on disk",
            Unit::Bytes,
            m.past_bytes.clone(),
        );
        r.register("past_missed", "Chunks of 24 remembered windows that could not be read", m.past_missed.clone());

        let r = root.sub_registry_with_prefix("forward");
        let m = &self.forward;
        r.register("delivered", "Records that the sink confirmed", m.delivered.clone());
        r.register("quarantined", "Records kept aside, by reason", m.quarantined.clone());
        r.register(
            "quarantine_evicted",
            "Records deleted from the quarantine, the oldest",
            m.quarantine_evicted.clone(),
        );
        r.register(
            "future",
            "Readings of devices whose clock is ahead, forwarded with the received time",
            m.future.clone(),
        );
        r.register(
            "unsynchronised",
            "Records forwarded with a mark: the gateway's clock was not set when they were received",
            m.unsynchronised.clone(),
        );
        r.register("batches", "Batches that the sink confirmed", m.batches.clone());
        r.register_with_unit("sent", "Sent, compressed", Unit::Bytes, m.sent_bytes.clone());
        r.register("retries", "Attempts that failed and were repeated", m.retries.clone());
        r.register_with_unit("send", "One attempt", Unit::Seconds, m.send_seconds.clone());
        r.register("up", "1 while the last attempt succeeded", m.up.clone());

        let r = root.sub_registry_with_prefix("sink");
        r.register("backlog_records", "Records that wait for the sink, of both logs", m.backlog_records.clone());
        r.register_with_unit(
            "drain",
            "Until none waits, by what was settled and what came in during the last minute; ten years if they get no less",
            Unit::Seconds,
            m.drain_seconds.clone(),
        );
        r.register("series", "Series that were sent since the start, up to series_max", m.series.clone());
        r.register(
            "overflowed_points",
            "Points of series above series_max, encoded with device=overflow; one that is encoded again counts again",
            m.overflowed.clone(),
        );
        let r = root.sub_registry_with_prefix("alert");
        let m = &self.alert;
        r.register("sent", "Messages that the other side took", m.sent.clone());
        r.register("failed", "Attempts that failed", m.failed.clone());
        r.register("held", "Messages held back by quiet hours or the rate, and told in summaries", m.held.clone());
        r.register("dropped", "Messages given up: refused for good, or too many", m.dropped.clone());
        r.register("pending", "Messages that wait to go out", m.pending.clone());

        let r = root.sub_registry_with_prefix("disk");
        let m = &self.disk;
        r.register_with_unit(
            "written",
            "Sent to the storage layer by this process since it started: queue, files, quarantine",
            Unit::Bytes,
            m.written_bytes.clone(),
        );
        r.register_with_unit(
            "written_per_day",
            "The same, as a day of the last hour would be (since the start, if that is less)",
            Unit::Bytes,
            m.written_per_day_bytes.clone(),
        );
        r.register(
            "write_amplification",
            "Sent to the storage layer for each byte of payload taken in, since the start; 0 if none was",
            m.write_amplification.clone(),
        );

        let r = root.sub_registry_with_prefix("clock");
        let m = &self.clock;
        r.register("state", "1 for the state that the gateway's wall clock is in", m.state.clone());
        r.register("held_records", "Raw records that wait until the clock is set", m.held_records.clone());
        r.register("moves", "Times that the wall clock was set while the gateway ran", m.moves.clone());
        root
    }
}
