//! Tokens that a destination refuses, of those that came with points: what carries one waits in a side lane and is tried
//! again now and then, and everybody else goes on. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::retry::Backoff;
use crate::config::secret::Secret;

/// Refused tokens that are remembered. Whoever makes up more than these only makes each of them be asked about once more.
const TOKENS_MAX: usize = 256;

/// A token in tables and file names: nobody gets from it to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey(u64);

impl TokenKey {
    pub fn of(token: &Secret) -> TokenKey {
        // FNV-1a: written down here, so that names of files are the same after an upgrade.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        TokenKey(token.expose().bytes().fold(0xcbf2_9ce4_8422_2325, fold))
    }

    /// One of `count` groups.
    pub fn group(self, count: u64) -> u64 {
        (self.0 >> 32) % count.max(1)
    }
}

/// The refused tokens of one target.
#[derive(Debug)]
pub struct Tokens {
    refused: HashMap<TokenKey, Refused>,
    rest_min: Duration,
    rest_max: Duration,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    rest: Backoff,
}

impl Tokens {
    /// Rests begin with `rest_min` and double up to `rest_max`.
    pub fn new(rest_min: Duration, rest_max: Duration) -> Tokens {
        Tokens { refused: HashMap::new(), rest_min, rest_max }
    }

    /// How long nothing with this token is to be sent; none: it may be tried.
    pub fn rests(&self, key: TokenKey, now: Instant) -> Option<Duration> {
        let until = self.refused.get(&key)?.until;
        (until > now).then(|| until - now)
    }

    /// The destination has refused the token. True if that is news.
    pub fn refuse(&mut self, key: TokenKey, now: Instant, after: Option<Duration>) -> bool {
        let is_new = !self.refused.contains_key(&key);
        if is_new && self.refused.len() >= TOKENS_MAX {
            let soonest = self.refused.iter().min_by_key(|(_, refused)| refused.until);
            if let Some(key) = soonest.map(|(key, _)| *key) {
                self.refused.remove(&key);
            }
        }
        let fresh = || Refused { until: now, rest: Backoff::new(self.rest_min, self.rest_max, key.0) };
        let refused = self.refused.entry(key).or_insert_with(fresh);
        // Several that were under way are told at once.
        if refused.until <= now {
            refused.until = now + after.unwrap_or_else(|| refused.rest.next_wait());
        }
        is_new
    }

    /// The destination has taken something with this token. True if it had refused it.
    pub fn accept(&mut self, key: TokenKey) -> bool {
        self.refused.remove(&key).is_some()
    }

    /// How many are refused.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_refused_token_rests_longer_each_time_and_others_do_not() {
        let (mut tokens, now) = (Tokens::new(4 * S, 60 * S), Instant::now());
        let (bad, good) = (TokenKey(1), TokenKey(2));
        assert!(tokens.refuse(bad, now, None));
        assert!(!tokens.refuse(bad, now, None), "told at once, counted once");
        let first = tokens.rests(bad, now).unwrap();
        assert!(first >= 2 * S && first <= 4 * S);
        assert_eq!((tokens.rests(good, now), tokens.rests(bad, now + first)), (None, None));
        assert!(!tokens.refuse(bad, now + first, None));
        let second = tokens.rests(bad, now + first).unwrap();
        assert!(second >= 4 * S && second <= 8 * S);
        assert!(tokens.accept(bad) && !tokens.accept(bad));
        assert_eq!(tokens.rests(bad, now), None);
    }

    #[test]
    fn made_up_tokens_take_a_bounded_table() {
        let (mut tokens, now) = (Tokens::new(S, S), Instant::now());
        for number in 0..10_000 {
            tokens.refuse(TokenKey(number), now, None);
        }
        assert_eq!(tokens.refused(), TOKENS_MAX);
    }

    #[test]
    fn a_key_is_the_same_after_a_restart_and_shows_no_token() {
        let key = TokenKey::of(&Secret::new("tkn_0123456789abcdef"));
        assert_eq!(key, TokenKey::of(&Secret::new("tkn_0123456789abcdef")));
        assert_ne!(key, TokenKey::of(&Secret::new("tkn_0123456789abcdee")));
        assert!(key.group(16) < 16 && !format!("{key:?}").contains("tkn_"));
    }
}
