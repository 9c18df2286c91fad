//! Names to addresses: looked up off the shard, kept for a while, asked again when nothing answers. An address that does
//! not answer is put behind the others for a while, whatever the resolver says of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::env::Env;
use crate::rt::sync::Notify;

/// How long an answer is used. The resolver does not tell its own time; this is short enough to follow a destination
/// that moves, and a look-up costs a thread for some milliseconds.
const FRESH: Duration = Duration::from_secs(30);

/// After a failed look-up this long passes before the next, while old addresses are used if there are any.
const FAILED: Duration = Duration::from_secs(2);

/// How long an address that failed stands behind the others: at first, and at most. In between it doubles.
const EJECTED_MIN: Duration = Duration::from_secs(30);
const EJECTED_MAX: Duration = Duration::from_secs(600);

/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 16;

/// The resolver of a shard. Names come from the configuration, so that there are few.
pub struct Dns<E> {
    env: E,
    names: RefCell<HashMap<(String, u16), Entry>>,
    /// Set while the look-up of a name is under way, so that a dead resolver holds one thread and not all.
    changed: Notify,
}

#[derive(Default)]
struct Entry {
    addresses: Rc<[SocketAddr]>,
    /// When they were got, or when getting them failed.
    until: Option<Instant>,
    asking: bool,
    error: Option<io::ErrorKind>,
    /// The address that last took a connection: it comes first.
    worked: Option<SocketAddr>,
    /// Addresses that failed; only those the resolver still names.
    ejected: Vec<Ejected>,
}

/// An address that did not answer.
struct Ejected {
    address: SocketAddr,
    until: Instant,
    for_next: Duration,
}

impl<E: Env> Dns<E> {
    pub fn new(env: E) -> Dns<E> {
        Dns { env, names: RefCell::default(), changed: Notify::new() }
    }

    /// The addresses of a host, the one that worked last first and those that failed last.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        self.resolve_with(host, port, ask).await
    }

    async fn resolve_with(
        &self,
        host: &str,
        port: u16,
        look_up: fn((&str, u16)) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let key = (host.to_owned(), port);
        loop {
            let changed = self.changed.notified();
            {
                let mut names = self.names.borrow_mut();
                let entry = names.entry(key.clone()).or_default();
                if entry.until.is_some_and(|until| self.env.now() < until) {
                    return entry.answer(self.env.now());
                }
                // Old addresses are better than waiting for a slow resolver.
                if entry.asking && !entry.addresses.is_empty() {
                    return entry.answer(self.env.now());
                }
                if !entry.asking {
                    entry.asking = true;
                    break;
                }
            }
            changed.await;
        }
        // Whoever asks may be dropped by its deadline; the next one must be able to ask again.
        let asking = Asking { dns: self, key: &key };
        let name = key.clone();
        let found = self.env.blocking(move || look_up((&name.0, name.1))).await.and_then(|found| found);
        drop(asking);
        let mut names = self.names.borrow_mut();
        let entry = names.entry(key).or_default();
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                entry.ejected.retain(|ejected| addresses.contains(&ejected.address));
                entry.addresses = addresses.into();
                entry.error = None;
                entry.until = Some(self.env.now() + FRESH);
            }
            found => {
                entry.error = Some(found.err().map_or(io::ErrorKind::NotFound, |error| error.kind()));
                entry.until = Some(self.env.now() + FAILED);
            }
        }
        entry.answer(self.env.now())
    }

    /// `address` has answered: it comes first from now on.
    pub fn worked(&self, host: &str, port: u16, address: SocketAddr) {
        if let Some(entry) = self.names.borrow_mut().get_mut(&(host.to_owned(), port)) {
            entry.worked = Some(address);
            entry.ejected.retain(|ejected| ejected.address != address);
        }
    }

    /// `address` took no connection, or did not answer on one: the others come before it for a while.
    pub fn failed(&self, host: &str, port: u16, address: SocketAddr) {
        let now = self.env.now();
        if let Some(entry) = self.names.borrow_mut().get_mut(&(host.to_owned(), port)) {
            if entry.worked == Some(address) {
                entry.worked = None;
            }
            match entry.ejected.iter_mut().find(|ejected| ejected.address == address) {
                // Several connections that were open to it fail at once.
                Some(ejected) if ejected.until > now => {}
                Some(ejected) => {
                    ejected.until = now + ejected.for_next;
                    ejected.for_next = (ejected.for_next * 2).min(EJECTED_MAX);
                }
                None if entry.addresses.contains(&address) => {
                    let for_next = EJECTED_MIN * 2;
                    entry.ejected.push(Ejected { address, until: now + EJECTED_MIN, for_next });
                }
                None => {}
            }
        }
    }

    /// Whether the resolver, as far as is known, still names this address.
    pub fn names(&self, host: &str, port: u16, address: SocketAddr) -> bool {
        let names = self.names.borrow();
        names.get(&(host.to_owned(), port)).is_none_or(|entry| entry.addresses.contains(&address))
    }

    /// No address of this name took a connection: ask again next time.
    pub fn all_failed(&self, host: &str, port: u16) {
        if let Some(entry) = self.names.borrow_mut().get_mut(&(host.to_owned(), port)) {
            entry.until = None;
        }
    }
}

impl Entry {
    fn answer(&self, now: Instant) -> io::Result<Vec<SocketAddr>> {
        match self.error {
            Some(kind) if self.addresses.is_empty() => Err(kind.into()),
            _ => {
                let mut addresses = self.addresses.to_vec();
                // Otherwise in the order of the resolver, which may mean something.
                addresses.sort_by_key(|address| {
                    let ejected = self.ejected.iter().find(|ejected| ejected.address == *address);
                    let until = ejected.map(|ejected| ejected.until).filter(|until| *until > now);
                    (until, self.worked != Some(*address))
                });
                Ok(addresses)
            }
        }
    }
}

/// Asks the machine's resolver. Blocks.
#[expect(clippy::disallowed_methods, reason = "it runs on the blocking pool, which is the place for it")]
fn ask(name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.take(ADDRESSES_MAX).collect())
}

struct Asking<'a, E> {
    dns: &'a Dns<E>,
    key: &'a (String, u16),
}

impl<E> Drop for Asking<'_, E> {
    fn drop(&mut self) {
        if let Some(entry) = self.dns.names.borrow_mut().get_mut(self.key) {
            entry.asking = false;
        }
        self.dns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::testing::Sim;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn addresses_are_not_looked_up() {
        let sim = Sim::new();
        let dns = Dns::new(sim.clone());
        sim.run(async {
            assert_eq!(dns.resolve("127.0.0.1", 80).await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
            assert_eq!(dns.resolve("::1", 80).await.unwrap(), ["[::1]:80".parse().unwrap()]);
        });
        assert!(dns.names.borrow().is_empty());
    }

    #[test]
    fn answers_are_kept_asked_again_and_survive_a_dead_resolver() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        fn look_up(name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
            match ASKED.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::ErrorKind::NotFound.into()),
                1 => Ok((1..=3).map(|last| SocketAddr::from(([10, 0, 0, last], name.1))).collect()),
                _ => Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let sim = Sim::new();
        let dns = Dns::new(sim.clone());
        let asked = || ASKED.load(Ordering::Relaxed);
        let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
        sim.run(async {
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(dns.resolve_with("h", 80, look_up).await.is_err());
            assert_eq!(asked(), 1, "not asked again at once");
            sim.sleep(FAILED).await;
            let found = dns.resolve_with("h", 80, look_up).await.unwrap();
            assert_eq!(found, [address(1), address(2), address(3)]);
            dns.worked("h", 80, address(2));
            let found = dns.resolve_with("h", 80, look_up).await.unwrap();
            assert_eq!(found, [address(2), address(1), address(3)]);
            assert_eq!(asked(), 2);
            dns.all_failed("h", 80);
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap().len(), 3, "old ones are used");
            assert_eq!(asked(), 3);
            sim.sleep(FRESH).await;
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap().len(), 3);
            assert_eq!(asked(), 4);
        });
    }

    #[test]
    fn a_dead_address_of_three_comes_last_until_it_has_rested() {
        fn look_up(name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
            Ok((1..=3).map(|last| SocketAddr::from(([10, 0, 0, last], name.1))).collect())
        }
        let sim = Sim::new();
        let dns = Dns::new(sim.clone());
        let last = |addresses: Vec<SocketAddr>| {
            addresses.iter().map(|address| address.to_string().as_bytes()[7] - b'0').collect::<Vec<_>>()
        };
        let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
        sim.run(async {
            let now = async || last(dns.resolve_with("h", 80, look_up).await.unwrap());
            assert_eq!(now().await, [1, 2, 3]);
            dns.worked("h", 80, address(1));
            dns.failed("h", 80, address(1));
            assert_eq!(now().await, [2, 3, 1]);
            dns.failed("h", 80, address(2));
            sim.sleep(FRESH - Duration::from_secs(1)).await;
            assert_eq!(now().await, [3, 1, 2], "and asking again does not bring them back");
            sim.sleep(Duration::from_secs(2)).await;
            assert_eq!(now().await, [1, 2, 3], "they have had their time");
            dns.failed("h", 80, address(1));
            sim.sleep(EJECTED_MIN + Duration::from_secs(1)).await;
            assert_eq!(now().await, [2, 3, 1], "longer the second time");
            dns.worked("h", 80, address(1));
            assert_eq!(now().await, [1, 2, 3]);
            for dead in [1, 2, 3] {
                dns.failed("h", 80, address(dead));
            }
            assert_eq!(now().await.len(), 3, "if all are dead, all are tried");
        });
    }

    #[test]
    fn an_address_that_moved_is_not_named_any_more() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        fn look_up(name: (&str, u16)) -> io::Result<Vec<SocketAddr>> {
            let last = if ASKED.fetch_add(1, Ordering::Relaxed) == 0 { 1 } else { 2 };
            Ok(vec![SocketAddr::from(([10, 0, 0, last], name.1))])
        }
        let sim = Sim::new();
        let dns = Dns::new(sim.clone());
        let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
        sim.run(async {
            assert!(dns.names("h", 80, address(9)), "nothing is known");
            dns.resolve_with("h", 80, look_up).await.unwrap();
            assert!(dns.names("h", 80, address(1)));
            sim.sleep(FRESH).await;
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap(), [address(2)]);
            assert!(!dns.names("h", 80, address(1)) && dns.names("h", 80, address(2)));
        });
    }
}
