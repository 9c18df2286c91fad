//! A pattern as steps for the backtracker.
//!
//! Log patterns are mostly runs of one class ended by a character outside of it (`\S+ `, `[^"]*"`, `.*?"`). Each
//! such run is one step here, and what may follow it is known when compiling: a run whose class cannot begin what
//! follows never gives anything back, so it leaves nothing behind to come back to; a choice between branches looks at
//! the next byte first and tries those that can begin with it. What is left to backtracking is little.
//!
//! Not everything becomes a program: loops around something that may be empty, and trees that unroll to too many
//! steps, are left to the linear engine alone.

use std::collections::HashMap;

use regex_syntax::hir::{Class as HirClass, ClassUnicode, Hir, HirKind, Look, Repetition};

/// Steps of the largest program. An access log's pattern with three addresses (IPv6 unrolled) has three thousand.
const OPS_MAX: usize = 40_000;
/// Branches of one choice: a bit each in its table. More become choices of choices.
const BRANCHES_MAX: usize = 8;
/// Sets of what may begin are computed for a part again at each level above it: this bounds the sum of it.
const FIRST_WORK_MAX: usize = 4_000_000;

pub const FOREVER: u32 = u32::MAX;

#[derive(Debug)]
pub enum Op {
    Byte(u8),
    Bytes(Box<[u8]>),
    /// One character of a class.
    One(u16),
    /// As many of a class as there are, at most `max`; nothing is given back.
    Possessive {
        class: u16,
        min: u32,
        max: u32,
    },
    /// As many as there are, then fewer; `next` is what can begin what follows.
    Greedy {
        class: u16,
        min: u32,
        max: u32,
        next: u16,
    },
    /// As few as will do.
    Lazy {
        class: u16,
        min: u32,
        max: u32,
        next: u16,
    },
    Choice(u16),
    Jump(u32),
    Save(u16),
    Look(Look),
    /// Never holds: an empty class.
    Fail,
    Accept,
}

/// Which bytes a match may go on with. Both ways of ending are apart, as they matter for different questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct First {
    bytes: [u64; 4],
    /// May hold at the end of the text.
    end: bool,
    /// The whole match may be over here.
    accept: bool,
    /// The same, if a look around holds.
    accept_if: bool,
}

impl First {
    const ACCEPT: First = First { bytes: [0; 4], end: true, accept: true, accept_if: false };

    fn add(&mut self, byte: u8) {
        self.bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub fn has(&self, byte: u8) -> bool {
        self.bytes[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    fn or(mut self, other: First) -> First {
        for (own, other) in self.bytes.iter_mut().zip(other.bytes) {
            *own |= other;
        }
        self.end |= other.end;
        self.accept |= other.accept;
        self.accept_if |= other.accept_if;
        self
    }

    fn meets(&self, other: &First) -> bool {
        self.bytes.iter().zip(other.bytes).any(|(own, other)| own & other != 0)
    }

    pub fn over(&self) -> bool {
        self.accept || self.accept_if
    }

    fn only(&self) -> Option<u8> {
        let mut all = (0..=255).filter(|byte| self.has(*byte));
        all.next().filter(|_| all.next().is_none())
    }
}

/// What a run may go on with, ready to be searched for.
#[derive(Debug)]
pub struct Next {
    pub table: [bool; 256],
    pub only: Option<u8>,
    pub end: bool,
}

/// A class of characters over valid UTF-8.
#[derive(Debug)]
pub struct CharClass {
    /// By byte: ASCII members, and every byte above if all characters above ASCII are members.
    pub table: [bool; 256],
    pub above: Above,
    /// The one ASCII byte that is not in it, with all above: a search for a byte ends its runs.
    pub all_but: Option<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Above {
    None,
    All,
    Some(Box<[(char, char)]>),
}

#[derive(Debug)]
pub struct Branches {
    /// Which branches can begin with a byte; the last entry is the end of the text.
    pub viable: [u8; 257],
    pub targets: Vec<u32>,
}

#[derive(Debug)]
pub struct Program {
    pub ops: Vec<Op>,
    pub classes: Vec<CharClass>,
    pub nexts: Vec<Next>,
    pub choices: Vec<Branches>,
    /// What a match can begin with; all of it where a match may be empty.
    pub starts: [bool; 256],
    /// Whether a match may be empty.
    pub may_be_empty: bool,
    /// Matches begin at the start of the text only.
    pub anchored: bool,
}

#[derive(Default)]
struct Builder {
    ops: Vec<Op>,
    classes: Vec<CharClass>,
    class_ids: HashMap<Vec<(char, char)>, u16>,
    nexts: Vec<Next>,
    next_ids: HashMap<First, u16>,
    choices: Vec<Branches>,
    first_work: usize,
}

/// `None` where this engine is not meant for the pattern.
pub fn compile(hir: &Hir) -> Option<Program> {
    let mut builder = Builder::default();
    let first = builder.first(hir, First::ACCEPT)?;
    builder.emit(hir, First::ACCEPT)?;
    builder.push(Op::Accept)?;
    let may_be_empty = first.over() || first.end;
    let mut starts = [may_be_empty; 256];
    for byte in 0..=255 {
        starts[usize::from(byte)] |= first.has(byte);
    }
    Some(Program {
        ops: builder.ops,
        classes: builder.classes,
        nexts: builder.nexts,
        choices: builder.choices,
        starts,
        may_be_empty,
        anchored: hir.properties().look_set_prefix().contains(Look::Start),
    })
}

/// The characters of a class, if `hir` is one character of some class.
fn one_char(hir: &Hir) -> Option<Vec<(char, char)>> {
    match hir.kind() {
        HirKind::Class(HirClass::Unicode(class)) => Some(pairs(class)),
        HirKind::Class(HirClass::Bytes(class)) => {
            let ascii = class.ranges().iter().all(|range| range.end() < 0x80);
            ascii.then(|| {
                class.ranges().iter().map(|r| (char::from(r.start()), char::from(r.end()))).collect()
            })
        }
        HirKind::Literal(literal) => {
            let mut chars = std::str::from_utf8(&literal.0).ok()?.chars();
            let c = chars.next()?;
            chars.next().is_none().then(|| vec![(c, c)])
        }
        _ => None,
    }
}

fn pairs(class: &ClassUnicode) -> Vec<(char, char)> {
    class.ranges().iter().map(|range| (range.start(), range.end())).collect()
}

fn nullable(hir: &Hir) -> bool {
    hir.properties().minimum_len().is_none_or(|min| min == 0)
}

impl Builder {
    fn push(&mut self, op: Op) -> Option<usize> {
        self.ops.push(op);
        (self.ops.len() <= OPS_MAX).then(|| self.ops.len() - 1)
    }

    fn here(&self) -> u32 {
        self.ops.len() as u32
    }

    /// What `hir` and then something of `follow` can begin with.
    fn first(&mut self, hir: &Hir, follow: First) -> Option<First> {
        self.first_work += 1;
        if self.first_work > FIRST_WORK_MAX {
            return None;
        }
        let mut first = First::default();
        Some(match hir.kind() {
            HirKind::Empty => follow,
            HirKind::Literal(literal) => {
                first.add(*literal.0.first()?);
                first
            }
            HirKind::Class(_) => {
                let pairs = one_char(hir)?;
                add_class(&mut first, &pairs);
                first
            }
            // At no other byte can it hold, whatever follows.
            HirKind::Look(Look::End) => First { end: true, ..first },
            HirKind::Look(Look::EndLF) => {
                first.add(b'\n');
                First { end: true, ..first }
            }
            HirKind::Look(_) => First { accept: false, accept_if: follow.over(), ..follow },
            HirKind::Repetition(repetition) => {
                let mut inner = follow;
                if repetition.max != Some(0) {
                    inner = self.first(&repetition.sub, follow)?;
                }
                if repetition.min == 0 { inner.or(follow) } else { inner }
            }
            HirKind::Capture(capture) => self.first(&capture.sub, follow)?,
            HirKind::Concat(parts) => {
                let mut next = follow;
                for part in parts.iter().rev() {
                    next = self.first(part, next)?;
                }
                next
            }
            HirKind::Alternation(branches) => {
                for branch in branches {
                    first = first.or(self.first(branch, follow)?);
                }
                first
            }
        })
    }

    fn emit(&mut self, hir: &Hir, follow: First) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                let op = match literal.0.as_ref() {
                    [byte] => Op::Byte(*byte),
                    bytes => Op::Bytes(bytes.into()),
                };
                self.push(op)?;
            }
            HirKind::Class(_) => {
                let pairs = one_char(hir)?;
                let op = if pairs.is_empty() { Op::Fail } else { Op::One(self.class(pairs)?) };
                self.push(op)?;
            }
            HirKind::Look(look) => {
                self.push(Op::Look(*look))?;
            }
            HirKind::Repetition(repetition) => self.repetition(repetition, follow)?,
            HirKind::Capture(capture) => {
                let slot = u16::try_from(capture.index.checked_mul(2)?).ok()?;
                self.push(Op::Save(slot))?;
                self.emit(&capture.sub, follow)?;
                self.push(Op::Save(slot + 1))?;
            }
            HirKind::Concat(parts) => {
                let mut follows = Vec::with_capacity(parts.len());
                let mut next = follow;
                for part in parts.iter().rev() {
                    follows.push(next);
                    next = self.first(part, next)?;
                }
                for part in parts {
                    self.emit(part, follows.pop()?)?;
                }
            }
            HirKind::Alternation(branches) => self.alternation(branches, follow)?,
        }
        Some(())
    }

    fn alternation(&mut self, branches: &[Hir], follow: First) -> Option<()> {
        let mut ends = Vec::new();
        let mut left = branches;
        while !left.is_empty() {
            let many = left.len() > BRANCHES_MAX;
            let (own, rest) = left.split_at(if many { BRANCHES_MAX - 1 } else { left.len() });
            let choice = self.choice()?;
            for branch in own {
                let first = self.first(branch, follow)?;
                self.branch(choice, first);
                self.emit(branch, follow)?;
                ends.push(self.push(Op::Jump(0))?);
            }
            if many {
                let mut first = First::default();
                for branch in rest {
                    first = first.or(self.first(branch, follow)?);
                }
                self.branch(choice, first);
            }
            left = rest;
        }
        let here = self.here();
        for end in ends {
            self.ops[end] = Op::Jump(here);
        }
        Some(())
    }

    fn repetition(&mut self, repetition: &Repetition, follow: First) -> Option<()> {
        let sub = &*repetition.sub;
        let (min, max) = (repetition.min, repetition.max);
        if let Some(pairs) = one_char(sub).filter(|pairs| !pairs.is_empty()) {
            return self.run(pairs, min, max.unwrap_or(FOREVER), repetition.greedy, follow);
        }
        let again = self.first(sub, First::default())?;
        // The inner part may be followed by itself as well as by what comes after the loop.
        let inside = again.or(follow);
        for n in 0..min {
            let last = n + 1 == min && max == Some(min);
            self.emit(sub, if last { follow } else { inside })?;
        }
        let Some(max) = max else {
            if nullable(sub) {
                return None;
            }
            let top = self.here();
            let choice = self.choice()?;
            if repetition.greedy {
                self.branch(choice, again);
                self.emit(sub, inside)?;
                self.push(Op::Jump(top))?;
                self.branch(choice, follow);
            } else {
                // The way out comes first: it jumps over the body.
                self.branch(choice, follow);
                let out = self.push(Op::Jump(0))?;
                self.branch(choice, again);
                self.emit(sub, inside)?;
                self.push(Op::Jump(top))?;
                self.ops[out] = Op::Jump(self.here());
            }
            return Some(());
        };
        let begin = self.first(sub, inside)?;
        let mut choices = Vec::new();
        let mut outs = Vec::new();
        for _ in min..max {
            let choice = self.choice()?;
            if repetition.greedy {
                self.branch(choice, begin);
                choices.push(choice);
            } else {
                self.branch(choice, follow);
                outs.push(self.push(Op::Jump(0))?);
                self.branch(choice, begin);
            }
            self.emit(sub, inside)?;
        }
        for choice in choices {
            self.branch(choice, follow);
        }
        let here = self.here();
        for out in outs {
            self.ops[out] = Op::Jump(here);
        }
        Some(())
    }

    fn run(
        &mut self,
        pairs: Vec<(char, char)>,
        min: u32,
        max: u32,
        greedy: bool,
        follow: First,
    ) -> Option<()> {
        let mut own = First::default();
        add_class(&mut own, &pairs);
        let class = self.class(pairs)?;
        // Giving a character back helps only if what follows can begin with it, or if a look around must hold for
        // the match to be over. Where the match is over anyway, it is over at the first try.
        let gives_back = follow.meets(&own) || follow.accept_if;
        let op = if greedy && !gives_back || min == max {
            Op::Possessive { class, min, max }
        } else {
            let next = self.next(follow)?;
            if greedy { Op::Greedy { class, min, max, next } } else { Op::Lazy { class, min, max, next } }
        };
        self.push(op)?;
        Some(())
    }

    fn choice(&mut self) -> Option<usize> {
        let id = self.choices.len();
        self.push(Op::Choice(u16::try_from(id).ok()?))?;
        self.choices.push(Branches { viable: [0; 257], targets: Vec::with_capacity(2) });
        Some(id)
    }

    /// The next branch of `choice` begins at what is emitted next.
    fn branch(&mut self, choice: usize, first: First) {
        let here = self.here();
        let branches = &mut self.choices[choice];
        let bit = 1_u8 << branches.targets.len();
        branches.targets.push(here);
        for byte in 0..=255_u8 {
            if first.over() || first.has(byte) {
                branches.viable[usize::from(byte)] |= bit;
            }
        }
        if first.over() || first.end {
            branches.viable[256] |= bit;
        }
    }

    fn class(&mut self, pairs: Vec<(char, char)>) -> Option<u16> {
        if let Some(id) = self.class_ids.get(&pairs) {
            return Some(*id);
        }
        let id = u16::try_from(self.classes.len()).ok()?;
        let mut table = [false; 256];
        let mut above = Vec::new();
        for &(low, high) in &pairs {
            for byte in 0..0x80_u8 {
                table[usize::from(byte)] |= (low..=high).contains(&char::from(byte));
            }
            if high >= '\u{80}' {
                above.push((low.max('\u{80}'), high));
            }
        }
        let above = match above.as_slice() {
            [] => Above::None,
            [('\u{80}', char::MAX)] => Above::All,
            _ => Above::Some(above.into()),
        };
        table[0x80..].fill(above == Above::All);
        let mut out = (0..0x80_u8).filter(|byte| !table[usize::from(*byte)]);
        let all_but = out.next().filter(|_| out.next().is_none() && above == Above::All);
        self.classes.push(CharClass { table, above, all_but });
        self.class_ids.insert(pairs, id);
        Some(id)
    }

    fn next(&mut self, first: First) -> Option<u16> {
        if let Some(id) = self.next_ids.get(&first) {
            return Some(*id);
        }
        let id = u16::try_from(self.nexts.len()).ok()?;
        let any = first.over();
        let mut table = [any; 256];
        for byte in 0..=255_u8 {
            table[usize::from(byte)] |= first.has(byte);
        }
        let only = first.only().filter(|_| !any);
        self.nexts.push(Next { table, only, end: first.end || any });
        self.next_ids.insert(first, id);
        Some(id)
    }
}

fn add_class(first: &mut First, pairs: &[(char, char)]) {
    for &(low, high) in pairs {
        for byte in 0..0x80_u8 {
            if (low..=high).contains(&char::from(byte)) {
                first.add(byte);
            }
        }
        if high >= '\u{80}' {
            // Their first bytes, or some more.
            let mut buffer = [0; 4];
            let from = low.max('\u{80}').encode_utf8(&mut buffer).as_bytes()[0];
            let to = high.encode_utf8(&mut buffer).as_bytes()[0];
            (from..=to).for_each(|byte| first.add(byte));
        }
    }
}
