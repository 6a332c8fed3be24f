//! Hours of delivery in simulated time: a link of some speed, outages, devices that send.

use super::*;

/// A sink behind a link: attempts share its speed, one after the other.
struct World {
    bench: Bench,
    start: Instant,
    /// Each attempt takes this, and the time of its bytes.
    overhead: Duration,
    records_per_second: f64,
    /// The link is cut in these spans: attempts fail at once.
    outages: Vec<(Duration, Duration)>,
    /// By device: records a second.
    devices: Vec<f64>,
    owed: Vec<f64>,
    /// Of each raw record: its device, and when it came in.
    log: Vec<(usize, Instant)>,
    free_at: Instant,
    answers: Vec<(Instant, usize)>,
    /// Of live and backlog: how long they kept the link busy while both waited.
    busy: [Duration; 2],
    /// When each record was delivered first.
    delivered: BTreeMap<u64, Instant>,
}

const TICK: Duration = Duration::from_millis(20);

impl World {
    fn new(config: DeliveryConfig, records_per_second: f64, devices: Vec<f64>) -> Self {
        let bench = Bench::with(config, 0, 0);
        Self {
            start: bench.now,
            free_at: bench.now,
            overhead: Duration::from_millis(20),
            records_per_second,
            outages: Vec::new(),
            owed: vec![0.0; devices.len()],
            devices,
            log: Vec::new(),
            answers: Vec::new(),
            busy: [Duration::ZERO; 2],
            delivered: BTreeMap::new(),
            bench,
        }
    }

    fn at(&self) -> Duration {
        self.bench.now - self.start
    }

    fn run_until(&mut self, end: Duration) {
        while self.at() < end {
            self.step();
        }
    }

    /// Twenty milliseconds, or less if there is an answer.
    fn step(&mut self) {
        self.bench.run();
        self.send();
        let next = self.answers.iter().map(|(at, _)| *at).min();
        let tick = self.bench.now + TICK;
        let until = next.map_or(tick, |at| at.min(tick)).max(self.bench.now + Duration::from_micros(1));
        let passed = until - self.bench.now;
        self.bench.now = until;
        self.take_in(passed);
        self.answer();
    }

    /// Gives those that were sent since the last time their place on the link.
    fn send(&mut self) {
        let known = self.answers.len();
        for at in known..self.bench.under_way.len() {
            let sent = &self.bench.under_way[at].sent;
            let is_cut = self.outages.iter().any(|(from, to)| (*from..*to).contains(&self.at()));
            let took = Duration::from_secs_f64(sent.seqs.len() as f64 / self.records_per_second) + self.overhead;
            let answer_at = if is_cut { self.bench.now } else { self.free_at.max(self.bench.now) + took };
            if !is_cut {
                self.free_at = answer_at;
                if self.bench.core.has_work(Lane::Live) && self.bench.core.has_work(Lane::Backlog) {
                    self.busy[usize::from(sent.lane == Lane::Backlog)] += took;
                }
            }
            self.answers.push((answer_at, usize::from(is_cut)));
        }
    }

    fn take_in(&mut self, passed: Duration) {
        for (device, owed) in self.owed.iter_mut().enumerate() {
            *owed += self.devices[device] * passed.as_secs_f64();
            while *owed >= 1.0 {
                *owed -= 1.0;
                self.log.push((device, self.bench.now));
                self.bench.device_of.push(device as u64);
            }
        }
        self.bench.ends.raw = QueueSeq(self.log.len() as u64);
    }

    fn answer(&mut self) {
        while let Some(at) = self.answers.iter().position(|(at, _)| *at <= self.bench.now) {
            let (_, is_cut) = self.answers.remove(at);
            if is_cut == 1 {
                self.bench.answer_at(at, retry());
                continue;
            }
            let seqs = self.bench.under_way[at].sent.seqs.clone();
            for seq in seqs {
                self.delivered.entry(seq).or_insert(self.bench.now);
            }
            self.bench.answer_at(at, Ok(()));
        }
    }

    /// How long records that came in during this time were on their way; those that still are count as endless.
    fn latencies(&self, from: Duration, to: Duration, device: Option<usize>) -> Vec<Duration> {
        let wanted = |(seq, (of, at)): (usize, &(usize, Instant))| {
            let is_wanted = (self.start + from..self.start + to).contains(at) && device.is_none_or(|d| d == *of);
            let took = self.delivered.get(&(seq as u64)).map_or(Duration::MAX, |delivered| *delivered - *at);
            is_wanted.then_some(took)
        };
        let mut latencies: Vec<_> = self.log.iter().enumerate().filter_map(wanted).collect();
        latencies.sort_unstable();
        latencies
    }
}

fn p99(latencies: &[Duration]) -> Duration {
    latencies[latencies.len() * 99 / 100]
}

fn config(inflight: usize, backlog_share_percent: u8) -> DeliveryConfig {
    DeliveryConfig {
        order: Order::LiveFirst,
        batch_records_max: 500,
        inflight,
        backlog_share_percent,
        ..DeliveryConfig::default()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn after_an_outage_live_records_are_never_late_while_the_backlog_drains() {
    for (inflight, speed) in [(1, 300.0), (2, 300.0), (4, 2_000.0)] {
        let mut world = World::new(config(inflight, 50), speed, vec![10.0; 10]);
        world.outages.push((secs(10), secs(610)));
        world.run_until(secs(700));
        assert!(world.bench.core.tracks.raw.is_split() || speed > 1_000.0, "there is much to drain");
        // From when the sink is found back: the longest pause lies between.
        let latencies = world.latencies(secs(645), secs(695), None);
        assert!(p99(&latencies) < secs(2), "{:?} at {speed} with {inflight}", p99(&latencies));
        world.run_until(secs(2_000));
        assert!(!world.bench.core.tracks.raw.is_split(), "drained");
        let all = world.latencies(secs(0), secs(1_990), None);
        assert!(all.last().is_some_and(|longest| *longest < secs(1_500)), "everything has arrived");
        assert_eq!(world.bench.out_of_order, [] as [String; 0]);
    }
}

#[test]
fn the_backlog_has_its_share_of_a_link_that_is_too_slow_for_all_of_it() {
    for share in [20, 50, 80] {
        let mut world = World::new(config(2, share), 300.0, vec![50.0; 10]);
        world.outages.push((secs(1), secs(120)));
        world.run_until(secs(600));
        let [live, backlog] = world.busy.map(|busy| busy.as_secs_f64());
        let part = backlog / (live + backlog);
        assert!(part >= f64::from(share) / 100.0 - 0.03, "{part} of {share} %");
        assert_eq!(world.bench.out_of_order, [] as [String; 0]);
    }
}

#[test]
fn the_noisiest_device_does_not_starve_another() {
    // One device sends ten times what the link carries of it; the others send little.
    let mut devices = vec![1.0; 10];
    devices.push(400.0);
    let mut world = World::new(config(1, 50), 200.0, devices);
    world.run_until(secs(120));
    let quiet: Vec<Vec<Duration>> = (0..10).map(|device| world.latencies(secs(20), secs(100), Some(device))).collect();
    let mut quiet = quiet.concat();
    quiet.sort_unstable();
    let noisy = world.latencies(secs(20), secs(100), Some(10));
    let median = |latencies: &[Duration]| latencies[latencies.len() / 2];
    let nearly_all = quiet[quiet.len() * 9 / 10];
    assert!(nearly_all < secs(2), "{nearly_all:?}");
    assert!(median(&noisy) > secs(20), "{:?}: it is too much for the link", median(&noisy));
    assert_eq!(world.bench.out_of_order, [] as [String; 0]);
}

#[test]
fn kills_in_the_drain_repeat_what_was_under_way_and_no_more() {
    let mut world = World::new(config(2, 50), 2_000.0, vec![50.0; 10]);
    world.outages.push((secs(1), secs(120)));
    let mut kills = 0;
    for second in (150..300).step_by(10) {
        world.run_until(secs(second));
        world.bench.restart();
        world.answers.clear();
        kills += 1;
    }
    world.run_until(secs(500));
    let sent = world.bench.sequence(Log::Raw).len();
    let once: BTreeSet<u64> = world.bench.sequence(Log::Raw).into_iter().collect();
    assert_eq!(world.bench.places.raw.cursor.delivered, world.bench.places.raw.cursor.next.0);
    assert!(once.len() as u64 >= world.bench.places.raw.cursor.next.0, "nothing is lost");
    // Two lanes, at most four batches read ahead in each.
    assert!(sent - once.len() <= kills * 2 * 4 * 500, "{} repeated in {kills} kills", sent - once.len());
    assert_eq!(world.bench.out_of_order, [] as [String; 0]);
}
