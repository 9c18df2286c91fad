//! What has been added since an earlier profile of the same process: the earlier one is subtracted and the rest written as
//! a profile of its own.
//!
//! Two profiles number their functions, locations and texts each in its own way, so both are read into common tables
//! first, in which a thing is known by what it is. A thing is a list of numbers there (texts are numbers too), which makes
//! one kind of table do for all of them.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Error, Label, Profile, bounded, number, numbers, sample_values};
use crate::codec::protobuf::{LEN, VARINT, Wire, fields, put_bytes, put_message, put_uint, put_varint, tag};

/// What the tables of both profiles may take together, in words of eight bytes: half a million stacks of depth thirty.
const WORDS_MAX: usize = 16 << 20;
/// What an entry takes besides its words: a place in the table, and the memory's own accounts.
const ENTRY_WORDS: usize = 12;

/// What was added between two profiles.
#[derive(Debug)]
pub struct Delta {
    /// A profile, not compressed.
    pub profile: Vec<u8>,
    /// When the earlier and the later one were taken.
    pub start_nanos: i64,
    pub end_nanos: i64,
    pub samples: usize,
    /// Less than before: the process has begun anew in between, and the difference means nothing.
    pub restarted: bool,
}

/// What `current` has beyond `previous`. Of the types in `cumulative` (type and unit, all of which must be there) the
/// difference, of all others the values as they are now; samples of which nothing is left are not written.
pub fn delta(previous: &[u8], current: &[u8], cumulative: &[(&str, &str)]) -> Result<Delta, Error> {
    let (earlier, later) = (Profile::read(previous)?, Profile::read(current)?);
    let mut tables = Tables::new(later.types.len());
    let head = Head::read(&later)?;
    if earlier.types != later.types || Head::read(&earlier)?.period_type != head.period_type {
        return Err(Error::Invalid("two profiles of different things"));
    }
    let is_cumulative: Vec<bool> = later
        .types
        .iter()
        .map(|known| {
            cumulative.iter().any(|it| it.0.as_bytes() == known.kind && it.1.as_bytes() == known.unit)
        })
        .collect();
    if is_cumulative.iter().filter(|found| **found).count() != cumulative.len() {
        return Err(Error::Invalid("a sample type is missing"));
    }
    // The later one first: its first mapping is the program itself, and readers expect that first.
    tables.add(&later, &vec![1; later.types.len()])?;
    let ratios: Vec<i64> = is_cumulative.iter().map(|cumulative| if *cumulative { -1 } else { 0 }).collect();
    tables.add(&earlier, &ratios)?;
    let added = later.sums.iter().zip(&earlier.sums).zip(&is_cumulative);
    let restarted = added.into_iter().any(|((now, before), cumulative)| *cumulative && now < before);
    let mut profile = Vec::new();
    let samples = tables.write(&head, later.time_nanos, &earlier, &mut profile);
    let (start_nanos, end_nanos) = (earlier.time_nanos, later.time_nanos);
    Ok(Delta { profile, start_nanos, end_nanos, samples, restarted })
}

/// What a profile says of itself.
#[derive(Debug, Default)]
struct Head<'a> {
    types: Vec<(&'a [u8], &'a [u8])>,
    period_type: Option<(&'a [u8], &'a [u8])>,
    period: u64,
    drop_frames: &'a [u8],
    keep_frames: &'a [u8],
    comments: Vec<&'a [u8]>,
    default_type: &'a [u8],
    doc_url: &'a [u8],
}

/// Comments of one profile: Go's own profiles have none.
const COMMENTS_MAX: usize = 1_000;

impl<'a> Head<'a> {
    fn read(profile: &Profile<'a>) -> Result<Head<'a>, Error> {
        let types = profile.types.iter().map(|it| (it.kind, it.unit)).collect();
        let mut head = Head { types, ..Head::default() };
        for field in fields(profile.bytes) {
            match field? {
                (number::PERIOD_TYPE, Wire::Len(bytes)) => {
                    let (kind, unit) = super::value_type(bytes)?;
                    head.period_type = Some((profile.string(kind)?, profile.string(unit)?));
                }
                (number::PERIOD, Wire::Varint(value)) => head.period = value,
                (number::DROP_FRAMES, Wire::Varint(value)) => head.drop_frames = profile.string(value)?,
                (number::KEEP_FRAMES, Wire::Varint(value)) => head.keep_frames = profile.string(value)?,
                (number::DEFAULT_TYPE, Wire::Varint(value)) => head.default_type = profile.string(value)?,
                (number::DOC_URL, Wire::Varint(value)) => head.doc_url = profile.string(value)?,
                (number::COMMENT, value) => numbers(value, |value| {
                    bounded(head.comments.len(), COMMENTS_MAX, "comments")?;
                    head.comments.push(profile.string(value)?);
                    Ok(())
                })?,
                _ => {}
            }
        }
        Ok(head)
    }
}

/// Things known by what they are, numbered from 0 in the order in which they were met.
#[derive(Debug, Default)]
struct Table {
    ids: HashMap<Rc<[u64]>, u64>,
    entries: Vec<Rc<[u64]>>,
}

impl Table {
    fn id(&mut self, entry: &[u64], words_left: &mut usize) -> Result<u64, Error> {
        if let Some(id) = self.ids.get(entry) {
            return Ok(*id);
        }
        *words_left = words_left
            .checked_sub(entry.len() + ENTRY_WORDS)
            .ok_or(Error::TooLarge("stacks and functions"))?;
        let id = self.entries.len() as u64;
        let entry: Rc<[u64]> = entry.into();
        self.entries.push(entry.clone());
        self.ids.insert(entry, id);
        Ok(id)
    }

    fn entry(&self, id: u64) -> &[u64] {
        &self.entries[id as usize]
    }
}

/// What both profiles are made of.
#[derive(Debug)]
struct Tables<'a> {
    texts: HashMap<&'a [u8], u64>,
    text_list: Vec<&'a [u8]>,
    /// name, system name, file name (texts), first line
    functions: Table,
    /// start, limit, offset, file name, build id (texts), what it has
    mappings: Table,
    /// mapping + 1 or 0, address, folded, then for each line: function + 1 or 0, line, column
    locations: Table,
    /// the number of locations, these, then for each label: key, text, number, unit
    samples: Table,
    /// As many for each sample as there are types.
    values: Vec<i64>,
    types: usize,
    words_left: usize,
}

/// Of one profile: what its own numbers are in the tables.
#[derive(Default)]
struct Ids {
    texts: Vec<u64>,
    functions: HashMap<u64, u64>,
    mappings: HashMap<u64, u64>,
    locations: HashMap<u64, u64>,
}

/// A thing is not there although something else refers to it.
const DANGLING: Error = Error::Invalid("a reference to something that is not there");

impl Ids {
    fn text(&self, index: u64) -> Result<u64, Error> {
        let id = usize::try_from(index).ok().and_then(|index| self.texts.get(index));
        id.copied().ok_or(Error::Invalid("a text that is not there"))
    }
}

/// The id in the tables and one more; 0 stays 0: nothing.
fn reference(ids: &HashMap<u64, u64>, id: u64) -> Result<u64, Error> {
    if id == 0 {
        return Ok(0);
    }
    ids.get(&id).map(|id| id + 1).ok_or(DANGLING)
}

impl<'a> Tables<'a> {
    fn new(types: usize) -> Tables<'a> {
        let mut tables = Tables {
            texts: HashMap::new(),
            text_list: Vec::new(),
            functions: Table::default(),
            mappings: Table::default(),
            locations: Table::default(),
            samples: Table::default(),
            values: Vec::new(),
            types,
            words_left: WORDS_MAX,
        };
        tables.text(b"");
        tables
    }

    /// Texts are bounded by what a profile may have of them.
    fn text(&mut self, text: &'a [u8]) -> u64 {
        *self.texts.entry(text).or_insert_with(|| {
            self.text_list.push(text);
            self.text_list.len() as u64 - 1
        })
    }

    /// Adds a profile, each value multiplied by the ratio of its type.
    fn add(&mut self, profile: &Profile<'a>, ratios: &[i64]) -> Result<(), Error> {
        let texts = profile.strings.iter().map(|text| self.text(text)).collect();
        let mut ids = Ids { texts, ..Ids::default() };
        if ids.texts.is_empty() {
            ids.texts.push(0);
        }
        // What is referred to may stand behind what refers to it.
        for field in fields(profile.bytes) {
            match field? {
                (number::MAPPING, Wire::Len(bytes)) => self.mapping(bytes, &mut ids)?,
                (number::FUNCTION, Wire::Len(bytes)) => self.function(bytes, &mut ids)?,
                _ => {}
            }
        }
        let mut entry = Vec::new();
        for field in fields(profile.bytes) {
            if let (number::LOCATION, Wire::Len(bytes)) = field? {
                self.location(bytes, &mut entry, &mut ids)?;
            }
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for field in fields(profile.bytes) {
            let (number::SAMPLE, Wire::Len(bytes)) = field? else { continue };
            sample_values(bytes, &mut values)?;
            for (value, ratio) in values.iter_mut().zip(ratios) {
                *value = value.saturating_mul(*ratio);
            }
            // Subtracted or not, nothing stays nothing.
            if values.iter().any(|value| *value != 0) {
                self.sample(bytes, &values, &mut entry, &mut labels, &ids)?;
            }
        }
        Ok(())
    }

    fn mapping(&mut self, bytes: &[u8], ids: &mut Ids) -> Result<(), Error> {
        let (mut id, mut entry) = (0, [0; 6]);
        for field in fields(bytes) {
            let (number, Wire::Varint(value)) = field? else { continue };
            match number {
                1 => id = value,
                2..=4 => entry[number as usize - 2] = value,
                5 | 6 => entry[number as usize - 2] = ids.text(value)?,
                7..=10 if value != 0 => entry[5] |= 1 << (number - 7),
                _ => {}
            }
        }
        let known = self.mappings.id(&entry, &mut self.words_left)?;
        unique(ids.mappings.insert(id, known))
    }

    fn function(&mut self, bytes: &[u8], ids: &mut Ids) -> Result<(), Error> {
        let (mut id, mut entry) = (0, [0; 4]);
        for field in fields(bytes) {
            let (number, Wire::Varint(value)) = field? else { continue };
            match number {
                1 => id = value,
                2..=4 => entry[number as usize - 2] = ids.text(value)?,
                5 => entry[3] = value,
                _ => {}
            }
        }
        let known = self.functions.id(&entry, &mut self.words_left)?;
        unique(ids.functions.insert(id, known))
    }

    fn location(&mut self, bytes: &[u8], entry: &mut Vec<u64>, ids: &mut Ids) -> Result<(), Error> {
        let mut id = 0;
        entry.clear();
        entry.extend([0; 3]);
        for field in fields(bytes) {
            match field? {
                (1, Wire::Varint(value)) => id = value,
                (2, Wire::Varint(value)) => entry[0] = reference(&ids.mappings, value)?,
                (3, Wire::Varint(value)) => entry[1] = value,
                (4, Wire::Len(line)) => {
                    let mut parts = [0; 3];
                    for field in fields(line) {
                        match field? {
                            (1, Wire::Varint(value)) => parts[0] = reference(&ids.functions, value)?,
                            (2, Wire::Varint(value)) => parts[1] = value,
                            (3, Wire::Varint(value)) => parts[2] = value,
                            _ => {}
                        }
                    }
                    bounded(entry.len(), self.words_left, "lines of a location")?;
                    entry.extend(parts);
                }
                (5, Wire::Varint(value)) => entry[2] = u64::from(value != 0),
                _ => {}
            }
        }
        let known = self.locations.id(entry, &mut self.words_left)?;
        unique(ids.locations.insert(id, known))
    }

    fn sample(
        &mut self,
        bytes: &[u8],
        values: &[i64],
        entry: &mut Vec<u64>,
        labels: &mut Vec<Label>,
        ids: &Ids,
    ) -> Result<(), Error> {
        entry.clear();
        entry.push(0);
        labels.clear();
        for field in fields(bytes) {
            match field? {
                (1, value) => numbers(value, |id| {
                    bounded(entry.len(), self.words_left, "locations of a sample")?;
                    entry.push(*ids.locations.get(&id).ok_or(DANGLING)?);
                    Ok(())
                })?,
                (3, Wire::Len(bytes)) => {
                    let label = Label::read(bytes)?;
                    bounded(labels.len() * 4, self.words_left, "labels of a sample")?;
                    labels.push(Label {
                        key: ids.text(label.key)?,
                        text: ids.text(label.text)?,
                        number: label.number,
                        unit: ids.text(label.unit)?,
                    });
                }
                _ => {}
            }
        }
        entry[0] = entry.len() as u64 - 1;
        labels.sort_unstable();
        entry.extend(labels.iter().flat_map(|it| [it.key, it.text, it.number, it.unit]));
        let id = self.samples.id(entry, &mut self.words_left)?;
        let start = id as usize * self.types;
        if start == self.values.len() {
            self.words_left = self.words_left.saturating_sub(self.types);
            self.values.extend_from_slice(values);
        } else {
            for (sum, value) in self.values[start..].iter_mut().zip(values) {
                *sum = sum.saturating_add(*value);
            }
        }
        Ok(())
    }

    /// Appends a profile of all samples that are not zero, and of what these refer to; how many there are.
    fn write(&self, head: &Head<'a>, time_nanos: i64, earlier: &Profile<'_>, out: &mut Vec<u8>) -> usize {
        let mut texts = Texts { tables: self, places: HashMap::new(), list: Vec::new() };
        texts.place(0);
        let mut used_locations = vec![false; self.locations.entries.len()];
        let mut used_functions = vec![false; self.functions.entries.len()];
        let mut used_mappings = vec![false; self.mappings.entries.len()];
        // The program itself, also where nothing of it is left.
        if let Some(first) = used_mappings.first_mut() {
            *first = true;
        }
        for &kind in &head.types {
            put_message(out, tag(1, LEN), |out| put_type(kind, &mut texts, out));
        }
        let mut count = 0;
        for (index, entry) in self.samples.entries.iter().enumerate() {
            let values = &self.values[index * self.types..][..self.types];
            if values.iter().all(|value| *value == 0) {
                continue;
            }
            count += 1;
            let (locations, labels) = entry[1..].split_at(entry[0] as usize);
            put_message(out, tag(2, LEN), |out| {
                if !locations.is_empty() {
                    put_message(out, tag(1, LEN), |out| {
                        locations.iter().for_each(|id| put_varint(out, id + 1));
                    });
                }
                put_message(out, tag(2, LEN), |out| {
                    values.iter().for_each(|value| put_varint(out, *value as u64));
                });
                for label in labels.chunks_exact(4) {
                    put_message(out, tag(3, LEN), |out| {
                        put_nonzero(out, 1, texts.place(label[0]));
                        put_nonzero(out, 2, texts.place(label[1]));
                        put_nonzero(out, 3, label[2]);
                        put_nonzero(out, 4, texts.place(label[3]));
                    });
                }
            });
            for &location in locations {
                used_locations[location as usize] = true;
            }
        }
        for location in ids_of(&used_locations) {
            let entry = self.locations.entry(location);
            if entry[0] != 0 {
                used_mappings[entry[0] as usize - 1] = true;
            }
            for line in entry[3..].chunks_exact(3).filter(|line| line[0] != 0) {
                used_functions[line[0] as usize - 1] = true;
            }
        }
        for mapping in ids_of(&used_mappings) {
            let entry = self.mappings.entry(mapping);
            put_message(out, tag(3, LEN), |out| {
                put_nonzero(out, 1, mapping + 1);
                for field in 0..3 {
                    put_nonzero(out, field + 2, entry[field as usize]);
                }
                put_nonzero(out, 5, texts.place(entry[3]));
                put_nonzero(out, 6, texts.place(entry[4]));
                for bit in 0..4 {
                    put_nonzero(out, 7 + bit, entry[5] >> bit & 1);
                }
            });
        }
        for location in ids_of(&used_locations) {
            let entry = self.locations.entry(location);
            put_message(out, tag(4, LEN), |out| {
                put_nonzero(out, 1, location + 1);
                put_nonzero(out, 2, entry[0]);
                put_nonzero(out, 3, entry[1]);
                for line in entry[3..].chunks_exact(3) {
                    put_message(out, tag(4, LEN), |out| {
                        (1..).zip(line).for_each(|(number, value)| put_nonzero(out, number, *value));
                    });
                }
                put_nonzero(out, 5, entry[2]);
            });
        }
        for function in ids_of(&used_functions) {
            let entry = self.functions.entry(function);
            put_message(out, tag(5, LEN), |out| {
                put_nonzero(out, 1, function + 1);
                for field in 0..3 {
                    put_nonzero(out, field + 2, texts.place(entry[field as usize]));
                }
                put_nonzero(out, 5, entry[3]);
            });
        }
        for (number, text) in [(7, head.drop_frames), (8, head.keep_frames), (14, head.default_type)] {
            put_nonzero(out, number, texts.place_of(text));
        }
        put_nonzero(out, 9, time_nanos as u64);
        put_nonzero(out, 10, time_nanos.saturating_sub(earlier.time_nanos) as u64);
        if let Some(kind) = head.period_type {
            put_message(out, tag(11, LEN), |out| put_type(kind, &mut texts, out));
        }
        put_nonzero(out, 12, head.period);
        for comment in &head.comments {
            put_uint(out, tag(13, VARINT), texts.place_of(comment));
        }
        put_nonzero(out, 15, texts.place_of(head.doc_url));
        for text in texts.list {
            put_bytes(out, tag(6, LEN), text);
        }
        count
    }
}

fn unique(before: Option<u64>) -> Result<(), Error> {
    before.map_or(Ok(()), |_| Err(Error::Invalid("two things with one id")))
}

/// A field of its own, left out where it is zero.
fn put_nonzero(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_uint(out, tag(number, VARINT), value);
    }
}

fn put_type((kind, unit): (&[u8], &[u8]), texts: &mut Texts<'_, '_>, out: &mut Vec<u8>) {
    put_nonzero(out, 1, texts.place_of(kind));
    put_nonzero(out, 2, texts.place_of(unit));
}

fn ids_of(used: &[bool]) -> impl Iterator<Item = u64> {
    (0..).zip(used).filter(|(_, used)| **used).map(|(id, _)| id)
}

/// The string table that is written: what is used, in the order of its use.
struct Texts<'t, 'a> {
    tables: &'t Tables<'a>,
    places: HashMap<u64, u64>,
    list: Vec<&'a [u8]>,
}

impl Texts<'_, '_> {
    fn place(&mut self, id: u64) -> u64 {
        *self.places.entry(id).or_insert_with(|| {
            self.list.push(self.tables.text_list[id as usize]);
            self.list.len() as u64 - 1
        })
    }

    /// Of a text of the later profile, all of which are in the tables.
    fn place_of(&mut self, text: &[u8]) -> u64 {
        let id = self.tables.texts.get(text).copied();
        self.place(id.expect("BUG: a text that was not read"))
    }
}
