//! What each answer of a DataWay means.
//!
//! DataKit drops a package on any 4xx and asks the fail cache to keep it on 5xx. Here nothing is dropped: an answer
//! either leaves the data where it is (spooled, tried again later) or moves it to the dead-letter file with its
//! reason. Which of the two is the table below; the first row that fits decides.

use crate::point::Route;
use crate::sink::{Answer, Outcome, Refusal};

/// What a row of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Delivered,
    Retry,
    /// As `Retry`, but when the answer carries `Retry-After` the whole destination rests for that long.
    RetryOrPause,
    PauseDestination,
    PauseLane,
    Split,
    Dead(Refusal),
}

/// Statuses from..=to, what they do, and why.
pub struct Row {
    pub from: u16,
    pub to: u16,
    pub action: Action,
    pub why: &'static str,
}

const fn row(from: u16, to: u16, action: Action, why: &'static str) -> Row {
    Row { from, to, action, why }
}

/// The table. Statuses that no row names are not HTTP; they are retried like any other failure of the far end.
pub const TABLE: &[Row] = &[
    row(200, 299, Action::Delivered, "the destination has it"),
    row(
        300,
        399,
        Action::Retry,
        "never followed: the token would go to another host; the address is wrong or moves",
    ),
    row(400, 400, Action::Dead(Refusal::Invalid), "the destination cannot read it, now or later"),
    row(
        401,
        401,
        Action::PauseLane,
        "the token is wrong or expired: an operator can mend that, the data waits",
    ),
    row(403, 403, Action::PauseLane, "the token is locked or its quota is used up: the same"),
    row(404, 405, Action::Dead(Refusal::NoSuchPlace), "this destination does not know the category"),
    row(406, 406, Action::Dead(Refusal::NotAcceptable), "no sinker rule of the destination matches"),
    row(408, 408, Action::PauseDestination, "the destination is too slow for what it is given"),
    row(410, 410, Action::Dead(Refusal::NoSuchPlace), "as 404"),
    row(413, 413, Action::Split, "too large together; the halves may pass"),
    row(422, 422, Action::Dead(Refusal::Invalid), "as 400"),
    row(425, 425, Action::PauseDestination, "too early: as 429"),
    row(429, 429, Action::PauseDestination, "too much of everything, not of this package"),
    row(400, 499, Action::Dead(Refusal::Refused), "refused for a reason this table does not know"),
    row(500, 599, Action::RetryOrPause, "the destination is not well; it may be better at another moment"),
];

/// What is to be done after `answer`.
pub fn of(answer: &Answer) -> Outcome {
    let action = TABLE
        .iter()
        .find(|row| (row.from..=row.to).contains(&answer.status))
        .map_or(Action::Retry, |row| row.action);
    match action {
        Action::Delivered => Outcome::Delivered,
        Action::Retry => Outcome::Retry,
        Action::RetryOrPause if answer.retry_after.is_some() => Outcome::PauseDestination(answer.retry_after),
        Action::RetryOrPause => Outcome::Retry,
        Action::PauseDestination => Outcome::PauseDestination(answer.retry_after),
        Action::PauseLane => Outcome::PauseLane(answer.retry_after),
        Action::Split => Outcome::Split,
        Action::Dead(refusal) => Outcome::Dead(refusal),
    }
}

/// The same for a package that may have a token of its own. A refused one must not hold up the category for all other
/// workspaces: whoever can send here could stop it with a token that he made up. So only what carries the token waits.
pub fn of_route(answer: &Answer, route: &Route) -> Outcome {
    match of(answer) {
        Outcome::PauseLane(after) if route.token.is_some() => Outcome::PauseToken(after),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(status: u16, retry_after_s: Option<u64>) -> Outcome {
        of(&Answer { status, retry_after: retry_after_s.map(Duration::from_secs), excerpt: Vec::new() })
    }

    #[test]
    fn every_status_has_its_outcome() {
        let wait = Some(Duration::from_secs(7));
        for (status, plain, with_retry_after) in [
            (200, Outcome::Delivered, Outcome::Delivered),
            (202, Outcome::Delivered, Outcome::Delivered),
            (204, Outcome::Delivered, Outcome::Delivered),
            (299, Outcome::Delivered, Outcome::Delivered),
            (101, Outcome::Retry, Outcome::Retry),
            (301, Outcome::Retry, Outcome::Retry),
            (307, Outcome::Retry, Outcome::Retry),
            (400, Outcome::Dead(Refusal::Invalid), Outcome::Dead(Refusal::Invalid)),
            (401, Outcome::PauseLane(None), Outcome::PauseLane(wait)),
            (402, Outcome::Dead(Refusal::Refused), Outcome::Dead(Refusal::Refused)),
            (403, Outcome::PauseLane(None), Outcome::PauseLane(wait)),
            (404, Outcome::Dead(Refusal::NoSuchPlace), Outcome::Dead(Refusal::NoSuchPlace)),
            (405, Outcome::Dead(Refusal::NoSuchPlace), Outcome::Dead(Refusal::NoSuchPlace)),
            (406, Outcome::Dead(Refusal::NotAcceptable), Outcome::Dead(Refusal::NotAcceptable)),
            (408, Outcome::PauseDestination(None), Outcome::PauseDestination(wait)),
            (410, Outcome::Dead(Refusal::NoSuchPlace), Outcome::Dead(Refusal::NoSuchPlace)),
            (411, Outcome::Dead(Refusal::Refused), Outcome::Dead(Refusal::Refused)),
            (413, Outcome::Split, Outcome::Split),
            (415, Outcome::Dead(Refusal::Refused), Outcome::Dead(Refusal::Refused)),
            (422, Outcome::Dead(Refusal::Invalid), Outcome::Dead(Refusal::Invalid)),
            (425, Outcome::PauseDestination(None), Outcome::PauseDestination(wait)),
            (429, Outcome::PauseDestination(None), Outcome::PauseDestination(wait)),
            (431, Outcome::Dead(Refusal::Refused), Outcome::Dead(Refusal::Refused)),
            (499, Outcome::Dead(Refusal::Refused), Outcome::Dead(Refusal::Refused)),
            (500, Outcome::Retry, Outcome::PauseDestination(wait)),
            (502, Outcome::Retry, Outcome::PauseDestination(wait)),
            (503, Outcome::Retry, Outcome::PauseDestination(wait)),
            (504, Outcome::Retry, Outcome::PauseDestination(wait)),
            (599, Outcome::Retry, Outcome::PauseDestination(wait)),
            (0, Outcome::Retry, Outcome::Retry),
            (600, Outcome::Retry, Outcome::Retry),
            (999, Outcome::Retry, Outcome::Retry),
        ] {
            assert_eq!(outcome(status, None), plain, "{status}");
            assert_eq!(outcome(status, Some(7)), with_retry_after, "{status} with Retry-After");
        }
    }

    #[test]
    fn a_workspace_does_not_hold_up_the_others() {
        let token = Some(crate::config::secret::Secret::new("tkn_x"));
        let foreign = Route { token, ..Route::default() };
        for status in 0..1000 {
            let answer = Answer { status, ..Answer::default() };
            assert_eq!(of_route(&answer, &Route::default()), of(&answer), "{status}");
            let expected = match status {
                401 | 403 => Outcome::PauseToken(None),
                _ => of(&answer),
            };
            assert_eq!(of_route(&answer, &foreign), expected, "{status}");
        }
    }

    #[test]
    fn only_2xx_is_delivered_and_only_4xx_is_dead() {
        for status in 0..1000 {
            match outcome(status, None) {
                Outcome::Delivered => assert!((200..300).contains(&status), "{status}"),
                Outcome::Dead(_) | Outcome::Split => assert!((400..500).contains(&status), "{status}"),
                _ => assert!(!(200..300).contains(&status), "{status}"),
            }
        }
    }
}
