//! The outbox against a channel that remembers what it got, with crashes and failures anywhere.

use std::collections::BTreeMap;

use firmware_protocol::derived::Severity;
use proptest::prelude::*;

use super::*;
use crate::alert::channel::Said;
use crate::alert::quiet::Quiet;
use crate::alert::testing::incident;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Noon of a day.
const NOON: i64 = 1_772_366_400_000_000_000;

fn sent() -> Outcome {
    Outcome::Sent(Said("200".into()))
}

fn not_sent() -> Outcome {
    Outcome::NotSent { reason: "connection refused".into(), after: None }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reason: "timed out".into() }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: "400".into() }
}

/// What a gateway and its channels are, for a test: the outbox, what of it is durable, clocks.
struct Bench {
    outbox: Outbox,
    rules: Vec<(String, Rules)>,
    durable: (Vec<u8>, u64),
    log: Vec<Incident>,
    running: Duration,
}

impl Bench {
    fn new(rules: Vec<Rules>) -> Self {
        let rules: Vec<_> = rules.into_iter().enumerate().map(|(n, rules)| (format!("c{n}"), rules)).collect();
        let outbox = Outbox::restore(None, rules.clone(), (0, 0), 1).unwrap();
        let durable = (outbox.to_bytes(), 0);
        Self { outbox, rules, durable, log: Vec::new(), running: Duration::ZERO }
    }

    fn one(rules: Rules) -> Self {
        Self::new(vec![rules])
    }

    fn now(&self) -> Now {
        let wall = EventTime(NOON + self.running.as_nanos() as i64);
        Now { wall, is_known: true, running: self.running }
    }

    fn wait(&mut self, time: Duration) {
        self.running += time;
    }

    /// A record that detection makes, and alerts read.
    fn tell(&mut self, number: usize, revision: u32, state: IncidentState) {
        self.tell_as(incident(number, revision, state));
    }

    fn tell_as(&mut self, incident: Incident) {
        self.log.push(incident);
        self.read();
    }

    fn read(&mut self) {
        while (self.outbox.next as usize) < self.log.len() {
            let seq = self.outbox.next;
            let incident = self.log[seq as usize].clone();
            self.outbox.on_incident(seq, &incident, self.now());
        }
        self.commit();
    }

    fn commit(&mut self) {
        self.durable = (self.outbox.to_bytes(), self.outbox.next);
        self.outbox.saved();
    }

    fn crash(&mut self) {
        let end = self.log.len() as u64;
        let (kept, next) = &self.durable;
        self.outbox = Outbox::restore(Some(kept), self.rules.clone(), (*next, end), 1).unwrap();
        self.read();
    }

    /// As the task does: noted, durable, then sent.
    fn take(&mut self) -> Option<Letter> {
        let now = self.now();
        let letter = self.outbox.take(0, now);
        self.commit();
        letter
    }

    fn send(&mut self) -> Option<Letter> {
        let letter = self.take()?;
        self.end_with(&sent());
        Some(letter)
    }

    fn end_with(&mut self, outcome: &Outcome) -> Option<Duration> {
        let now = self.now();
        let pause = self.outbox.on_outcome(0, outcome, now);
        self.commit();
        pause
    }

    fn send_all(&mut self) -> Vec<(String, Vec<Kind>)> {
        let kinds = |letter: Letter| (letter.id, letter.items.into_iter().map(|(kind, _)| kind).collect());
        std::iter::from_fn(|| self.send()).map(kinds).collect()
    }
}

fn kinds(sent: Vec<(String, Vec<Kind>)>) -> Vec<Vec<Kind>> {
    sent.into_iter().map(|(_, kinds)| kinds).collect()
}

use IncidentState::{Adopted, Closed, Open, Withdrawn};

#[test]
fn an_incident_is_told_when_it_opens_and_when_it_is_over_and_not_in_between() {
    let mut bench = Bench::one(Rules::default());
    bench.tell(1, 0, Open);
    assert_eq!(bench.send_all(), [("0000000000000001-opened".to_owned(), vec![Kind::Opened])]);
    for revision in 1..20 {
        bench.tell(1, revision, Open);
    }
    assert_eq!(bench.send_all(), []);
    bench.tell(1, 20, Closed);
    assert_eq!(bench.send_all(), [("0000000000000001-over".to_owned(), vec![Kind::Resolved])]);
    bench.tell(1, 21, Open);
    bench.tell(1, 22, Withdrawn);
    assert_eq!(bench.send_all(), [], "what was told to be over is not told again");
}

#[test]
fn false_alarms_and_new_normals_are_told_as_such() {
    let mut bench = Bench::one(Rules::default());
    bench.tell(1, 0, Open);
    bench.tell(2, 0, Open);
    bench.send_all();
    bench.tell(1, 1, Withdrawn);
    bench.tell(2, 1, Adopted);
    bench.tell(3, 0, Adopted);
    assert_eq!(kinds(bench.send_all()), [[Kind::Withdrawn], [Kind::Adopted], [Kind::Adopted]]);
}

#[test]
fn what_is_taken_back_before_the_delay_is_over_is_never_told() {
    let mut bench = Bench::one(Rules { after: 600 * SECOND, ..Rules::default() });
    bench.tell(1, 0, Open);
    bench.tell(2, 0, Open);
    bench.wait(599 * SECOND);
    assert_eq!(bench.send_all(), []);
    assert!(bench.outbox.is_waiting());
    bench.tell(1, 1, Withdrawn);
    bench.wait(SECOND);
    assert_eq!(bench.send_all(), [("0000000000000002-opened".to_owned(), vec![Kind::Opened])]);
    bench.tell(3, 0, Open);
    bench.tell(3, 1, Closed);
    assert_eq!(kinds(bench.send_all()), [[Kind::Over]], "what is over is confirmed");
    assert!(!bench.outbox.is_waiting());
}

#[test]
fn an_incident_that_grows_severe_is_told_then_and_one_that_does_not_never() {
    let mut bench = Bench::one(Rules { min_severity: Severity::High, ..Rules::default() });
    let low = |number, revision, state| Incident { severity: Severity::Low, ..incident(number, revision, state) };
    bench.tell_as(low(1, 0, Open));
    bench.tell_as(low(2, 0, Open));
    assert_eq!(bench.send_all(), []);
    bench.tell_as(Incident { severity: Severity::Critical, ..incident(1, 1, Open) });
    assert_eq!(kinds(bench.send_all()), [[Kind::Opened]]);
    bench.tell_as(low(1, 2, Closed));
    bench.tell_as(low(2, 1, Closed));
    assert_eq!(kinds(bench.send_all()), [[Kind::Resolved]], "whoever was told of the beginning is told of the end");
}

#[test]
fn above_the_rate_messages_are_held_and_go_out_as_one_summary() {
    let mut bench = Bench::one(Rules { rate_max: 20, ..Rules::default() });
    for number in 0..30 {
        bench.tell(number, 0, Open);
    }
    assert_eq!(bench.send_all().len(), 10);
    assert_eq!(bench.outbox.standing(0), Standing { pending: 20, held: 0, dropped: 0 });
    bench.tell(29, 1, Withdrawn);
    bench.crash();
    bench.wait(330 * SECOND);
    let summary = bench.send().unwrap();
    assert!(summary.is_summary);
    assert_eq!(summary.items.len(), 19, "the false alarm is not among them");
    assert_eq!(bench.outbox.standing(0), Standing { pending: 0, held: 19, dropped: 0 });
    for number in 0..29 {
        bench.tell(number, 1, Closed);
    }
    bench.wait(2 * HOUR);
    let mut told = bench.send_all();
    bench.wait(330 * SECOND);
    told.extend(bench.send_all());
    let lengths: Vec<usize> = told.iter().map(|(_, kinds)| kinds.len()).collect();
    assert_eq!(lengths, [vec![1; 10], vec![19]].concat());
}

#[test]
fn what_comes_in_quiet_hours_is_one_summary_at_their_end_and_the_worst_is_told_at_once() {
    let quiet = Quiet { spans: vec!["13:00-14:00".parse().unwrap()], ..Quiet::default() };
    let mut bench = Bench::one(Rules { quiet, ..Rules::default() });
    bench.tell(1, 0, Open);
    bench.send_all();
    bench.wait(HOUR + SECOND);
    bench.tell(1, 1, Closed);
    bench.tell(2, 0, Open);
    bench.tell_as(Incident { severity: Severity::Critical, ..incident(3, 0, Open) });
    assert_eq!(bench.send_all(), [("0000000000000003-opened".to_owned(), vec![Kind::Opened])]);
    bench.tell(2, 1, Closed);
    bench.crash();
    assert_eq!(bench.send_all(), []);
    bench.wait(HOUR);
    let summary = bench.send().unwrap();
    assert!(summary.is_summary);
    assert_eq!(summary.items.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::Resolved, Kind::Over]);
    bench.tell(4, 0, Open);
    assert_eq!(kinds(bench.send_all()), [[Kind::Opened]]);
}

#[test]
fn a_clock_that_is_not_set_has_no_quiet_hours() {
    let quiet = Quiet { spans: vec!["00:00-23:59".parse().unwrap()], ..Quiet::default() };
    let mut bench = Bench::one(Rules { quiet, ..Rules::default() });
    bench.tell(1, 0, Open);
    assert_eq!(bench.outbox.take(0, bench.now()), None);
    let now = Now { is_known: false, ..bench.now() };
    assert!(bench.outbox.take(0, now).is_some());
}

#[test]
fn a_message_that_may_have_gone_goes_again_as_a_repeat_and_one_that_has_not_is_composed_anew() {
    let mut bench = Bench::one(Rules::default());
    bench.tell(1, 0, Open);
    let first = bench.take().unwrap();
    bench.tell(1, 1, Closed);
    bench.crash();
    let again = bench.take().unwrap();
    assert_eq!((again.id.clone(), again.is_repeat), (first.id, true));
    bench.end_with(&not_sent());
    bench.wait(HOUR);
    assert_eq!(bench.send().unwrap().id, again.id, "an earlier attempt may have arrived");
    assert_eq!(kinds(bench.send_all()), [[Kind::Resolved]]);

    bench.tell(2, 0, Open);
    assert!(!bench.take().unwrap().is_repeat);
    bench.end_with(&not_sent());
    bench.tell(2, 1, Closed);
    bench.wait(HOUR);
    assert_eq!(kinds(bench.send_all()), [[Kind::Over]], "it says at once that all is over");
}

#[test]
fn pauses_grow_up_to_their_bound_and_the_other_side_may_ask_for_longer_ones() {
    let mut bench = Bench::one(Rules { retry_max: 30 * SECOND, ..Rules::default() });
    bench.tell(1, 0, Open);
    for _ in 0..40 {
        bench.take().unwrap();
        let pause = bench.end_with(&not_sent()).unwrap();
        assert!(pause <= 30 * SECOND);
        bench.wait(pause);
    }
    bench.take().unwrap();
    let asked = |seconds| Outcome::NotSent { reason: "429".into(), after: Some(Duration::from_secs(seconds)) };
    assert_eq!(bench.end_with(&asked(120)), Some(120 * SECOND));
    bench.wait(119 * SECOND);
    assert_eq!(bench.take(), None);
    bench.wait(SECOND);
    bench.take().unwrap();
    assert_eq!(bench.end_with(&asked(1 << 40)), Some(RETRY_AFTER_MAX));
}

#[test]
fn a_message_that_is_refused_as_such_is_given_up_and_does_not_block_the_next() {
    let mut bench = Bench::one(Rules::default());
    bench.tell(1, 0, Open);
    bench.tell(2, 0, Open);
    for _ in 0..REFUSED_MAX {
        assert_eq!(bench.take().unwrap().items[0].1.device, "pump-1");
        bench.end_with(&refused());
        bench.wait(HOUR);
    }
    assert_eq!(bench.outbox.standing(0).dropped, 1);
    assert_eq!(bench.send().unwrap().items[0].1.device, "pump-2");
}

#[test]
fn a_wrong_setting_gives_nothing_up() {
    let mut bench = Bench::one(Rules::default());
    bench.tell(1, 0, Open);
    for _ in 0..10 {
        bench.take().unwrap();
        let pause = bench.end_with(&Outcome::Misconfigured { reason: "401".into() });
        assert_eq!(pause, Some(Rules::default().retry_max));
        bench.wait(HOUR);
    }
    assert_eq!(kinds(bench.send_all()), [[Kind::Opened]]);
}

#[test]
fn a_channel_that_is_new_is_told_of_what_is_open_and_not_of_what_is_over() {
    let mut bench = Bench::one(Rules::default());
    bench.log = vec![incident(1, 0, Open), incident(2, 0, Open), incident(1, 1, Closed), incident(3, 0, Withdrawn)];
    bench.outbox = Outbox::restore(None, bench.rules.clone(), (0, 4), 1).unwrap();
    bench.outbox.on_incident(0, &bench.log[0].clone(), bench.now());
    assert_eq!(bench.take(), None, "the rest of the past is not read yet");
    bench.read();
    assert_eq!(bench.send_all(), [("0000000000000002-opened".to_owned(), vec![Kind::Opened])]);
    bench.rules.push(("later".into(), Rules::default()));
    bench.crash();
    let now = bench.now();
    assert_eq!(bench.outbox.take(1, now).unwrap().id, "0000000000000002-opened");
    assert_eq!(bench.outbox.take(0, now), None);
}

#[test]
fn only_so_many_incidents_are_kept_and_open_ones_stay() {
    let mut bench = Bench::one(Rules { rate_max: 1_000_000, ..Rules::default() });
    for number in 0..5 {
        bench.tell(number, 0, Open);
    }
    assert_eq!(bench.send_all().len(), 5);
    for number in 5..KEPT_MAX + 50 {
        bench.tell(number, 0, Open);
        bench.send().unwrap();
        bench.tell(number, 1, Closed);
        bench.send().unwrap();
    }
    assert_eq!(bench.outbox.cases.len(), KEPT_MAX);
    assert!((0..5).all(|number| bench.outbox.cases.contains_key(&incident(number, 0, Open).id)));
    assert!(bench.outbox.to_bytes().len() < 200_000, "{} bytes", bench.outbox.to_bytes().len());
    bench.tell(10, 2, Closed);
    assert_eq!(bench.send_all(), [], "a later word on what is forgotten opens nothing");
    assert_eq!(bench.outbox.standing(0).dropped, 0);
}

/// What happens next in a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next record of this incident.
    Next(usize),
    Withdraw(usize),
    Wait(u16),
    /// A message goes out and this becomes of it.
    Send(Fate),
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Fails,
    /// It arrives, and the answer is lost.
    ArrivesUnheard,
    LostUnheard,
    /// The gateway dies while it goes out; whether it arrives.
    Crash {
        arrives: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::Fails),
        1 => Just(Fate::ArrivesUnheard),
        1 => Just(Fate::LostUnheard),
        1 => any::<bool>().prop_map(|arrives| Fate::Crash { arrives }),
    ];
    let step = prop_oneof![
        4 => (0..6_usize).prop_map(Step::Next),
        1 => (0..6_usize).prop_map(Step::Withdraw),
        2 => (1..7_200_u16).prop_map(Step::Wait),
        6 => fate.prop_map(Step::Send),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..80)
}

fn rules() -> impl Strategy<Value = Rules> {
    let quiet = prop_oneof![Just(vec![]), Just(vec!["13:00-15:00".parse().expect("a span")])];
    (quiet, prop_oneof![Just(0_u64), Just(900)], prop_oneof![Just(2_u32), Just(20)]).prop_map(
        |(spans, after, rate_max)| Rules {
            quiet: Quiet { spans, ..Quiet::default() },
            after: Duration::from_secs(after),
            rate_max,
            ..Rules::default()
        },
    )
}

/// What a person has in hand: messages by their ids, whether as often as they came or once each.
#[derive(Default)]
struct Inbox {
    letters: BTreeMap<String, Letter>,
    came: u32,
}

impl Inbox {
    fn got(&mut self, letter: &Letter) {
        self.came += 1;
        self.letters.entry(letter.id.clone()).or_insert_with(|| letter.clone());
    }

    fn told(&self, of: Kind, number: usize) -> usize {
        let id = incident(number, 0, Open).id;
        self.letters.values().flat_map(|l| &l.items).filter(|(kind, s)| *kind == of && s.id == id).count()
    }
}

fn step(bench: &mut Bench, inbox: &mut Inbox, revisions: &mut [u32; 6], step: Step) {
    match step {
        Step::Next(number) => {
            let states = [Open, Open, Closed, Closed];
            let revision = revisions[number];
            if let Some(state) = states.get(revision as usize) {
                bench.tell(number, revision, *state);
                revisions[number] += 1;
            }
        }
        Step::Withdraw(number) => {
            if revisions[number] > 0 {
                bench.tell(number, revisions[number], Withdrawn);
                revisions[number] = u32::MAX;
            }
        }
        Step::Wait(seconds) => bench.wait(Duration::from_secs(seconds.into())),
        Step::Send(fate) => {
            let Some(letter) = bench.take() else { return };
            match fate {
                Fate::Arrives => {
                    inbox.got(&letter);
                    bench.end_with(&sent());
                }
                Fate::Fails => {
                    bench.end_with(&not_sent());
                }
                Fate::ArrivesUnheard => {
                    inbox.got(&letter);
                    bench.end_with(&unknown());
                }
                Fate::LostUnheard => {
                    bench.end_with(&unknown());
                }
                Fate::Crash { arrives } => {
                    if arrives {
                        inbox.got(&letter);
                    }
                    bench.crash();
                }
            }
        }
        Step::Crash => bench.crash(),
    }
}

proptest! {
    #[test]
    fn whatever_fails_and_crashes_each_incident_is_told_once_and_those_that_stay_open_are_told(
        rules in rules(),
        steps in steps(),
    ) {
        let mut bench = Bench::one(rules);
        let (mut inbox, mut revisions) = (Inbox::default(), [0; 6]);
        for next in steps {
            step(&mut bench, &mut inbox, &mut revisions, next);
        }
        // Then the link holds.
        for _ in 0..400 {
            bench.wait(600 * SECOND);
            step(&mut bench, &mut inbox, &mut revisions, Step::Send(Fate::Arrives));
        }
        prop_assert!(!bench.outbox.is_waiting());
        for (number, revision) in revisions.into_iter().enumerate() {
            let told = |kinds: &[Kind]| kinds.iter().map(|kind| inbox.told(*kind, number)).sum::<usize>();
            let beginning = told(&[Kind::Opened, Kind::Over]);
            let end = told(&[Kind::Resolved, Kind::Over, Kind::Withdrawn, Kind::Adopted]);
            prop_assert!(beginning <= 1 && end <= 1, "{number}: {beginning} beginnings, {end} ends");
            match revision {
                0 => prop_assert_eq!((beginning, end), (0, 0)),
                // Withdrawn: told of both, or of nothing.
                u32::MAX => prop_assert!(end <= 1 && (end == 1 || told(&[Kind::Opened]) == 0)),
                1 | 2 => prop_assert_eq!((told(&[Kind::Opened]), end), (1, 0)),
                _ => prop_assert_eq!((beginning, end), (1, 1)),
            }
        }
    }

    #[test]
    fn without_lost_answers_and_crashes_on_the_way_nothing_comes_twice(rules in rules(), steps in steps()) {
        let mut bench = Bench::one(rules);
        let (mut inbox, mut revisions) = (Inbox::default(), [0; 6]);
        for next in steps {
            let is_unheard = matches!(next, Step::Send(Fate::ArrivesUnheard | Fate::LostUnheard | Fate::Crash { .. }));
            let next = if is_unheard { Step::Crash } else { next };
            step(&mut bench, &mut inbox, &mut revisions, next);
        }
        prop_assert_eq!(inbox.came as usize, inbox.letters.len());
    }
}
