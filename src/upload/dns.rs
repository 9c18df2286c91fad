//! Names to addresses: looked up off the shard, kept for a while, asked again when nothing answers.

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
    /// Where the next connection begins, so that a dead address does not come first again.
    first: usize,
}

impl<E: Env> Dns<E> {
    pub fn new(env: E) -> Dns<E> {
        Dns { env, names: RefCell::default(), changed: Notify::new() }
    }

    /// The addresses of a host, the one that worked last first.
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
                    return entry.answer();
                }
                // Old addresses are better than waiting for a slow resolver.
                if entry.asking && !entry.addresses.is_empty() {
                    return entry.answer();
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
                entry.addresses = addresses.into();
                entry.first = 0;
                entry.error = None;
                entry.until = Some(self.env.now() + FRESH);
            }
            found => {
                entry.error = Some(found.err().map_or(io::ErrorKind::NotFound, |error| error.kind()));
                entry.until = Some(self.env.now() + FAILED);
            }
        }
        entry.answer()
    }

    /// `address` took a connection: it comes first from now on.
    pub fn worked(&self, host: &str, port: u16, address: SocketAddr) {
        if let Some(entry) = self.names.borrow_mut().get_mut(&(host.to_owned(), port))
            && let Some(at) = entry.addresses.iter().position(|own| *own == address)
        {
            entry.first = at;
        }
    }

    /// No address of this name took a connection: ask again next time.
    pub fn all_failed(&self, host: &str, port: u16) {
        if let Some(entry) = self.names.borrow_mut().get_mut(&(host.to_owned(), port)) {
            entry.until = None;
        }
    }
}

impl Entry {
    fn answer(&self) -> io::Result<Vec<SocketAddr>> {
        match self.error {
            Some(kind) if self.addresses.is_empty() => Err(kind.into()),
            _ => {
                let (before, from) = self.addresses.split_at(self.first.min(self.addresses.len()));
                Ok([from, before].concat())
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
            assert_eq!(found, [address(2), address(3), address(1)]);
            assert_eq!(asked(), 2);
            dns.all_failed("h", 80);
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap().len(), 3, "old ones are used");
            assert_eq!(asked(), 3);
            sim.sleep(FRESH).await;
            assert_eq!(dns.resolve_with("h", 80, look_up).await.unwrap().len(), 3);
            assert_eq!(asked(), 4);
        });
    }
}
