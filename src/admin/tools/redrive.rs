//! `kitgate dlq redrive`: letters become frames again. They are durable in the spool before they are marked, so a crash
//! between the two has them sent twice by the next redrive, and none is lost. A crash of the gateway can leave two letters
//! of the same points, from before and after it: of those one is spooled.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde_json::json;

use super::arguments::Which;
use super::blocks::Batch;
use super::letters::{self, LetterAt, Mark};
use super::{Failure, Said, Tools, shown};
use crate::upload::dead::DeadLetter;

/// The letters that were met, each as a number that no two share.
#[derive(Default)]
struct Met {
    hashers: [RandomState; 2],
    seen: HashSet<(u64, u64)>,
}

impl Met {
    /// Whether these very points were met before.
    fn again(&mut self, letter: &DeadLetter) -> bool {
        let note = &letter.note;
        let what = (&note.package, note.seq, note.first_point, note.points, &letter.data);
        let [left, right] = &self.hashers;
        !self.seen.insert((left.hash_one(what), right.hash_one(what)))
    }
}

pub(super) fn redrive(tools: &mut Tools<'_>, which: &Which) -> Result<Said, Failure> {
    if !which.says_which() {
        let text = "say which: a category, --package, --seq, --reason, or --all".to_owned();
        return Err(Failure::Usage(text));
    }
    let _alone = tools.alone()?;
    let now_ms = tools.now_ms;
    let files = letters::files(tools, which.category.map(|named| named.0))?;
    let mut spools = tools.spools()?;
    let (mut count, mut points) = (0_u64, 0_u64);
    let mut kept: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut met = Met::default();
    for file in &files {
        let mut doubles = Vec::new();
        let mut batch: Batch<(LetterAt, u32)> = Batch::default();
        let mut settle = |batch: &mut Batch<(LetterAt, u32)>| -> Result<(), Failure> {
            let done = batch.commit(&mut *spools, file.category)?;
            if done.is_empty() {
                return Ok(());
            }
            let at: Vec<LetterAt> = done.iter().map(|(at, _)| *at).collect();
            file.mark(&at, Mark::Redriven, now_ms)?;
            count += done.len() as u64;
            points += done.iter().map(|(_, points)| u64::from(*points)).sum::<u64>();
            Ok(())
        };
        file.each(|found| {
            if found.mark.is_some() {
                met.again(&found.letter);
                return Ok(());
            }
            if !which.takes(&found.letter) {
                return Ok(());
            }
            if met.again(&found.letter) {
                doubles.push(found.at);
                return Ok(());
            }
            match letters::block_of(&found.letter, file.category, now_ms) {
                Ok(block) => {
                    batch.push(block);
                    batch.notes.push((found.at, found.letter.note.points));
                }
                Err(why) => *kept.entry(why).or_default() += 1,
            }
            if batch.is_full() { settle(&mut batch) } else { Ok(()) }
        })?;
        settle(&mut batch)?;
        // Their points are durable with the first letter of them.
        if !doubles.is_empty() {
            file.mark(&doubles, Mark::Redriven, now_ms)?;
        }
    }
    let mut text =
        format!("spooled {} with {} again\n", shown::count(count, "letter"), shown::count(points, "point"));
    for (why, count) in &kept {
        text.push_str(&format!("{} kept: {why}\n", shown::count(*count, "letter")));
    }
    let json = json!({ "letters": count, "points": points, "kept": kept });
    Ok(Said { text, json, good: kept.is_empty() })
}
