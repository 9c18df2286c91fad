//! A token bucket for each client and route.
//!
//! ```text
//! (client, route) ── hash ──> one of STRIPES tables, each under a lock of its own, of at most STRIPE_BUCKETS_MAX buckets
//! ```
//!
//! All shards share the tables, because a client's connections are spread over them. A full table is swept: a bucket
//! that has filled up again says the same as none, and one idle for longer than the lifetime is let go of. Where neither
//! makes room the fullest bucket goes, which gains the least by being forgotten. So whoever floods the table with
//! addresses pushes out his own fresh buckets and never one that is drained: neither is a new client refused because the
//! table is full, nor does a limited one get rid of his limit.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::http1::Head;
use crate::intake::datakit::error::ApiError;

/// Locks: far more than shards that ask at one moment.
const STRIPES: usize = 64;
/// Buckets behind one lock: a sweep of so many takes microseconds. 65,536 in all, some megabytes.
const STRIPE_BUCKETS_MAX: usize = 1024;

/// The documented size of a bucket.
pub const BURST_DEFAULT: u32 = 500;
/// DataKit's rate, requests a second.
pub const RATE_RECORDED: f64 = 100.0;
/// How long an idle bucket is remembered.
pub const TTL_DEFAULT: Duration = Duration::from_secs(60);

/// A wait that `Retry-After` asks for at most: what a rate of one in an hour would say.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How often a client may ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second; above zero.
    pub per_s: f64,
    /// Requests at one moment.
    pub burst: u32,
    /// An idle bucket is forgotten, and full again, after this.
    pub ttl: Duration,
}

impl Rate {
    /// DataKit's default: the burst is the rate, because its own setting is read and forgotten.
    pub fn recorded() -> Rate {
        Rate { per_s: RATE_RECORDED, burst: recorded_burst(RATE_RECORDED), ttl: TTL_DEFAULT }
    }
}

/// The burst of a rate where none is set, as recorded.
pub fn recorded_burst(per_s: f64) -> u32 {
    per_s.floor().max(1.0) as u32
}

/// A client as requests are counted: an IPv4 address, or the network of an IPv6 one, of which everybody has a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: u128,
    route: u8,
}

impl Key {
    fn new(client: IpAddr, route: u8) -> Key {
        let client = match client.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
            IpAddr::V6(address) => u128::from(address) >> 64 << 64,
        };
        Key { client, route }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that may still be made, at `at_ns`.
    left: f64,
    at_ns: u64,
}

/// The buckets of all clients.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    hasher: RandomState,
    stripes: Vec<Mutex<HashMap<Key, Bucket>>>,
}

impl RateLimiter {
    pub fn new(rate: Rate) -> RateLimiter {
        assert!(rate.per_s > 0.0 && rate.burst > 0, "BUG: a rate of nothing: {rate:?}");
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        RateLimiter { rate, hasher: RandomState::new(), stripes }
    }

    /// Counts one request, or says how long it is, in whole seconds, until there may be another.
    pub fn take(&self, client: IpAddr, route: u8, now_ns: u64) -> Result<(), Duration> {
        let key = Key::new(client, route);
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        // Buckets are plain numbers: one that a panic left behind is as good as another.
        let mut table = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= STRIPE_BUCKETS_MAX && !table.contains_key(&key) {
            self.make_room(&mut table, now_ns);
        }
        let burst = f64::from(self.rate.burst);
        let bucket = table.entry(key).or_insert(Bucket { left: burst, at_ns: now_ns });
        bucket.left = self.left(bucket, now_ns);
        bucket.at_ns = bucket.at_ns.max(now_ns);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait_s = ((1.0 - bucket.left) / self.rate.per_s).ceil().clamp(1.0, WAIT_MAX.as_secs_f64());
        Err(Duration::from_secs(wait_s as u64))
    }

    /// What is in a bucket by now.
    fn left(&self, bucket: &Bucket, now_ns: u64) -> f64 {
        let burst = f64::from(self.rate.burst);
        let idle = Duration::from_nanos(now_ns.saturating_sub(bucket.at_ns));
        if idle > self.rate.ttl {
            return burst;
        }
        (bucket.left + idle.as_secs_f64() * self.rate.per_s).min(burst)
    }

    fn make_room(&self, table: &mut HashMap<Key, Bucket>, now_ns: u64) {
        let full = f64::from(self.rate.burst);
        table.retain(|_, bucket| self.left(bucket, now_ns) < full);
        if table.len() < STRIPE_BUCKETS_MAX {
            return;
        }
        let left = |bucket: &Bucket| self.left(bucket, now_ns);
        let fullest = table.iter().max_by(|(_, a), (_, b)| left(a).total_cmp(&left(b))).map(|(key, _)| *key);
        if let Some(key) = fullest {
            table.remove(&key);
        }
    }

    /// The headers of every answer on a counted route, rendered: name, colon, value, line end.
    pub fn headers(&self, head: &Head<'_>, peer: SocketAddr) -> RateHeaders {
        let mut lines = format!(
            "X-Rate-Limit-Duration: 1\r\nX-Rate-Limit-Limit: {:.2}\r\nX-Rate-Limit-Request-Remote-Addr: {peer}\r\n",
            self.rate.per_s
        )
        .into_bytes();
        if let Some(forwarded) = head.header("x-forwarded-for") {
            lines.extend_from_slice(b"X-Rate-Limit-Request-Forwarded-For: ");
            lines.extend_from_slice(forwarded);
            lines.extend_from_slice(b"\r\n");
        }
        RateHeaders(lines.into())
    }
}

/// Headers that go into an answer which is already written, since they are about the request and not about what became
/// of it: the same for a template, an error and an answer that comes much later.
#[derive(Debug)]
pub struct RateHeaders(Box<[u8]>);

impl RateHeaders {
    /// Puts them behind the status line of the answer that begins at `start`.
    pub fn insert(&self, out: &mut Vec<u8>, start: usize) {
        let status_line = out.get(start..).and_then(|answer| memchr::memchr(b'\n', answer));
        if let Some(end) = status_line {
            let at = start + end + 1;
            out.splice(at..at, self.0.iter().copied());
        }
    }
}

const CODE: &str = "datakit.reachMaxAPILimit";

/// As recorded; there is never a message.
pub fn recorded_refusal() -> ApiError {
    ApiError { status: 429, code: CODE, message: String::new() }
}

/// Nothing is wrong with the request: its sender keeps it and comes again.
pub fn refusal() -> ApiError {
    ApiError { status: 503, code: CODE, message: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limiter(per_s: f64, burst: u32) -> RateLimiter {
        RateLimiter::new(Rate { per_s, burst, ttl: TTL_DEFAULT })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `asked` requests at one moment are served.
    fn served(limiter: &RateLimiter, client: &str, route: u8, now_ns: u64, asked: usize) -> usize {
        (0..asked).filter(|_| limiter.take(ip(client), route, now_ns).is_ok()).count()
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let limiter = limiter(10.0, 5);
        assert_eq!(served(&limiter, "1.1.1.1", 0, 0, 9), 5);
        assert_eq!(served(&limiter, "1.1.1.1", 0, SECOND / 10, 9), 1);
        assert_eq!(served(&limiter, "1.1.1.1", 0, SECOND * 3 / 10, 9), 2);
        // It does not overflow.
        assert_eq!(served(&limiter, "1.1.1.1", 0, SECOND * 30, 9), 5);
        // A clock that goes back gives nothing.
        assert_eq!(served(&limiter, "1.1.1.1", 0, SECOND, 9), 0);
        assert_eq!(served(&limiter, "1.1.1.1", 0, SECOND * 30, 9), 0);
    }

    #[test]
    fn clients_and_routes_do_not_share_and_a_network_of_ipv6_does() {
        let limiter = limiter(1.0, 2);
        assert_eq!(served(&limiter, "1.1.1.1", 0, 0, 3), 2);
        assert_eq!(served(&limiter, "1.1.1.1", 1, 0, 3), 2);
        assert_eq!(served(&limiter, "1.1.1.2", 0, 0, 3), 2);
        assert_eq!(served(&limiter, "::ffff:1.1.1.1", 0, 0, 3), 0);
        assert_eq!(served(&limiter, "2001:db8:0:1::1", 0, 0, 1), 1);
        assert_eq!(served(&limiter, "2001:db8:0:1:ffff::2", 0, 0, 3), 1);
        assert_eq!(served(&limiter, "2001:db8:0:2::1", 0, 0, 3), 2);
    }

    #[test]
    fn the_wait_is_what_is_missing() {
        let slow = limiter(0.25, 1);
        assert_eq!(slow.take(ip("1.1.1.1"), 0, 0), Ok(()));
        assert_eq!(slow.take(ip("1.1.1.1"), 0, 0), Err(Duration::from_secs(4)));
        assert_eq!(slow.take(ip("1.1.1.1"), 0, 3 * SECOND), Err(Duration::from_secs(1)));
        assert_eq!(slow.take(ip("1.1.1.1"), 0, 4 * SECOND), Ok(()));
        let crawling = limiter(1e-9, 1);
        assert_eq!(crawling.take(ip("1.1.1.1"), 0, 0), Ok(()));
        assert_eq!(crawling.take(ip("1.1.1.1"), 0, 0), Err(WAIT_MAX));
    }

    #[test]
    fn an_idle_bucket_is_forgotten_after_its_lifetime() {
        let limiter = limiter(0.001, 3);
        assert_eq!(served(&limiter, "1.1.1.1", 0, 0, 9), 3);
        assert_eq!(served(&limiter, "1.1.1.1", 0, 60 * SECOND, 9), 0);
        assert_eq!(served(&limiter, "1.1.1.1", 0, 121 * SECOND, 9), 3);
    }

    #[test]
    fn a_flood_of_addresses_stays_bounded_and_frees_nobody() {
        let limiter = limiter(1.0, 10);
        let total = || limiter.stripes.iter().map(|stripe| stripe.lock().unwrap().len()).sum::<usize>();
        assert_eq!(served(&limiter, "9.9.9.9", 0, 0, 20), 10);
        // Twice as many networks as there is room for, all at one moment: each is served.
        for n in 0..2 * STRIPES * STRIPE_BUCKETS_MAX {
            let network = IpAddr::from([0x2001, 0xdb8, (n >> 16) as u16, n as u16, 0, 0, 0, 1]);
            assert_eq!(limiter.take(network, 0, 0), Ok(()));
        }
        assert!(total() <= STRIPES * STRIPE_BUCKETS_MAX, "{}", total());
        assert_eq!(served(&limiter, "9.9.9.9", 0, 0, 20), 0, "the drained bucket is still there");
        // A second later the flood's buckets are full again and make room at once.
        for n in 0..u32::from(u16::MAX) {
            assert_eq!(limiter.take(IpAddr::from(n.to_be_bytes()), 0, SECOND), Ok(()));
        }
        assert!(total() <= STRIPES * STRIPE_BUCKETS_MAX, "{}", total());
    }

    #[test]
    fn the_recorded_burst_is_the_rate() {
        assert_eq!((recorded_burst(100.0), recorded_burst(2.9), recorded_burst(0.1)), (100, 2, 1));
    }

    #[test]
    fn headers_stand_behind_the_status_line_of_their_answer() {
        let limiter = limiter(2.5, 1);
        let headers =
            super::super::tests::with_head("GET /", &[("X-Forwarded-For", "1.1.1.1, 2.2.2.2")], |head| {
                limiter.headers(head, "10.0.0.1:4711".parse().unwrap())
            });
        let mut out = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n".to_vec();
        headers.insert(&mut out, 19);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No Content\r\n\
             X-Rate-Limit-Duration: 1\r\n\
             X-Rate-Limit-Limit: 2.50\r\n\
             X-Rate-Limit-Request-Remote-Addr: 10.0.0.1:4711\r\n\
             X-Rate-Limit-Request-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\
             A: b\r\n\r\n"
        );
    }
}
