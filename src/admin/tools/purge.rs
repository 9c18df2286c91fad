//! `kitgate dlq purge`: letters are given up. Files of which nothing is wanted any more are removed, unless a running
//! gateway may still be adding to them.

use serde_json::json;

use super::arguments::Which;
use super::letters::{self, LetterAt, Mark};
use super::{Failure, Said, Tools, shown};
use crate::spool::Owner;

pub(super) fn purge(tools: &Tools<'_>, which: &Which, yes: bool) -> Result<Said, Failure> {
    if !which.says_which() {
        let text = "say which: a category, --package, --seq, --reason, or --all".to_owned();
        return Err(Failure::Usage(text));
    }
    let _alone = tools.alone()?;
    let files = letters::files(tools, which.category.map(|named| named.0))?;
    // Everything of these files is meant, what is damaged or cut off in them too.
    let whole = which.package.is_none() && which.seq.is_none() && which.reason.is_none();
    let mut plan: Vec<(usize, Vec<LetterAt>)> = Vec::new();
    let (mut count, mut points) = (0_u64, 0_u64);
    for (index, file) in files.iter().enumerate() {
        let mut letters = Vec::new();
        file.each(|found| {
            if found.mark.is_none() && which.takes(&found.letter) {
                letters.push(found.at);
                points += u64::from(found.letter.note.points);
            }
            Ok(())
        })?;
        count += letters.len() as u64;
        plan.push((index, letters));
    }
    let what = format!("{} with {}", shown::count(count, "letter"), shown::count(points, "point"));
    if !yes {
        return Err(Failure::Usage(format!("this would give up {what}, for good: say --yes to do it")));
    }
    // While we own the directory nobody adds to any file.
    let owner = Owner::take(&tools.settings.data_dir).ok();
    let mut removed = 0_u64;
    for (index, letters) in &plan {
        let Some(file) = files.get(*index) else { continue };
        if !letters.is_empty() {
            file.mark(letters, Mark::Purged, tools.now_ms)?;
        }
        let closed = owner.is_some() || letters::is_past(&file.day(), tools.now_ms);
        if closed && letters::is_done_with(file, whole)? {
            file.remove()?;
            removed += 1;
        }
    }
    let text = format!("gave up {what}; {} removed\n", shown::count(removed, "file"));
    let json = json!({ "letters": count, "points": points, "files_removed": removed });
    Ok(Said { text, json, good: true })
}
