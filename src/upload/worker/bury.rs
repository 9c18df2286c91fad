//! What is refused for ever goes to the dead-letter files.

use std::rc::Rc;

use super::Ledger;
use super::lane::Lane;
use super::settle::Death;
use crate::point::{Route, RouteError};
use crate::sink::redact_tokens;
use crate::upload::carrier::Carrier;
use crate::upload::dead::{DeadLetter, KeptToken, Note, codec_name, kind_name};
use crate::upload::env::Env;
use crate::upload::retry::Backoff;
use crate::upload::source::Source;

impl<C: Carrier, E: Env, S: Source, L: Ledger + ?Sized> Lane<C, E, S, L> {
    /// Writes dead letters. While that is impossible the window waits: there is no other place for its points.
    pub(super) async fn bury(&self, deaths: &[Death]) -> Option<()> {
        let Some(first) = deaths.first() else { return Some(()) };
        let uploads = &*self.uploads;
        let (category, now_ms) = (self.category, uploads.env.wall_ms());
        let letters: Rc<[DeadLetter]> = deaths.iter().map(|death| self.letter(death, now_ms)).collect();
        let mut backoff =
            Backoff::new(uploads.settings.retry_min, uploads.settings.retry_max, uploads.seed());
        loop {
            let (dead, letters) = (uploads.dead.clone(), letters.to_vec());
            let written = uploads.env.blocking(move || dead.append(category, &letters, now_ms)).await;
            match written.and_then(|result| result) {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(
                        category = category.name(), frames = deaths.len(), %error,
                        "dead letters cannot be written; their window waits"
                    );
                    uploads.control.unless_stopping(uploads.env.sleep(backoff.next_wait())).await?;
                }
            }
        }
        let points: u64 = deaths.iter().map(|death| u64::from(death.points)).sum();
        tracing::error!(
            category = category.name(),
            letters = deaths.len(),
            points,
            package = first.package,
            reason = first.refusal.name(),
            status = first.status,
            text = first.text,
            "the destination refuses data for ever; it is in the dead-letter file"
        );
        Some(())
    }

    fn letter(&self, death: &Death, now_ms: u64) -> DeadLetter {
        let block = &death.frame.block;
        let (route, token) = match Route::decode(&block.route) {
            Ok(route) => (route.shown(), route.token.map(KeptToken)),
            Err(RouteError) => (redact_tokens(&String::from_utf8_lossy(&block.route)), None),
        };
        let shown = self.uploads.targets.get(death.target).map(|state| state.shown.clone());
        let note = Note {
            package: death.package.clone(),
            seq: death.frame.seq,
            first_point: death.first_point,
            category: self.category.name().to_owned(),
            route,
            token,
            kind: kind_name(block.kind).to_owned(),
            codec: codec_name(block.codec).to_owned(),
            points: block.points,
            raw_bytes: block.raw_bytes,
            sealed_ms: block.sealed_ms,
            died_ms: now_ms,
            destination: shown.unwrap_or_default(),
            reason: death.refusal.name().to_owned(),
            status: death.status,
            answer: death.text.clone(),
            history: death.history.tries().to_vec(),
        };
        DeadLetter { note, data: block.payload.clone() }
    }
}
