//! A gateway on a machine with a simulated clock, two sensors, and a file of lines.

use std::fs;
use std::time::Duration;

use firmware_protocol::measurement::EventTime;
use gateway::clock::{Clock, ClockBoot, Simulated, Status};
use gateway::config::{Loaded, Overrides};
use gateway::metrics::{ReasonLabel, SinkLabel, StatusLabel};
use gateway::pipeline::Pipeline;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::STEP;
use super::sensor::Sensor;

const SENSORS: [&str; 2] = ["pump", "fan"];
/// Whatever is waited for takes some seconds at most.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What survives a machine: its disk.
pub(crate) struct Site {
    dir: TempDir,
    settings: String,
}

impl Site {
    pub(crate) fn new(settings: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings: settings.to_owned() }
    }

    pub(crate) async fn start<'m>(&self, machine: &'m Machine) -> Running<'m> {
        let data_dir = self.dir.path().display();
        let text = format!(
            "[gateway]\nname = \"edge\"\ndata_dir = \"{data_dir}\"\n[http]\nenabled = false\n[listen]\nbind = \"127.0.0.1:0\"\n\
             [detect]\nwindow = \"1m\"\n[queue]\nreserve = \"0B\"\n[[file]]\n{}",
            self.settings
        );
        let config = Loaded::parse("test.toml", &text, &Overrides::default()).unwrap().config;
        let pipeline = Pipeline::start_with(config, Clock::simulated(machine.clock)).await.unwrap();
        let door = pipeline.listen_addr().unwrap();
        let sensors = [Sensor::connect(door, SENSORS[0]).await, Sensor::connect(door, SENSORS[1]).await];
        Running { pipeline, machine, sensors: Mutex::new(sensors) }
    }

    /// All lines written so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for file in fs::read_dir(self.dir.path().join("files")).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            lines.extend(text.lines().map(|l| Line(l.to_owned())));
        }
        lines
    }

    /// Those of what the sensors sent.
    pub(crate) fn readings(&self) -> Vec<Line> {
        self.lines().into_iter().filter(Line::is_reading).collect()
    }
}

/// One start of a machine.
pub(crate) struct Machine {
    pub(crate) clock: &'static Simulated,
    power_on: EventTime,
}

impl Machine {
    /// Its clock shows `shown`.
    pub(crate) fn power_on(boot: u64, truth: EventTime, shown: EventTime) -> Self {
        Self { clock: Simulated::boot_at(ClockBoot(boot), shown), power_on: truth }
    }

    pub(crate) fn truth(&self) -> EventTime {
        let since_boot_ns = Clock::simulated(self.clock).stamp().since_boot_ns;
        EventTime(self.power_on.0 + since_boot_ns as i64)
    }

    pub(crate) fn truth_after(&self, time: Duration) -> EventTime {
        EventTime(self.truth().0 + time.as_nanos() as i64)
    }

    pub(crate) fn synchronise(&self) {
        self.clock.synchronise(self.truth());
    }
}

pub(crate) struct Running<'m> {
    pipeline: Pipeline,
    machine: &'m Machine,
    sensors: Mutex<[Sensor; 2]>,
}

impl Running<'_> {
    /// Both sensors send a message each step, with the true time in it.
    pub(crate) async fn live_for(&self, time: Duration) {
        let mut sensors = self.sensors.lock().await;
        for step in 0..(time.as_secs() / STEP.as_secs()) {
            self.machine.clock.pass(STEP);
            for sensor in sensors.iter_mut() {
                let truth_ms = self.machine.truth().as_millis();
                let level = (step * 7_919 % 101) as f64 / 8.0;
                sensor.publish(&format!(r#"{{"truth_ms":{truth_ms},"level":{level}}}"#)).await;
            }
        }
    }

    pub(crate) async fn publish(&self, payload: &str) {
        self.sensors.lock().await[0].publish(payload).await;
    }

    pub(crate) async fn status_when(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.pipeline.clock_status();
        // A look that was asked for before the last record was committed shows one less.
        let looks = async {
            loop {
                self.machine.clock.pass(Duration::ZERO);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            status = status.wait_for(wanted) => *status.unwrap(),
            () = looks => unreachable!(),
            () = tokio::time::sleep(PATIENCE) => panic!("still {:?}", *self.pipeline.clock_status().borrow()),
        }
    }

    pub(crate) async fn drained(&self) {
        tokio::time::timeout(PATIENCE, self.pipeline.drained()).await.expect("sinks and detection keep up");
    }

    pub(crate) fn future_at_the_sink(&self) -> u64 {
        self.pipeline.metrics().forward.future.get_or_create(&SinkLabel { sink: "file".into() }).get()
    }

    pub(crate) fn future_in_windows(&self) -> u64 {
        self.pipeline.metrics().detect.refused.get_or_create(&ReasonLabel { reason: "future" }).get()
    }

    /// Stops in order once the sinks have everything.
    pub(crate) async fn ended(self) {
        self.drained().await;
        self.pipeline.shutdown().await.unwrap();
    }

    /// The same, after so many windows have closed.
    pub(crate) async fn ended_after_windows(self, windows: u64) {
        let metrics = self.pipeline.metrics().detect.clone();
        let closed = async {
            while metrics.windows.get_or_create(&StatusLabel { status: "learning" }).get() < windows {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("windows close");
        self.ended().await;
    }

    /// Leaves everything as it is.
    pub(crate) fn killed(self) {
        drop(self);
    }
}

/// A line of InfluxDB's protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) String);

impl Line {
    pub(crate) fn is_reading(&self) -> bool {
        self.0.starts_with("sensor,")
    }

    pub(crate) fn is_window(&self) -> bool {
        self.0.starts_with("sensor_window,")
    }

    /// How far the time of a reading is from the truth that it carries.
    pub(crate) fn error_ms(&self) -> i64 {
        let (_, after) = self.0.split_once("truth_ms=").unwrap();
        let truth_ms: f64 = after.split([',', ' ']).next().unwrap().parse().unwrap();
        let at_ns: i64 = self.0.rsplit(' ').next().unwrap().parse().unwrap();
        at_ns / 1_000_000 - truth_ms as i64
    }

    pub(crate) fn mark(&self) -> Option<&str> {
        let (_, after) = self.0.split_once(",clock=")?;
        after.split([',', ' ']).next()
    }
}
