//! How much one client may send: a bucket of tokens that fills again with time, and a share of the requests under way.
//! Pure: time is an argument.
//!
//! # Invariants
//! - A client has at most half of all requests under way, so one that floods leaves room for its neighbours.
//! - Over any span a client gets at most one second's allowance beyond its rate; a body's bytes are charged when it was
//!   read, so one body may lie above, and is paid off before the next request.
//! - At most `CLIENTS_MAX` clients are remembered; above it those forgotten are the ones that were quiet long enough to
//!   have their whole allowance again, and if there are none, all that have nothing under way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Some 100 bytes each; more than requests that can be under way.
const CLIENTS_MAX: usize = 8_192;

/// One second's allowance; 0: any amount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Clients {
    rates: Rates,
    /// Requests of one client under way at the same time.
    share: usize,
    buckets: HashMap<String, Bucket>,
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMuch {
    /// Over the rate, for so long.
    Rate(Duration),
    UnderWay,
}

/// What is left of the allowance; bytes may be owed.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    requests: f64,
    bytes: f64,
    filled_at: Instant,
    under_way: usize,
}

impl Clients {
    pub(super) fn new(rates: Rates, requests_max: usize) -> Self {
        Self { rates, share: requests_max.div_ceil(2), buckets: HashMap::new() }
    }

    /// Takes one request off the client's allowance. It is under way until it has left.
    ///
    /// # Errors
    /// There is none for now.
    pub(super) fn admit(&mut self, client: &str, now: Instant) -> Result<(), TooMuch> {
        let (Rates { requests, bytes }, share) = (self.rates, self.share);
        let bucket = self.bucket(client, now);
        if bucket.under_way >= share {
            return Err(TooMuch::UnderWay);
        }
        let wait = |missing: f64, rate: u64| {
            if rate == 0 || missing <= 0.0 { 0.0 } else { missing / rate as f64 }
        };
        let wait = wait(1.0 - bucket.requests, requests).max(wait(-bucket.bytes, bytes));
        if wait > 0.0 {
            return Err(TooMuch::Rate(Duration::from_secs_f64(wait)));
        }
        if requests > 0 {
            bucket.requests -= 1.0;
        }
        bucket.under_way += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self, client: &str) {
        if let Some(bucket) = self.buckets.get_mut(client) {
            bucket.under_way -= 1;
        }
    }

    /// Takes the bytes of a body off.
    pub(super) fn charge(&mut self, client: &str, bytes: usize, now: Instant) {
        if self.rates.bytes > 0 {
            self.bucket(client, now).bytes -= bytes as f64;
        }
    }

    fn bucket(&mut self, client: &str, now: Instant) -> &mut Bucket {
        let rates = self.rates;
        if self.buckets.len() >= CLIENTS_MAX && !self.buckets.contains_key(client) {
            self.buckets.retain(|_, bucket| !bucket.filled(rates, now).is_full(rates));
            if self.buckets.len() >= CLIENTS_MAX {
                self.buckets.retain(|_, bucket| bucket.under_way > 0);
            }
        }
        let (requests, bytes) = (rates.requests as f64, rates.bytes as f64);
        let full = Bucket { requests, bytes, filled_at: now, under_way: 0 };
        let bucket = self.buckets.entry(client.to_owned()).or_insert(full);
        *bucket = bucket.filled(rates, now);
        bucket
    }
}

impl Bucket {
    fn filled(self, rates: Rates, now: Instant) -> Self {
        let seconds = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let add = |left: f64, rate: u64| (left + seconds * rate as f64).min(rate as f64);
        let (requests, bytes) = (add(self.requests, rates.requests), add(self.bytes, rates.bytes));
        Self { requests, bytes, filled_at: now, ..self }
    }

    fn is_full(self, rates: Rates) -> bool {
        self.under_way == 0 && self.requests >= rates.requests as f64 && self.bytes >= rates.bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(requests: u64, bytes: u64) -> Clients {
        Clients::new(Rates { requests, bytes }, 2 * CLIENTS_MAX)
    }

    fn wait(ms: u64) -> Result<(), TooMuch> {
        Err(TooMuch::Rate(Duration::from_millis(ms)))
    }

    #[test]
    fn a_client_over_its_rate_is_told_how_long_to_wait_and_another_is_not_held_back() {
        let (mut clients, start) = (clients(2, 0), Instant::now());
        for _ in 0..2 {
            assert_eq!(clients.admit("a", start), Ok(()));
        }
        assert_eq!(clients.admit("a", start), wait(500));
        assert_eq!(clients.admit("b", start), Ok(()));
        assert_eq!(clients.admit("a", start + Duration::from_millis(500)), Ok(()));
    }

    #[test]
    fn a_large_body_is_paid_off_before_the_next_request() {
        let (mut clients, start) = (clients(0, 100), Instant::now());
        assert_eq!(clients.admit("a", start), Ok(()));
        clients.charge("a", 350, start);
        assert_eq!(clients.admit("a", start), wait(2_500));
        assert_eq!(clients.admit("a", start + Duration::from_millis(2_500)), Ok(()));
    }

    #[test]
    fn nothing_is_limited_where_no_rate_is_given() {
        let (mut clients, start) = (clients(0, 0), Instant::now());
        clients.charge("a", usize::MAX, start);
        assert!((0..1_000).all(|_| clients.admit("a", start).is_ok()));
    }

    #[test]
    fn one_client_leaves_half_of_the_places_to_others() {
        let (mut clients, start) = (Clients::new(Rates { requests: 0, bytes: 0 }, 4), Instant::now());
        assert!((0..2).all(|_| clients.admit("a", start).is_ok()));
        assert_eq!(clients.admit("a", start), Err(TooMuch::UnderWay));
        assert_eq!(clients.admit("b", start), Ok(()));
        clients.leave("a");
        assert_eq!(clients.admit("a", start), Ok(()));
        assert!(Clients::new(Rates { requests: 0, bytes: 0 }, 1).admit("a", start).is_ok());
    }

    #[test]
    fn clients_are_forgotten_when_there_are_too_many_the_quiet_ones_first() {
        let (mut clients, start) = (clients(1, 0), Instant::now());
        let visit = |clients: &mut Clients, client: &str, at| {
            if clients.admit(client, at).is_ok() {
                clients.leave(client);
            }
        };
        clients.admit("busy", start).unwrap();
        for i in 1..CLIENTS_MAX {
            visit(&mut clients, &i.to_string(), start);
        }
        let later = start + Duration::from_secs(2);
        clients.buckets.get_mut("7").unwrap().requests = -10.0;
        visit(&mut clients, "one more", later);
        assert_eq!(clients.buckets.len(), 3, "busy, owing and new");
        assert!(clients.admit("7", later).is_err());
        for i in 0..3 * CLIENTS_MAX {
            visit(&mut clients, &i.to_string(), later);
            assert!(clients.buckets.len() <= CLIENTS_MAX);
        }
        assert_eq!(clients.buckets["busy"].under_way, 1);
    }
}
