//! The backtracker: runs a program from one place of a text, within a number of steps.
//!
//! Leftmost-first matching is by definition what a backtracker finds, so what it finds is right; what it may not do is
//! take long. It counts its steps and what it scans, gives up when they are spent, and the caller asks the linear
//! engine. Texts are valid UTF-8 (a precondition for right answers, not for safety).

use memchr::{memchr, memchr2, memrchr};
use regex_syntax::hir::Look;

use super::program::{Above, Branches, CharClass, FOREVER, Next, Op, Program};
use crate::pipeline::lib::text::same as same_text;

/// Open alternatives at one time: two megabytes of them. Past this the linear engine takes over.
const STACK_MAX: usize = 1 << 16;
/// Bytes scanned by a run that cost as much as a step.
const SCANNED_PER_STEP: usize = 16;

pub const NONE: usize = usize::MAX;

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Match(usize),
    Nothing,
    /// Too many steps.
    GaveUp,
}

#[derive(Debug)]
enum Frame {
    /// The branches in `mask` are still to be tried.
    Choice {
        id: u16,
        mask: u8,
        at: u32,
    },
    /// A greedy run may give back down to `low`.
    GiveBack {
        pc: u32,
        low: u32,
        at: u32,
    },
    /// A lazy run may take more.
    TakeMore {
        pc: u32,
        taken: u32,
        at: u32,
    },
    Restore {
        slot: u16,
        old: usize,
    },
}

/// Memory that searches use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    stack: Vec<Frame>,
    /// Start and end of each group, 0 being the whole match; `NONE` where it took no part.
    pub slots: Vec<usize>,
    /// Steps that are left.
    pub steps: usize,
    /// Steps that searches took since somebody asked, in bytes where the linear engine answered.
    work: usize,
}

impl Scratch {
    /// What searches did since this was asked last, in steps.
    pub fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    pub(super) fn work(&self) -> usize {
        self.work
    }

    pub(super) fn add_work(&mut self, steps: usize) {
        self.work = self.work.saturating_add(steps);
    }

    /// Gives a search so many steps.
    pub(super) fn begin(&mut self, steps: usize) {
        self.steps = steps;
        // Taken back at the end, as far as they are left.
        self.add_work(steps);
    }

    pub(super) fn end(&mut self) {
        self.work = self.work.saturating_sub(self.steps);
        self.steps = 0;
    }
}

impl Program {
    /// Matches from `start` on; the groups are in `scratch`.
    pub fn run(&self, text: &[u8], start: usize, scratch: &mut Scratch) -> Outcome {
        let Scratch { stack, slots, steps, .. } = scratch;
        stack.clear();
        let mut at = start;
        let mut pc = 0;
        loop {
            // One round is one step; `false` goes back to the last alternative.
            let going = match self.ops.get(pc) {
                Some(Op::Byte(byte)) => {
                    pc += 1;
                    let same = text.get(at) == Some(byte);
                    at += 1;
                    same
                }
                Some(Op::Bytes(bytes)) => {
                    pc += 1;
                    let same = text.get(at..at + bytes.len()).is_some_and(|part| same_text(part, bytes));
                    at += bytes.len();
                    same
                }
                Some(Op::One(class)) => {
                    pc += 1;
                    match self.classes[usize::from(*class)].one(text, at) {
                        Some(next) => {
                            at = next;
                            true
                        }
                        None => false,
                    }
                }
                Some(Op::Possessive { class, min, max }) => {
                    pc += 1;
                    match self.classes[usize::from(*class)].run(text, at, *min, *max) {
                        Some(run) => {
                            *steps = steps.saturating_sub((run.end - at) / SCANNED_PER_STEP);
                            at = run.end;
                            true
                        }
                        None => false,
                    }
                }
                Some(Op::Greedy { class, min, max, next }) => {
                    match self.classes[usize::from(*class)].run(text, at, *min, *max) {
                        Some(run) => {
                            *steps = steps.saturating_sub((run.end - at) / SCANNED_PER_STEP);
                            match self.nexts[usize::from(*next)].last(text, run.low, run.end) {
                                Some(place) => {
                                    if place > run.low {
                                        stack.push(Frame::GiveBack {
                                            pc: pc as u32,
                                            low: run.low as u32,
                                            at: place as u32,
                                        });
                                    }
                                    at = place;
                                    pc += 1;
                                    true
                                }
                                None => false,
                            }
                        }
                        None => false,
                    }
                }
                Some(Op::Lazy { class, min, max, next }) => {
                    let class = &self.classes[usize::from(*class)];
                    let next = &self.nexts[usize::from(*next)];
                    let low =
                        if *min == 0 { Some(at) } else { class.run(text, at, *min, *min).map(|run| run.end) };
                    match low.and_then(|low| class.lazy(next, text, low, *min, *max)) {
                        Some((place, taken)) => {
                            *steps = steps.saturating_sub((place - at) / SCANNED_PER_STEP);
                            at = place;
                            stack.push(Frame::TakeMore { pc: pc as u32, taken, at: at as u32 });
                            pc += 1;
                            true
                        }
                        None => false,
                    }
                }
                Some(Op::Choice(id)) => {
                    let choice = &self.choices[usize::from(*id)];
                    let mask = choice.viable[text.get(at).map_or(256, |byte| usize::from(*byte))];
                    match choice.take(mask) {
                        Some((target, rest)) => {
                            if rest != 0 {
                                stack.push(Frame::Choice { id: *id, mask: rest, at: at as u32 });
                            }
                            pc = target;
                            true
                        }
                        None => false,
                    }
                }
                Some(Op::Jump(to)) => {
                    pc = *to as usize;
                    true
                }
                Some(Op::Save(slot)) => {
                    pc += 1;
                    let place = &mut slots[usize::from(*slot)];
                    if !stack.is_empty() {
                        stack.push(Frame::Restore { slot: *slot, old: *place });
                    }
                    *place = at;
                    true
                }
                Some(Op::Look(look)) => {
                    pc += 1;
                    holds(*look, text, at)
                }
                Some(Op::Accept) => {
                    slots[0] = start;
                    slots[1] = at;
                    return Outcome::Match(at);
                }
                Some(Op::Fail) | None => false,
            };
            if *steps == 0 || stack.len() > STACK_MAX {
                return Outcome::GaveUp;
            }
            *steps -= 1;
            if going {
                continue;
            }
            loop {
                match stack.pop() {
                    None => return Outcome::Nothing,
                    Some(Frame::Restore { slot, old }) => slots[usize::from(slot)] = old,
                    Some(Frame::Choice { id, mask, at: place }) => {
                        let Some((target, rest)) = self.choices[usize::from(id)].take(mask) else { continue };
                        if rest != 0 {
                            stack.push(Frame::Choice { id, mask: rest, at: place });
                        }
                        at = place as usize;
                        pc = target;
                        break;
                    }
                    Some(Frame::GiveBack { pc: run, low, at: place }) => {
                        let Some(Op::Greedy { next, .. }) = self.ops.get(run as usize) else { continue };
                        let end = before(text, place as usize);
                        let Some(end) = self.nexts[usize::from(*next)].last(text, low as usize, end) else {
                            continue;
                        };
                        if end > low as usize {
                            stack.push(Frame::GiveBack { pc: run, low, at: end as u32 });
                        }
                        at = end;
                        pc = run as usize + 1;
                        break;
                    }
                    Some(Frame::TakeMore { pc: run, taken, at: place }) => {
                        let Some(Op::Lazy { class, max, next, .. }) = self.ops.get(run as usize) else {
                            continue;
                        };
                        if taken >= *max {
                            continue;
                        }
                        let class = &self.classes[usize::from(*class)];
                        let next = &self.nexts[usize::from(*next)];
                        let more = class
                            .one(text, place as usize)
                            .and_then(|from| class.lazy(next, text, from, taken.saturating_add(1), *max));
                        let Some((end, taken)) = more else { continue };
                        *steps = steps.saturating_sub((end - place as usize) / SCANNED_PER_STEP);
                        stack.push(Frame::TakeMore { pc: run, taken, at: end as u32 });
                        at = end;
                        pc = run as usize + 1;
                        break;
                    }
                }
            }
        }
    }
}

impl Branches {
    /// The first branch of `mask`, and the others.
    fn take(&self, mask: u8) -> Option<(usize, u8)> {
        if mask == 0 {
            return None;
        }
        let target = *self.targets.get(mask.trailing_zeros() as usize)?;
        Some((target as usize, mask & (mask - 1)))
    }
}

/// A greedy run: it may end anywhere from `low` to `end`.
struct Run {
    low: usize,
    end: usize,
}

impl CharClass {
    /// Behind one character of the class.
    fn one(&self, text: &[u8], at: usize) -> Option<usize> {
        let byte = *text.get(at)?;
        if byte < 0x80 || self.above == Above::None {
            return self.table[usize::from(byte)].then_some(at + 1);
        }
        let (c, len) = decode(text, at)?;
        let member = match &self.above {
            Above::None => false,
            Above::All => true,
            Above::Some(ranges) => {
                let after = ranges.partition_point(|(low, _)| *low <= c);
                after > 0 && c <= ranges[after - 1].1
            }
        };
        member.then_some(at + len)
    }

    fn run(&self, text: &[u8], at: usize, min: u32, max: u32) -> Option<Run> {
        // By bytes where characters need not be counted.
        let bytes = match self.above {
            Above::None => true,
            Above::All => min <= 1 && max == FOREVER,
            Above::Some(_) => false,
        };
        if bytes {
            let rest = text.get(at..)?;
            let rest = if max == FOREVER { rest } else { &rest[..rest.len().min(max as usize)] };
            let len = match self.all_but {
                Some(byte) => memchr(byte, rest),
                None => rest.iter().position(|byte| !self.table[usize::from(*byte)]),
            };
            let end = at + len.unwrap_or(rest.len());
            let low = match min {
                0 => at,
                1 => self.one(text, at)?,
                min => at + min as usize,
            };
            return (low <= end).then_some(Run { low, end });
        }
        let (mut end, mut low, mut taken) = (at, at, 0);
        while taken < max
            && let Some(next) = self.one(text, end)
        {
            end = next;
            taken += 1;
            if taken <= min {
                low = end;
            }
        }
        (taken >= min).then_some(Run { low, end })
    }

    /// The nearest place from `from` on where `next` can begin, over members of this class; `taken` of them are
    /// behind already. Characters are counted only where they are limited.
    fn lazy(&self, next: &Next, text: &[u8], from: usize, taken: u32, max: u32) -> Option<(usize, u32)> {
        if max == FOREVER
            && let (Some(wanted), Some(end)) = (next.only, self.all_but)
        {
            let rest = text.get(from..)?;
            return match memchr2(wanted, end, rest) {
                Some(n) => (rest[n] == wanted).then_some((from + n, taken)),
                None => next.end.then_some((text.len(), taken)),
            };
        }
        let (mut at, mut taken) = (from, taken);
        loop {
            match text.get(at) {
                Some(byte) if next.table[usize::from(*byte)] => return Some((at, taken)),
                Some(_) if taken < max => {}
                None if next.end => return Some((at, taken)),
                _ => return None,
            }
            at = self.one(text, at)?;
            if max != FOREVER {
                taken += 1;
            }
        }
    }
}

impl Next {
    /// The last place in `low..=end` where this can begin.
    fn last(&self, text: &[u8], low: usize, end: usize) -> Option<usize> {
        if end < low {
            return None;
        }
        if end >= text.len() && self.end {
            return Some(end);
        }
        let span = text.get(low..text.len().min(end + 1))?;
        let found = match self.only {
            Some(byte) => memrchr(byte, span),
            // Bytes inside of a character begin nothing, unless everything does.
            None => span.iter().rposition(|byte| self.table[usize::from(*byte)] && *byte & 0xc0 != 0x80),
        };
        found.map(|n| low + n)
    }
}

/// The place of the character before `at`.
fn before(text: &[u8], at: usize) -> usize {
    let mut at = at.saturating_sub(1);
    while at > 0 && text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
        at -= 1;
    }
    at
}

fn decode(text: &[u8], at: usize) -> Option<(char, usize)> {
    let rest = text.get(at..)?;
    let len = match rest.first()? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let c = std::str::from_utf8(rest.get(..len)?).ok()?.chars().next()?;
    Some((c, len))
}

fn holds(look: Look, text: &[u8], at: usize) -> bool {
    let word = |at: Option<usize>| {
        at.and_then(|at| text.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    match look {
        Look::Start => at == 0,
        Look::End => at == text.len(),
        Look::StartLF => at == 0 || text.get(at - 1) == Some(&b'\n'),
        Look::EndLF => at == text.len() || text.get(at) == Some(&b'\n'),
        Look::WordAscii => word(at.checked_sub(1)) != word(Some(at)),
        Look::WordAsciiNegate => word(at.checked_sub(1)) == word(Some(at)),
        // The parser makes no others.
        _ => false,
    }
}
