//! A source map (revision 3): reading one, and from a place in generated code to the original one.
//!
//! Which place answers for which is decided as DataKit decides it, because people compare what they see:
//!
//! - A row counts from one and a column from zero, as given. The mapping at that column answers, or else the one before it
//!   in the order of the file, be it of an earlier row. Nothing answers behind the last mapping.
//! - Mappings to line 1, column 0 of a source are left out. A generated line without mappings goes on with the last one.
//! - What is no digit of base64 counts as zero.
//!
//! A map from outside can be anything: memory is bounded by what the caller grants, nothing recurses beyond what the JSON
//! reader allows, and numbers wrap.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::url::Root;

/// Sources of one map, sections of one index. The largest bundles have some ten thousand.
const SOURCES_MAX: usize = 200_000;
const SECTIONS_MAX: usize = 10_000;

/// A map that is ready to be asked.
#[derive(Debug)]
pub struct SourceMap {
    /// In the order of where they begin; a plain map is one that begins at the beginning.
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    /// From zero.
    line: i64,
    column: i64,
    sources: Vec<Box<str>>,
    /// By generated line and column.
    mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mapping {
    /// From one.
    line: i32,
    column: i32,
    source: i32,
    source_line: i32,
    source_column: i32,
}

/// Where something was written: the line from one, the column from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub source: &'a str,
    pub line: i32,
    pub column: i32,
}

impl SourceMap {
    /// Reads a map; none if it is not one, or would take more than `bytes_max`.
    pub fn parse(text: &[u8], bytes_max: usize) -> Option<SourceMap> {
        let text = String::from_utf8_lossy(text);
        let raw: Raw<'_> = serde_json::from_str(&text).ok()?;
        is_known(raw.version).then_some(())?;
        let mut room = bytes_max / size_of::<Mapping>();
        let mut sections = Vec::new();
        match raw.sections {
            Some(Many(list)) if !list.is_empty() => {
                for section in list {
                    let (line, column) = (section.offset.line, section.offset.column);
                    sections.push(Section::read(section.map?, line, column, &mut room)?);
                }
                sections.sort_by_key(|section| (section.line, section.column));
            }
            _ => sections.push(Section::read(raw, 0, 0, &mut room)?),
        }
        let map = SourceMap { sections };
        (map.bytes() <= bytes_max).then_some(map)
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        let of = |section: &Section| {
            let names: usize = section.sources.iter().map(|name| name.len() + size_of::<Box<str>>()).sum();
            section.mappings.capacity() * size_of::<Mapping>() + names
        };
        self.sections.iter().map(of).sum()
    }

    /// The original place of a generated one.
    pub fn look_up(&self, row: i64, column: i64) -> Option<Place<'_>> {
        let begins = |section: &Section| (section.line + 1, section.column) <= (row, column);
        let section = self.sections.iter().rev().find(|section| begins(section))?;
        let first = section.line + 1 == row;
        section.look_up(row - section.line, if first { column - section.column } else { column })
    }
}

impl Section {
    fn read(raw: Raw<'_>, line: i64, column: i64, room: &mut usize) -> Option<Section> {
        is_known(raw.version).then_some(())?;
        // Far beyond any file, and sums with them cannot overflow.
        let sane = |number: i64| (0..=i64::from(u32::MAX)).contains(&number);
        (sane(line) && sane(column)).then_some(())?;
        let root = Root::new(raw.source_root.as_deref().unwrap_or_default())?;
        let text = raw.mappings.as_deref().unwrap_or_default();
        if text.is_empty() {
            return None;
        }
        let mut mappings = Vec::new();
        read_mappings(text.as_bytes(), *room, &mut mappings)?;
        *room -= mappings.len();
        let order = |mapping: &Mapping| (mapping.line, mapping.column);
        if !mappings.is_sorted_by_key(order) {
            mappings.sort_by_key(order);
        }
        mappings.shrink_to_fit();
        let sources = raw.sources.map(|Many(sources)| sources).unwrap_or_default();
        let sources =
            sources.into_iter().map(|source| root.join(source.as_deref().unwrap_or_default()).into());
        Some(Section { line, column, sources: sources.collect(), mappings })
    }

    fn look_up(&self, row: i64, column: i64) -> Option<Place<'_>> {
        let (row, column) = (i32::try_from(row).ok()?, i32::try_from(column).ok()?);
        let at = self.mappings.partition_point(|mapping| (mapping.line, mapping.column) < (row, column));
        let next = self.mappings.get(at)?;
        let found = if (next.line, next.column) == (row, column) {
            next
        } else {
            self.mappings.get(at.checked_sub(1)?)?
        };
        let source = match usize::try_from(found.source) {
            Ok(index) => self.sources.get(index)?,
            Err(_) => "",
        };
        Some(Place { source, line: found.source_line, column: found.source_column })
    }
}

fn is_known(version: Option<i64>) -> bool {
    matches!(version, None | Some(0 | 3))
}

/// Reads the text of `mappings`; none if it ends inside a number, or holds more than `most`.
fn read_mappings(text: &[u8], most: usize, out: &mut Vec<Mapping>) -> Option<()> {
    let mut value = Mapping { line: 1, source_line: 1, ..Mapping::default() };
    let mut rest = text.iter();
    // What has been read of a segment: five numbers make one, and more go on from the first.
    let mut fields = 0;
    loop {
        let byte = rest.as_slice().first();
        if let Some(byte) = byte
            && !matches!(byte, b',' | b';')
        {
            let number = read_number(&mut rest)?;
            let field = match fields % 5 {
                0 => &mut value.column,
                1 => &mut value.source,
                2 => &mut value.source_line,
                3 => &mut value.source_column,
                // The name: nobody asks for it.
                _ => &mut 0,
            };
            *field = field.wrapping_add(number);
            fields += 1;
            continue;
        }
        // A segment ends. An empty one says what the last one said, which only matters where nothing follows.
        let is_left_out = value.source_line == 1 && value.source_column == 0;
        if !is_left_out && (fields > 0 || byte.is_none()) {
            if out.len() >= most {
                return None;
            }
            out.push(value);
        }
        fields = 0;
        match rest.next() {
            None => return Some(()),
            Some(b';') => {
                value.line = value.line.wrapping_add(1);
                value.column = 0;
            }
            Some(_) => {}
        }
    }
}

/// Digits of five bits, the lowest first, each but the last with a sixth bit set; the lowest bit of all is the sign.
fn read_number(rest: &mut std::slice::Iter<'_, u8>) -> Option<i32> {
    let (mut number, mut shift) = (0i32, 0u32);
    loop {
        let digit = i32::from(DIGITS[usize::from(*rest.next()?)]);
        if shift < i32::BITS {
            number = number.wrapping_add((digit & 31) << shift);
        }
        shift = shift.saturating_add(5);
        if digit & 32 == 0 {
            break;
        }
    }
    let size = number >> 1;
    Some(if number & 1 == 1 { size.wrapping_neg() } else { size })
}

static DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = [0; 256];
    let mut at = 0;
    while at < alphabet.len() {
        digits[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    digits
};

/// What a map holds, as far as it is of use. Read as Go reads it: keys in any case, of several the last, `null` is nothing.
#[derive(Default)]
struct Raw<'a> {
    version: Option<i64>,
    source_root: Option<String>,
    sources: Option<Many<Option<String>, SOURCES_MAX>>,
    mappings: Option<Cow<'a, str>>,
    sections: Option<Many<RawSection<'a>, SECTIONS_MAX>>,
}

#[derive(serde::Deserialize)]
struct RawSection<'a> {
    #[serde(default)]
    offset: Offset,
    #[serde(borrow, default)]
    map: Option<Raw<'a>>,
}

#[derive(Default, serde::Deserialize)]
struct Offset {
    #[serde(default)]
    line: i64,
    #[serde(default)]
    column: i64,
}

/// Text that is borrowed where it needs no unescaping.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        deserializer.deserialize_map(RawVisitor(PhantomData))
    }
}

struct RawVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for RawVisitor<'a> {
    type Value = Raw<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'a>, A::Error> {
        let mut raw = Raw::default();
        while let Some(Text(key)) = map.next_key::<Text<'_>>()? {
            match key.to_ascii_lowercase().as_str() {
                "version" => raw.version = map.next_value()?,
                "sourceroot" => raw.source_root = map.next_value()?,
                "sources" => raw.sources = map.next_value()?,
                "mappings" => {
                    raw.mappings = map.next_value::<Option<Text<'_>>>()?.map(|Text(text)| text);
                }
                "sections" => raw.sections = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(raw)
    }
}

/// A list that is refused when it grows too long, before it takes memory.
struct Many<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Many<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ManyVisitor<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ManyVisitor<T, MOST> {
            type Value = Many<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if list.len() >= MOST {
                        return Err(serde::de::Error::invalid_length(list.len() + 1, &self));
                    }
                    list.push(item);
                }
                Ok(Many(list))
            }
        }
        deserializer.deserialize_seq(ManyVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    fn map(rest: &str) -> Option<SourceMap> {
        SourceMap::parse(format!("{{\"version\":3,{rest}}}").as_bytes(), ROOM)
    }

    fn at(map: &SourceMap, row: i64, column: i64) -> Option<(String, i32, i32)> {
        map.look_up(row, column).map(|place| (place.source.to_owned(), place.line, place.column))
    }

    fn some(source: &str, line: i32, column: i32) -> Option<(String, i32, i32)> {
        Some((source.to_owned(), line, column))
    }

    #[test]
    fn numbers_of_the_format() {
        for (text, number) in [
            ("A", 0),
            ("C", 1),
            ("D", -1),
            ("e", 15),
            ("f", -15),
            ("gB", 16),
            ("hB", -16),
            ("ggggB", 1 << 19),
            ("+/////B", (1 << 30) - 1),
            // More than there is room for wraps.
            ("+/////D", -1),
            // Anything else is zero.
            ("!", 0),
            ("\u{7f}", 0),
        ] {
            assert_eq!(read_number(&mut text.as_bytes().iter()), Some(number), "{text}");
        }
        assert_eq!(read_number(&mut b"".iter()), None);
        assert_eq!(read_number(&mut b"ggg".iter()), None);
        // As long as it likes.
        let long = format!("{}A", "g".repeat(1000));
        assert_eq!(read_number(&mut long.as_bytes().iter()), Some(0));
    }

    /// Line 1: columns 0, 4, 9. Line 2: column 2. All of `a.js`, lines 2 and up.
    fn small() -> SourceMap {
        map(r#""sources":["a.js"],"mappings":"AACA,IACC,KACC;EACA""#).unwrap()
    }

    #[test]
    fn the_mapping_at_or_before_a_column_answers() {
        let map = small();
        assert_eq!(at(&map, 1, 0), some("a.js", 2, 0));
        assert_eq!(at(&map, 1, 3), some("a.js", 2, 0));
        assert_eq!(at(&map, 1, 4), some("a.js", 3, 1));
        assert_eq!(at(&map, 1, 8), some("a.js", 3, 1));
        assert_eq!(at(&map, 1, 9), some("a.js", 4, 2));
        // Behind the last of a row that others follow, and before the first of one that follows others.
        assert_eq!(at(&map, 1, 9000), some("a.js", 4, 2));
        assert_eq!(at(&map, 2, 0), some("a.js", 4, 2));
        assert_eq!(at(&map, 2, 2), some("a.js", 5, 2));
        // Behind the last of all.
        assert_eq!(at(&map, 2, 3), None);
        assert_eq!(at(&map, 3, 0), None);
        assert_eq!(at(&map, 0, 0), None);
        for hopeless in [-1, i64::MIN, i64::MAX] {
            assert_eq!(at(&map, hopeless, 0), None);
        }
        assert_eq!(at(&map, 1, i64::MAX), None);
    }

    #[test]
    fn mappings_to_the_beginning_of_a_source_are_left_out() {
        // What DataKit's own example consists of.
        let only = map(r#""sources":["a.js"],"mappings":"AAAA""#).unwrap();
        assert_eq!(at(&only, 1, 0), None);
        let first = map(r#""sources":["a.js"],"mappings":"AAAA,IACA;""#).unwrap();
        assert_eq!(at(&first, 1, 0), None);
        assert_eq!(at(&first, 1, 4), some("a.js", 2, 0));
    }

    #[test]
    fn a_last_line_without_mappings_answers_for_the_end_of_the_line_before() {
        assert_eq!(at(&map(r#""sources":["a.js"],"mappings":"AACA""#).unwrap(), 1, 1), None);
        assert_eq!(at(&map(r#""sources":["a.js"],"mappings":"AACA;""#).unwrap(), 1, 1), some("a.js", 2, 0));
        let gap = map(r#""sources":["a.js"],"mappings":"AACA;;;;;AACA""#);
        // The gap goes on with what was before it.
        assert_eq!(at(gap.as_ref().unwrap(), 3, 7), some("a.js", 2, 0));
    }

    #[test]
    fn short_and_long_segments_and_broken_ones() {
        // One number: the column; the rest stays.
        let short = map(r#""sources":["a.js"],"mappings":"AACA,I,IACA;""#).unwrap();
        assert_eq!(at(&short, 1, 4), some("a.js", 2, 0));
        assert_eq!(at(&short, 1, 8), some("a.js", 3, 0));
        let names = map(r#""sources":["a.js"],"names":["x"],"mappings":"AACAA,IACAA;""#).unwrap();
        assert_eq!(at(&names, 1, 4), some("a.js", 3, 0));
        assert!(map(r#""sources":["a.js"],"mappings":"AACg""#).is_none(), "ends inside a number");
        assert!(map(r#""sources":["a.js"],"mappings":"""#).is_none(), "empty");
        assert!(map(r#""sources":["a.js"]"#).is_none());
        // Sources that are not there answer nothing, and negative ones have no name.
        let no_source = map(r#""sources":[],"mappings":"AACA,IACA""#).unwrap();
        assert_eq!(at(&no_source, 1, 4), None);
        let negative = map(r#""sources":["a.js"],"mappings":"ADCA,IACA""#).unwrap();
        assert_eq!(at(&negative, 1, 4), some("", 3, 0));
        // Columns in no order are put into it.
        let mixed = map(r#""sources":["a.js"],"mappings":"SACA,JACA;""#).unwrap();
        assert_eq!(at(&mixed, 1, 5), some("a.js", 3, 0));
        assert_eq!(at(&mixed, 1, 9), some("a.js", 2, 0));
    }

    #[test]
    fn versions_and_spellings() {
        let parse = |text: &str| SourceMap::parse(text.as_bytes(), ROOM).is_some();
        let rest = r#""sources":["a.js",null],"mappings":"AACA,IACA""#;
        for head in ["", "\"version\":3,", "\"version\":0,", "\"version\":null,", "\"Version\":3,\"file\":7,"]
        {
            assert!(parse(&format!("{{{head}{rest}}}")), "{head}");
        }
        for head in ["\"version\":2,", "\"version\":\"3\",", "\"version\":3.5,", "\"version\":-1,"] {
            assert!(!parse(&format!("{{{head}{rest}}}")), "{head}");
        }
        for text in ["", "[]", "null", "{", "7", "{\"mappings\":7}", "\u{feff}{}"] {
            assert!(!parse(text), "{text}");
        }
        // Of two the last; escapes in mappings.
        let twice =
            map(r#""mappings":"A","sources":["b.js"],"sources":["a.js"],"mappings":"AA\u0043A,IACA""#);
        assert_eq!(at(&twice.unwrap(), 1, 0), some("a.js", 2, 0));
    }

    #[test]
    fn roots_are_put_before_sources() {
        let of = |root: &str, source: &str| {
            let map = map(&format!(r#""sourceRoot":"{root}","sources":["{source}"],"mappings":"AACA;""#));
            map.and_then(|map| at(&map, 1, 0)).map(|(source, ..)| source)
        };
        for (root, source, expected) in [
            ("", "../src/a.js", "../src/a.js"),
            ("src", "a.js", "src/a.js"),
            ("src/", "../lib/a.js", "lib/a.js"),
            ("/srv", "a.js", "/srv/a.js"),
            ("/srv", "/abs/a.js", "/abs/a.js"),
            ("/srv", "webpack:///a.js", "webpack:///a.js"),
            ("https://cdn/x/", "a b.js", "https://cdn/x/a%20b.js"),
            ("https://cdn/x", "../a.js", "https://cdn/a.js"),
            ("webpack:///", "./src/a.js", "webpack:///src/a.js"),
            ("", "", ""),
        ] {
            assert_eq!(of(root, source).as_deref(), Some(expected), "{root} {source}");
        }
        // A root that is no URL makes the map unreadable.
        assert_eq!(of("http://[::1", "a.js"), None);
    }

    #[test]
    fn index_maps_are_asked_section_by_section() {
        let section = |line: u32, column: u32, source: &str| {
            format!(
                r#"{{"offset":{{"line":{line},"column":{column}}},"map":{{"version":3,"sources":["{source}"],"mappings":"AACA,IACA;AACA;"}}}}"#
            )
        };
        let index = format!(
            r#"{{"version":3,"sections":[{},{},{}]}}"#,
            section(0, 0, "a.js"),
            section(0, 10, "b.js"),
            section(2, 0, "c.js")
        );
        let index = SourceMap::parse(index.as_bytes(), ROOM).unwrap();
        assert_eq!(at(&index, 1, 4), some("a.js", 3, 0));
        assert_eq!(at(&index, 1, 10), some("b.js", 2, 0));
        assert_eq!(at(&index, 1, 14), some("b.js", 3, 0));
        // Columns of a section's later lines are the file's own.
        assert_eq!(at(&index, 2, 3), some("b.js", 4, 0));
        assert_eq!(at(&index, 3, 4), some("c.js", 3, 0));
        for bad in [
            r#"{"version":3,"sections":[{"offset":{"line":0,"column":0},"url":"x"}]}"#,
            r#"{"version":3,"sections":[{"map":{"version":2,"mappings":"AACA"}}]}"#,
            r#"{"version":3,"sections":[{"offset":{"line":-1},"map":{"mappings":"AACA"}}]}"#,
            r#"{"version":3,"sections":[{"map":{"sections":[]}}]}"#,
        ] {
            assert!(SourceMap::parse(bad.as_bytes(), ROOM).is_none(), "{bad}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let many = format!(r#""sources":["a"],"mappings":"AACA{}""#, ",CACA".repeat(60_000));
        assert!(map(&many).is_none(), "more than a megabyte of mappings");
        let lines = format!(r#""sources":["a"],"mappings":"AACA{}""#, ";".repeat(1_000_000));
        assert!(map(&lines).unwrap().bytes() < 200, "lines without mappings take nothing");
        let sources = format!(r#""sources":[""{}],"mappings":"AACA""#, ",\"\"".repeat(SOURCES_MAX));
        assert!(map(&sources).is_none(), "too many sources");
        let long = format!(r#""sources":["{}"],"mappings":"AACA""#, "x".repeat(2 << 20));
        assert!(map(&long).is_none(), "names longer than what is granted");
        let deep = format!(r#""x":{},"mappings":"AACA""#, "[".repeat(100_000));
        assert!(map(&deep).is_none());
    }

    #[test]
    fn whatever_is_done_to_a_map_nothing_breaks() {
        let good = r#"{"version":3,"sourceRoot":"https://h/x","sources":["a.js","b.js"],"sections":null,"names":[],"mappings":"AACA,IACCA,KACC;EACA;;gggggB"}"#;
        assert!(SourceMap::parse(good.as_bytes(), ROOM).is_some());
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        for _ in 0..20_000 {
            let mut bytes = good.as_bytes().to_vec();
            for _ in 0..=next() % 4 {
                let at = next() % bytes.len().max(1);
                if bytes.is_empty() {
                    break;
                }
                match next() % 4 {
                    0 => bytes[at] = next() as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"\",;Ag[]{}0"[next() % 10]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            if let Some(map) = SourceMap::parse(&bytes, ROOM) {
                for row in -1..4 {
                    for column in [-1, 0, 4, 9, 1 << 40] {
                        map.look_up(row, column);
                    }
                }
            }
        }
    }
}
