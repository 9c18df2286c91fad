//! Giving up what was never sent: to make room, for its age, or because an operator says so. All of it counted, on its
//! lanes too: where there is more than one, the frames are walked before they go.

use super::account::LaneKey;
use super::config::{Completion, Fate};
use super::file::Disk;
use super::format::FrameHeader;
use super::ledger::Share;
use super::log::Log;
use super::place::Place;
use super::pool::segment_name;
use super::scan::Scan;
use std::io;

/// How often the frames are walked again because somebody took some of them meanwhile. After that, what is not known
/// counts on no lane until the log is empty.
const WALKS_MAX: usize = 3;

impl<D: Disk> Log<D> {
    /// Gives up the oldest segment to make room, and says what is lost by it. False: there is none but the one that is
    /// written to, or it could not be noted in the cursor. The policies of [`super::policy`] and of a log's own capacity
    /// ask for it. Windows that are out stay out, as their frames are in memory; when such a one comes back after all,
    /// what it had here counts as lost.
    pub async fn evict_oldest(&self) -> bool {
        let Some((id, noted)) = self.give_up_oldest(Fate::Evicted).await else { return false };
        if let Err(error) = noted {
            tracing::warn!(category = self.category, %error, "cannot note an eviction");
            return false;
        }
        // Done with, it has been retired, unless a window holds it.
        let held = self.ledger.borrow_mut().take_oldest(id);
        self.pool.borrow_mut().retired.extend(held);
        self.work.notify_all();
        true
    }

    /// Gives up what is older than [`super::LogConfig::max_age`], in whole segments and oldest first, and says what is
    /// lost by it. Gives the points. `now_ms` is the wall clock; call it every few seconds, also when there is nothing
    /// to give up: age is only what passes between two calls, and never more than a minute of it, so that neither sleep
    /// nor a clock that is set ages what nobody could have sent. Windows that are out keep their segment.
    pub async fn expire(&self, now_ms: u64) -> u64 {
        let mut age = self.age.get();
        age.look(now_ms);
        if age.wants_saving() && self.config.max_age.is_some() && self.ledger.borrow().end != Place::BIRTH {
            self.ledger.borrow_mut().version += 1;
            self.work.notify_all();
        }
        self.age.set(age);
        let Some(max_age) = self.config.max_age else { return 0 };
        let mut expired = 0;
        loop {
            let past = {
                let ledger = self.ledger.borrow();
                let front = ledger.segments.front();
                front.is_some_and(|front| {
                    age.is_past(front.filled_lived_ms, max_age) && !ledger.is_out_before(front.end)
                })
            };
            if !past {
                return expired;
            }
            if self.ledger.borrow().oldest_sealed().is_none() {
                // All that is left is the segment that is written to, and that has not been for so long.
                let Some(mut writer) = self.writer.try_take() else { return expired };
                writer.active = None;
                self.ledger.borrow_mut().active = false;
            }
            let before = self.totals().expired;
            let Some((id, noted)) = self.give_up_oldest(Fate::Expired).await else { return expired };
            expired += self.totals().expired - before;
            if let Err(error) = noted {
                tracing::warn!(category = self.category, %error, "cannot note what was too old");
                return expired;
            }
            if self.ledger.borrow().segments.front().is_some_and(|front| front.id == id) {
                return expired; // a window that begins in it waits to go out again
            }
        }
    }

    /// An operator gives up what is spooled before this number. Windows that are out stay, and those that wait to go out
    /// again and reach beyond it. Durable when it returns. Gives the points.
    pub async fn drop_before(&self, seq: u64) -> io::Result<u64> {
        let to = self.boundary(seq).await?;
        let shares = self.shares(|| self.ledger.borrow().unsent_before(to)).await;
        let stretches = self.ledger.borrow_mut().give_up(to, Fate::Dropped, &shares);
        let points = self.told_gone(&stretches, Fate::Dropped);
        self.flush().await?;
        Ok(points)
    }

    /// Gives up what nobody has taken of the oldest segment; none if only the active one is there. Gives the segment's
    /// id, and whether that is durable: only then is the segment gone.
    async fn give_up_oldest(&self, fate: Fate) -> Option<(u64, io::Result<()>)> {
        let unsent = || {
            let ledger = self.ledger.borrow();
            ledger.oldest_sealed().map(|(_, end)| ledger.unsent_before(end)).unwrap_or_default()
        };
        let shares = self.shares(unsent).await;
        let (id, stretches) = {
            let mut ledger = self.ledger.borrow_mut();
            let (id, end) = ledger.oldest_sealed()?;
            (id, ledger.give_up(end, fate, &shares))
        };
        let points = self.told_gone(&stretches, fate);
        if points > 0 {
            let segment = segment_name(id);
            tracing::error!(category = self.category, segment, points, ?fate, "gave up the oldest segment");
        }
        Some((id, self.flush().await))
    }

    fn told_gone(&self, stretches: &[(Place, Place)], fate: Fate) -> u64 {
        self.tail.borrow_mut().drop_before(self.ledger.borrow().read.seq);
        let mut points = 0;
        for (start, end) in stretches {
            let gone = Completion::whole(start.seq, end.seq - 1, end.points_since(*start), fate);
            points += gone.points;
            self.count(|counters| counters.add(&gone));
            self.tell(gone);
        }
        self.completed();
        points
    }

    /// Whose the points in these stretches are, as far as it can be read.
    async fn shares(&self, stretches: impl Fn() -> Vec<(Place, Place)>) -> Vec<Share> {
        if self.ledger.borrow().lanes.single().is_some() {
            return Vec::new();
        }
        for _ in 0..WALKS_MAX {
            let wanted = stretches();
            let mut shares: Vec<Share> = Vec::new();
            for (from, to) in &wanted {
                let walked = self.walk(*from, *to, |header, route| {
                    let lane = LaneKey((self.config.lane_of)(route));
                    let uncounted = self.ledger.borrow().lanes.uncounted.clone();
                    let (seq, points) = (header.place.seq, u64::from(header.points));
                    let same = |share: &&mut Share| {
                        share.lane == lane && uncounted.contains(&share.seq) == uncounted.contains(&seq)
                    };
                    match shares.iter_mut().find(same) {
                        Some(share) => share.points += points,
                        None => shares.push(Share { seq, lane, points }),
                    }
                    true
                });
                if let Err(error) = walked.await {
                    tracing::warn!(category = self.category, %error, "cannot tell whose the dropped points are");
                }
            }
            if wanted == stretches() {
                return shares;
            }
        }
        Vec::new()
    }

    /// The boundary at this frame, or the nearest before it that can be read; that of the cursor if all of that is gone.
    async fn boundary(&self, seq: u64) -> io::Result<Place> {
        let readable = self.readable.get();
        if seq >= readable.seq {
            return Ok(readable);
        }
        let from = {
            let ledger = self.ledger.borrow();
            match ledger.segment_of(seq).filter(|_| seq > ledger.acked.seq) {
                Some(segment) => segment.first,
                None => return Ok(ledger.acked),
            }
        };
        let mut boundary = from;
        self.walk(from, readable, |header, _route| {
            if header.place.seq <= seq {
                boundary = if header.place.seq == seq { header.place } else { header.end() };
            }
            header.place.seq < seq
        })
        .await?;
        Ok(boundary)
    }

    /// Shows the headers of the frames between two places, until that says false. What cannot be read is passed over.
    pub(super) async fn walk(
        &self,
        from: Place,
        to: Place,
        mut show: impl FnMut(&FrameHeader, &[u8]) -> bool,
    ) -> io::Result<()> {
        let mut at = from;
        while at.seq < to.seq {
            let found = {
                let ledger = self.ledger.borrow();
                match ledger.segment_of(at.seq) {
                    Some(segment) => Ok((segment.id, segment.salt, segment.used_bytes, segment.end)),
                    None => Err(ledger.next_segment_first(at.seq)),
                }
            };
            let (id, salt, used_bytes, segment_end) = match found {
                Ok(found) => found,
                Err(Some(next)) => {
                    at = next;
                    continue;
                }
                Err(None) => return Ok(()),
            };
            let goal = if segment_end.seq < to.seq { segment_end } else { to };
            let file = match self.disk.open(&segment_name(id)).await {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    at = goal;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut scan = Scan::new(file, salt, None, used_bytes);
            while let Some(header) = scan.peek().await? {
                let counts = header.place.follows(at) && segment_end.follows(header.end());
                if counts && header.place.seq >= goal.seq {
                    break;
                }
                if counts {
                    if !show(&header, scan.route(&header)) {
                        return Ok(());
                    }
                    at = header.end();
                }
                scan.consume(&header);
            }
            at = goal;
        }
        Ok(())
    }
}
