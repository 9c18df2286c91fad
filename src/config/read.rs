//! From TOML to values of the right kind: parse, expand, compare with the schema. All problems are collected, each
//! with its line, so that one run shows them all.

use std::{collections::BTreeMap, fmt, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    env,
    schema::{self, Key, Kind, Table},
    units,
};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, counted from 1; none if it is about the whole.
    pub line: Option<usize>,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.text),
            None => write!(f, " {}", self.text),
        }
    }
}

/// A value as its kind wants it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    Bool(bool),
    Integer(i64),
    Number(f64),
    Size(u64),
    Time(Duration),
    Shards(Shards),
}

/// What `shards` may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shards {
    Auto,
    Count(usize),
    Cores(Vec<usize>),
}

/// The keys that were written, by full name.
#[derive(Clone, Debug, Default)]
pub struct Written {
    values: BTreeMap<String, (usize, Value)>,
}

/// Reads `text`. What could be read is there even when there are problems.
pub fn read(text: &str, var: &dyn Fn(&str) -> Option<String>) -> (Written, Vec<Problem>) {
    let mut reader = Reader { text, var, written: Written::default(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(root) => reader.table("", root.get_ref()),
        Err(error) => {
            let line = error.span().map(|span| reader.line(span.start));
            // The parser's text is one or more lines; the first says what is wrong.
            let text = error.message().lines().next().unwrap_or("not TOML").to_owned();
            reader.problems.push(Problem { line, text });
        }
    }
    (reader.written, reader.problems)
}

struct Reader<'a> {
    text: &'a str,
    var: &'a dyn Fn(&str) -> Option<String>,
    written: Written,
    problems: Vec<Problem>,
}

/// A string leaf after expansion. What came from a variable may stand for any kind and is not repeated in errors.
struct Leaf {
    text: String,
    expanded: bool,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem { line: Some(line), text });
    }

    fn table(&mut self, path: &str, entries: &DeTable<'_>) {
        let table = schema::find_table(path);
        for (name, value) in entries {
            let line = self.line(name.span().start);
            let name = name.get_ref().as_ref();
            let full = schema::full_name(path, name);
            if let Some(table) = table.filter(|table| table.free) {
                self.free(line, full, table.lists, value.get_ref());
            } else if let Some(key) = table.and_then(|table| table.find(name)) {
                // The value may stand on a later line than its name, but the name is what one looks for.
                match self.value(key, value.get_ref()) {
                    Ok(value) => {
                        self.written.values.insert(full, (line, value));
                    }
                    Err(text) => self.problem(line, format!("{full} {text}")),
                }
            } else if schema::is_named(path) && !is_plain_name(name) {
                let text = format!("{name:?} in [{path}] must be a name of letters, digits, - and _");
                self.problem(line, text);
            } else if schema::is_named(path) || schema::children(path).any(|child| child == name) {
                match value.get_ref() {
                    DeValue::Table(entries) => self.table(&full, entries),
                    other => self.problem(line, format!("{full} must be a table, not {}", kind_of(other))),
                }
            } else {
                let text = unknown(path, table, name);
                self.problem(line, text);
            }
        }
    }

    fn free(&mut self, line: usize, full: String, lists: bool, value: &DeValue<'_>) {
        if lists {
            let key = Key { name: "", kind: Kind::TextList, default: "", example: false, help: "" };
            match self.value(&key, value) {
                Ok(value) => {
                    self.written.values.insert(full, (line, value));
                }
                Err(text) => self.problem(line, format!("{full} {text}")),
            }
            return;
        }
        let leaf = match value {
            DeValue::String(text) => self.expand(text),
            other => Err(format!("must be text, not {}", kind_of(other))),
        };
        match leaf {
            Ok(leaf) => {
                self.written.values.insert(full, (line, Value::Text(leaf.text)));
            }
            Err(text) => self.problem(line, format!("{full} {text}")),
        }
    }

    fn expand(&self, text: &str) -> Result<Leaf, String> {
        let (text, expanded) = env::expand(text, self.var)?;
        Ok(Leaf { text, expanded })
    }

    fn value(&self, key: &Key, value: &DeValue<'_>) -> Result<Value, String> {
        let secret = key.kind == Kind::SecretList;
        match value {
            DeValue::String(text) => {
                let leaf = self.expand(text)?;
                let shown = if leaf.expanded || secret { None } else { Some(leaf.text.as_str()) };
                from_text(key.kind, &leaf, shown)
            }
            DeValue::Boolean(value) if key.kind == Kind::Bool => Ok(Value::Bool(*value)),
            DeValue::Integer(value) => {
                let number = i64::from_str_radix(value.as_str(), value.radix())
                    .map_err(|_| "is too large a number".to_owned())?;
                from_integer(key.kind, number)
            }
            DeValue::Float(value) => match key.kind {
                Kind::Number { zero } => number(value.as_str(), zero).ok_or_else(|| form(key.kind, None)),
                kind => Err(form(kind, Some("a number"))),
            },
            DeValue::Array(items) => match key.kind {
                Kind::TextList | Kind::SecretList => {
                    let mut list = Vec::with_capacity(items.len());
                    for item in items {
                        match item.get_ref() {
                            DeValue::String(text) => list.push(self.expand(text)?.text),
                            other => return Err(format!("must hold only texts, not {}", kind_of(other))),
                        }
                    }
                    Ok(Value::List(list))
                }
                Kind::Shards => {
                    let core = |item: &DeValue<'_>| match item {
                        DeValue::Integer(value) => usize::from_str_radix(value.as_str(), value.radix()).ok(),
                        _ => None,
                    };
                    let cores: Option<Vec<usize>> = items.iter().map(|item| core(item.get_ref())).collect();
                    cores.map(|cores| Value::Shards(Shards::Cores(cores))).ok_or_else(|| form(key.kind, None))
                }
                kind => Err(form(kind, Some("a list"))),
            },
            other => Err(form(key.kind, Some(kind_of(other)))),
        }
    }
}

/// A text where `kind` is wanted. Text from a variable may be a number or a truth value too.
fn from_text(kind: Kind, leaf: &Leaf, shown: Option<&str>) -> Result<Value, String> {
    let quoted = shown.map(|text| format!("{text:?}"));
    let bad = || form(kind, Some(quoted.as_deref().unwrap_or("what the variable holds")));
    let text = leaf.text.as_str();
    match kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Word(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Word(words) => {
            let hint = nearest(text, words.iter().copied()).map(|word| format!("; did you mean {word:?}?"));
            Err(bad() + &hint.unwrap_or_default())
        }
        Kind::Size { min, max } => {
            let bytes = units::parse_size(text).ok_or_else(bad)?;
            within(bytes, min, max).map(Value::Size)
        }
        Kind::Time { zero } => {
            let time = units::parse_time(text).ok_or_else(bad)?;
            if time.is_zero() && !zero {
                return Err("must be more than 0".to_owned());
            }
            Ok(Value::Time(time))
        }
        Kind::Shards if text == "auto" => Ok(Value::Shards(Shards::Auto)),
        Kind::Bool if leaf.expanded => text.parse().map(Value::Bool).map_err(|_| bad()),
        Kind::Number { zero } if leaf.expanded => number(text, zero).ok_or_else(bad),
        Kind::Integer { .. } | Kind::Shards if leaf.expanded => {
            text.parse().map_err(|_| bad()).and_then(|number| from_integer(kind, number))
        }
        _ => Err(form(kind, Some("text"))),
    }
}

fn from_integer(kind: Kind, number: i64) -> Result<Value, String> {
    match kind {
        Kind::Integer { min, max } if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        Kind::Integer { min, max } => Err(format!("must be from {min} to {max}, not {number}")),
        Kind::Size { min, max } => {
            let bytes = u64::try_from(number).map_err(|_| "must not be negative".to_owned())?;
            within(bytes, min, max).map(Value::Size)
        }
        Kind::Number { zero } if number > 0 || (zero && number == 0) => Ok(Value::Number(number as f64)),
        Kind::Time { zero: true } if number == 0 => Ok(Value::Time(Duration::ZERO)),
        Kind::Shards if number > 0 => Ok(Value::Shards(Shards::Count(number.unsigned_abs() as usize))),
        kind => {
            Err(form(kind, Some("a number without a unit").filter(|_| matches!(kind, Kind::Time { .. }))))
        }
    }
}

fn number(text: &str, zero: bool) -> Option<Value> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    (number > 0.0 || (zero && number == 0.0)).then_some(Value::Number(number))
}

fn within(bytes: u64, min: u64, max: u64) -> Result<u64, String> {
    if bytes < min {
        Err(format!("must be at least {}", units::show_size(min)))
    } else if bytes > max {
        Err(format!("must be at most {}", units::show_size(max)))
    } else {
        Ok(bytes)
    }
}

/// `must be …[, not …]`.
fn form(kind: Kind, got: Option<&str>) -> String {
    let wanted = match kind {
        Kind::Text => "text".to_owned(),
        Kind::TextList | Kind::SecretList => "a list of texts, as [\"…\"]".to_owned(),
        Kind::Word(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            format!("one of {}", quoted.join(", "))
        }
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Number { zero: false } => "a number above 0".to_owned(),
        Kind::Number { zero: true } => "a number, 0 or above".to_owned(),
        Kind::Size { .. } => units::SIZE_FORM.to_owned(),
        Kind::Time { .. } => units::TIME_FORM.to_owned(),
        Kind::Shards => "\"auto\", a number above 0, or a list of cores, as [0, 2]".to_owned(),
    };
    match got {
        Some(got) => format!("must be {wanted}, not {got}"),
        None => format!("must be {wanted}"),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A name that can stand in a path.
fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

/// The text for a name that is not in the schema: with the nearest that is, or with the table it belongs to.
fn unknown(path: &str, table: Option<&Table>, name: &str) -> String {
    let place = if path.is_empty() { String::new() } else { format!(" in [{path}]") };
    let keys = table.map_or(&[][..], |table| table.keys).iter().map(|key| key.name);
    if let Some(known) = nearest(name, keys.chain(schema::children(path))) {
        return format!("unknown key {name:?}{place}; did you mean {known:?}?");
    }
    if let Some(home) = schema::TABLES.iter().find(|table| table.find(name).is_some() && !table.free) {
        let home = if home.path.is_empty() { "at the top".to_owned() } else { format!("in [{}]", home.path) };
        return format!("unknown key {name:?}{place}; there is one {home}");
    }
    format!("unknown key {name:?}{place}")
}

/// The most similar name, if it is similar at all.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Two slips, or one in three characters of a long name: more is another word.
    let limit = (name.chars().count() / 3).max(2);
    known
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), known), known))
        .filter(|(distance, known)| *distance <= limit && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident => $variant:ident($type:ty);)+) => {
        $($(#[$doc])*
        pub fn $name(&self, key: &str) -> Option<$type> {
            match &self.find(key)?.1 {
                Value::$variant(value) => Some(value.clone()),
                other => panic!("BUG: {key} is {other:?}"),
            }
        })+
    };
}

impl Written {
    getters! {
        /// The text at `key`, if it was written; the others alike.
        text => Text(String);
        list => List(Vec<String>);
        bool => Bool(bool);
        integer => Integer(i64);
        number => Number(f64);
        size => Size(u64);
        time => Time(Duration);
        shards => Shards(Shards);
    }

    /// The line of `key`.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.find(key).map(|(line, _)| *line)
    }

    /// The names of tables under the one with this path that hold anything, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let below =
            |name: &str| name.strip_prefix(path)?.strip_prefix('.')?.split('.').next().map(str::to_owned);
        let mut names: Vec<String> = self.values.keys().filter_map(|name| below(name)).collect();
        names.dedup();
        names
    }

    /// The entries of a free table, sorted by name.
    pub fn tags(&self, path: &str) -> Vec<(String, String)> {
        let prefix = format!("{path}.");
        let entries = self.values.iter().filter_map(|(name, (_, value))| match value {
            Value::Text(text) => Some((name.strip_prefix(&prefix)?.to_owned(), text.clone())),
            _ => None,
        });
        entries.collect()
    }

    /// The entries of a free table of lists, sorted by name.
    pub fn lists(&self, path: &str) -> Vec<(String, Vec<String>)> {
        let prefix = format!("{path}.");
        let entries = self.values.iter().filter_map(|(name, (_, value))| match value {
            Value::List(list) => Some((name.strip_prefix(&prefix)?.to_owned(), list.clone())),
            _ => None,
        });
        entries.collect()
    }

    /// The line of anything that was written, be it in the schema or a user's own name.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.values.get(key).map(|(line, _)| *line)
    }

    fn find(&self, key: &str) -> Option<&(usize, Value)> {
        if cfg!(debug_assertions) {
            let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
            let known = schema::find_table(path).and_then(|table| table.find(name));
            assert!(known.is_some(), "BUG: {key} is not in the schema");
        }
        self.values.get(key)
    }
}
