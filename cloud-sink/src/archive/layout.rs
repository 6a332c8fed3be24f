//! Names of all objects. They are an interface: other programs read the archive by them.

use firmware_protocol::envelope::Schema;
use firmware_protocol::measurement::EventTime;

/// Devices are spread over so many folders a day, so that a query for one device reads a sixteenth.
pub const BUCKETS: u32 = 16;

const DAY_NS: i64 = 86_400_000_000_000;

/// What a file holds rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Messages of sensors, and whatever has no headers to tell what it is.
    Raw,
    Windows,
    Anomalies,
    Incidents,
    Gaps,
}

impl Table {
    pub const ALL: [Self; 5] = [Self::Raw, Self::Windows, Self::Anomalies, Self::Incidents, Self::Gaps];

    pub fn of(schema: Schema) -> Self {
        match schema {
            Schema::Raw => Self::Raw,
            Schema::Window => Self::Windows,
            Schema::Anomaly => Self::Anomalies,
            Schema::Incident => Self::Incidents,
            Schema::Gap => Self::Gaps,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Windows => "windows",
            Self::Anomalies => "anomalies",
            Self::Incidents => "incidents",
            Self::Gaps => "gaps",
        }
    }
}

/// Where a row lies: one file of a roll for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder {
    pub table: Table,
    /// Days since 1970-01-01 (UTC) of the received time.
    pub day: i64,
    pub bucket: u32,
}

impl Folder {
    /// `device` is the record's key. Its bucket is CRC-32 (IEEE 802.3, as of zlib) of the name, modulo [`BUCKETS`].
    pub fn of(table: Table, received: EventTime, device: &[u8]) -> Self {
        Self { table, day: received.0.div_euclid(DAY_NS), bucket: crc32fast::hash(device) % BUCKETS }
    }

    /// Of the file that the roll has here.
    pub fn file(&self, roll: &RollName) -> String {
        let Self { table, day, bucket } = self;
        format!("{}/date={}/device_bucket={bucket:02}/{roll}.parquet", table.name(), date(*day))
    }
}

/// A roll's identity: topic, partition and first offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollName {
    pub topic: String,
    pub partition: i32,
    pub first: i64,
}

/// All manifests lie here.
pub const MANIFESTS: &str = "manifests";
/// All intents lie here; none while nothing is being written.
pub const INTENTS: &str = "intents";

impl RollName {
    pub fn manifest(&self) -> String {
        format!("{MANIFESTS}/{self}.json")
    }

    pub fn intent(&self) -> String {
        format!("{INTENTS}/{self}.json")
    }
}

impl std::fmt::Display for RollName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{:020}", self.topic, self.partition, self.first)
    }
}

/// RFC 3339 of milliseconds since 1970, to the second.
pub fn utc(at_ms: i64) -> String {
    let second = at_ms.div_euclid(1_000);
    let (day, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    format!("{}T{:02}:{:02}:{:02}Z", date(day), of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// `YYYY-MM-DD` of a day since 1970-01-01, in the proleptic Gregorian calendar.
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, text) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (20_779, "2026-11-22")] {
            assert_eq!(date(day), text);
        }
    }

    #[test]
    fn times_are_told_as_in_rfc_3339() {
        assert_eq!(utc(1_795_305_599_999), "2026-11-21T23:59:59Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn names_are_an_interface_and_stay_as_they_are() {
        let roll = RollName { topic: "sensors.raw".into(), partition: 3, first: 1_200 };
        let folder = Folder::of(Table::Raw, EventTime(1_795_305_600_000_000_000 - 1), b"pump-7");
        // zlib.crc32(b"pump-7") is 0x8ef87bb3.
        assert_eq!(
            folder.file(&roll),
            "raw/date=2026-11-21/device_bucket=03/sensors.raw-3-00000000000000001200.parquet"
        );
        assert_eq!(roll.manifest(), "manifests/sensors.raw-3-00000000000000001200.json");
        assert_eq!(roll.intent(), "intents/sensors.raw-3-00000000000000001200.json");
    }
}
