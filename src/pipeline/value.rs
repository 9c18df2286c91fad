//! The values of a run. All of them lie in the run's arena or in what outlives the run (the script, the point), so they
//! are copied like numbers, circles among lists and maps harm nobody, and a run frees everything at once.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
};

use bumpalo::{Bump, collections::Vec as ArenaVec};

use super::lib::{
    json::{self, View},
    text::same as same_text,
};

/// How deep lists and maps are followed when they are compared or written as JSON: a script can put a map into itself.
pub const VALUE_DEPTH_MAX: usize = 100;

/// A value. Its tag takes a whole word: beside a tag of one byte a value would be copied by pieces that straddle words, which the
/// processor cannot read back while they are on their way to memory. That was a third of a script's time.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Value<'r> {
    /// A variable that was not assigned yet: never seen by a script.
    Unset,
    /// What a call without a result gives.
    Void,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Bytes, mostly UTF-8.
    Str(&'r [u8]),
    List(List<'r>),
    Map(&'r Map<'r>),
}

/// A list: a window into storage that others may share, as Go's slices are. Its length never changes.
#[derive(Clone, Copy, Debug)]
pub struct List<'r>(&'r Window<'r>);

/// Behind a pointer, so that values stay three words long.
#[derive(Debug)]
struct Window<'r> {
    storage: &'r [Cell<Value<'r>>],
    len: usize,
}

const _: () =
    assert!(size_of::<Value<'_>>() == 24 && size_of::<Result<Value<'_>, super::error::Error>>() == 24);

/// A map by reference, its entries sorted by key.
#[derive(Debug)]
pub struct Map<'r> {
    entries: RefCell<ArenaVec<'r, (&'r [u8], Value<'r>)>>,
    /// A map of a JSON text whose members are not all among the entries yet: only those are whose values had to be made,
    /// so that who asks twice gets the same one.
    text: Cell<Option<View<'r>>>,
}

/// How many entries of a map, or members of one in a JSON text, are looked at one by one for every key that is asked for. Of a
/// larger map in a text the entries are made, and sorted.
const LOOKED_AT_MAX: usize = 32;

/// Why a value could not be compared or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// More than [`VALUE_DEPTH_MAX`] lists and maps in each other.
    Deep,
    /// More than the caller allowed.
    Large,
}

impl TooMuch {
    pub fn message(self) -> String {
        match self {
            TooMuch::Deep => format!("lists and maps more than {VALUE_DEPTH_MAX} deep"),
            TooMuch::Large => "value too large".to_owned(),
        }
    }
}

impl<'r> Value<'r> {
    /// As messages call its type.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Unset | Value::Nil => "nil",
            Value::Void => "void",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        }
    }

    /// A value of a JSON text. What lies in its maps is made when it is asked for.
    pub fn of_json(arena: &'r Bump, view: View<'r>) -> Value<'r> {
        match view.kind() {
            json::Kind::Null => Value::Nil,
            json::Kind::True => Value::Bool(true),
            json::Kind::False => Value::Bool(false),
            json::Kind::Number => Value::Float(view.number().unwrap_or_default()),
            json::Kind::Text | json::Kind::EscapedText => Value::Str(json_text(arena, view)),
            json::Kind::List => {
                let mut items = view.items();
                let item = |_| items.next().map_or(Value::Nil, |item| Value::of_json(arena, item));
                Value::List(List::new(arena, (0..view.items().count()).map(item)))
            }
            json::Kind::Map => {
                let entries = RefCell::new(ArenaVec::new_in(arena));
                Value::Map(arena.alloc(Map { entries, text: Cell::new(Some(view)) }))
            }
        }
    }

    pub fn is_nil(self) -> bool {
        matches!(self, Value::Unset | Value::Void | Value::Nil)
    }

    /// What `if`, `for` and `!` make of it.
    pub fn truthy(self) -> bool {
        match self {
            Value::Unset | Value::Void | Value::Nil => false,
            Value::Bool(value) => value,
            Value::Int(value) => value != 0,
            Value::Float(value) => value != 0.0,
            Value::Str(value) => !value.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// Strict equality of types and contents, as in lists; `==` of a script is another.
    ///
    /// `nodes` is what the comparison may still look at.
    pub fn same(self, other: Value<'r>, nodes: &mut u32) -> Result<bool, TooMuch> {
        same(self, other, nodes, VALUE_DEPTH_MAX)
    }
}

/// The bytes of a text in a JSON text; it is copied only where there are escapes in it.
fn json_text<'r>(arena: &'r Bump, view: View<'r>) -> &'r [u8] {
    match view.bytes() {
        Some(Cow::Borrowed(bytes)) => bytes,
        Some(Cow::Owned(bytes)) => arena.alloc_slice_copy(&bytes),
        None => b"",
    }
}

fn same<'r>(left: Value<'r>, right: Value<'r>, nodes: &mut u32, depth: usize) -> Result<bool, TooMuch> {
    *nodes = nodes.checked_sub(1).ok_or(TooMuch::Large)?;
    let depth = depth.checked_sub(1).ok_or(TooMuch::Deep)?;
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !same(left, right, nodes, depth)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(left), Value::Map(right)) => {
            left.complete();
            right.complete();
            let (left, right) = (left.entries.borrow(), right.entries.borrow());
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if left.0 != right.0 || !same(left.1, right.1, nodes, depth)? {
                    return Ok(false);
                }
            }
            true
        }
        (left, right) => left.is_nil() && right.is_nil(),
    })
}

impl<'r> List<'r> {
    /// A list of its own storage.
    pub fn new(arena: &'r Bump, items: impl ExactSizeIterator<Item = Value<'r>>) -> List<'r> {
        let storage: &'r [Cell<Value<'r>>] = arena.alloc_slice_fill_iter(items.map(Cell::new));
        List(arena.alloc(Window { storage, len: storage.len() }))
    }

    pub fn len(self) -> usize {
        self.0.len
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn get(self, index: usize) -> Option<Value<'r>> {
        self.cells().get(index).map(Cell::get)
    }

    /// Whether there was such an element.
    pub fn set(self, index: usize, value: Value<'r>) -> bool {
        let cell = self.cells().get(index);
        cell.is_some_and(|cell| {
            cell.set(value);
            true
        })
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = Value<'r>> + DoubleEndedIterator {
        self.cells().iter().map(Cell::get)
    }

    /// A longer list. What lies behind this one in its storage is overwritten, as Go's `append` does; without room
    /// there, the storage of the new one is twice as large and its own.
    pub fn append(self, arena: &'r Bump, value: Value<'r>) -> List<'r> {
        let len = self.len() + 1;
        if let Some(cell) = self.0.storage.get(self.len()) {
            cell.set(value);
            return List(arena.alloc(Window { storage: self.0.storage, len }));
        }
        let room = self.room_after_append();
        let items = self.iter().chain(std::iter::once(value)).chain(std::iter::repeat(Value::Nil));
        let mut items = items.map(Cell::new);
        let storage = arena.alloc_slice_fill_with(room, |_| items.next().unwrap_or(Cell::new(Value::Nil)));
        List(arena.alloc(Window { storage, len }))
    }

    /// Elements for which [`List::append`] takes new storage, 0 if it takes none.
    pub fn append_takes(self) -> usize {
        if self.len() < self.0.storage.len() { 0 } else { self.room_after_append() }
    }

    fn room_after_append(self) -> usize {
        (self.len() + 1).next_power_of_two()
    }

    fn cells(self) -> &'r [Cell<Value<'r>>] {
        self.0.storage.get(..self.0.len).unwrap_or_default()
    }
}

impl<'r> Map<'r> {
    pub fn new(arena: &'r Bump) -> Map<'r> {
        Map::of(arena, std::iter::empty())
    }

    /// A map of these entries; of equal keys the last one counts.
    pub fn of(arena: &'r Bump, entries: impl Iterator<Item = (&'r [u8], Value<'r>)>) -> Map<'r> {
        let mut all = ArenaVec::new_in(arena);
        all.extend(entries);
        sort(&mut all);
        Map { entries: RefCell::new(all), text: Cell::new(None) }
    }

    pub fn len(&self) -> usize {
        self.complete();
        self.entries.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, key: &[u8]) -> Option<Value<'r>> {
        self.look(key)
    }

    /// The same, `nil` where there is nothing.
    pub fn get_or_nil(&self, key: &[u8]) -> Value<'r> {
        self.look(key).unwrap_or(Value::Nil)
    }

    #[inline(always)]
    fn look(&self, key: &[u8]) -> Option<Value<'r>> {
        let entries = self.entries.borrow();
        if entries.len() <= LOOKED_AT_MAX {
            for entry in entries.iter() {
                if same_text(entry.0, key) {
                    return Some(entry.1);
                }
            }
        } else if let Ok(at) = entries.binary_search_by(|entry| entry.0.cmp(key)) {
            return entries.get(at).map(|entry| entry.1);
        }
        let text = self.text.get()?;
        let Ok(member) = text.get_among(key, LOOKED_AT_MAX) else {
            drop(entries);
            self.complete();
            return self.get(key);
        };
        let member = member?;
        if let Some(text) = member.plain_bytes() {
            return Some(Value::Str(text));
        }
        drop(entries);
        Some(self.made(key, member))
    }

    /// The value of a member that was asked for, kept if there may be only one of it.
    fn made(&self, key: &[u8], member: View<'r>) -> Value<'r> {
        let arena = self.entries.borrow().bump();
        let value = Value::of_json(arena, member);
        if matches!(member.kind(), json::Kind::EscapedText | json::Kind::List | json::Kind::Map) {
            self.insert(arena.alloc_slice_copy(key), value);
        }
        value
    }

    pub fn set(&self, key: &'r [u8], value: Value<'r>) {
        self.complete();
        self.insert(key, value);
    }

    fn insert(&self, key: &'r [u8], value: Value<'r>) {
        let mut entries = self.entries.borrow_mut();
        match entries.binary_search_by(|entry| entry.0.cmp(key)) {
            Ok(at) => {
                if let Some(entry) = entries.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => entries.insert(at, (key, value)),
        }
    }

    pub fn remove(&self, key: &[u8]) {
        self.complete();
        let mut entries = self.entries.borrow_mut();
        if let Ok(at) = entries.binary_search_by(|entry| entry.0.cmp(key)) {
            entries.remove(at);
        }
    }

    /// The entry of that rank among the keys.
    pub fn entry(&self, at: usize) -> Option<(&'r [u8], Value<'r>)> {
        self.complete();
        self.entries.borrow().get(at).copied()
    }

    /// Makes the entries that are still in a text.
    #[inline]
    fn complete(&self) {
        if let Some(text) = self.text.take() {
            self.take_entries(text);
        }
    }

    fn take_entries(&self, text: View<'r>) {
        let mut entries = self.entries.borrow_mut();
        let arena = entries.bump();
        let mut all = ArenaVec::with_capacity_in(text.members().count() + entries.len(), arena);
        for (name, member) in text.members() {
            let name = json_text(arena, name);
            // What was made before stays.
            if entries.binary_search_by(|entry| entry.0.cmp(name)).is_err() {
                all.push((name, Value::of_json(arena, member)));
            }
        }
        all.extend(entries.iter().copied());
        sort(&mut all);
        *entries = all;
    }
}

/// Sorts entries by key; of equal keys the last one stays.
fn sort<'r>(entries: &mut ArenaVec<'r, (&'r [u8], Value<'r>)>) {
    entries.sort_by(|left, right| left.0.cmp(right.0));
    entries.dedup_by(|later, earlier| {
        let equal = later.0 == earlier.0;
        if equal {
            earlier.1 = later.1;
        }
        equal
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'r>(arena: &'r Bump, text: &'r str) -> Value<'r> {
        let mut places = json::Places::default();
        let nodes = places.of(text.as_bytes()).unwrap();
        Value::of_json(arena, View::root(arena, text.as_bytes(), nodes).unwrap())
    }

    fn json(value: Value<'_>) -> String {
        let mut out = Vec::new();
        super::super::text::put_json(&mut out, value, usize::MAX).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn maps_of_a_text_are_one_map_however_they_are_reached() {
        let arena = Bump::new();
        let text = r#"{"m":{"a":1,"b":"\n"},"l":[{"x":2}],"m2":{},"s":"t","m":{"c":[3]},"\u0065":4}"#;
        let Value::Map(root) = read(&arena, text) else { panic!() };
        assert!(matches!(root.get(b"s"), Some(Value::Str(b"t"))));
        assert!(matches!(root.get(b"e"), Some(Value::Float(4.0))));
        assert!(root.get(b"a").is_none());
        // What is put into a part of it is seen by whoever looks at the whole.
        let Some(Value::Map(m)) = root.get(b"m") else { panic!() };
        m.set(b"new", Value::Int(5));
        let Some(Value::List(list)) = root.get(b"l") else { panic!() };
        list.set(0, Value::Nil);
        root.set(b"s", Value::Bool(true));
        assert_eq!(root.len(), 5);
        assert_eq!(json(Value::Map(root)), r#"{"e":4,"l":[null],"m":{"c":[3],"new":5},"m2":{},"s":true}"#);
        root.remove(b"m");
        assert!(root.get(b"m").is_none());
    }

    #[test]
    fn large_maps_of_a_text_are_sorted_once() {
        let arena = Bump::new();
        let members: Vec<String> = (0..100).map(|n| format!("\"k{n}\":[{n}]")).collect();
        let text = format!("{{{},\"k7\":0}}", members.join(","));
        let Value::Map(root) = read(&arena, &text) else { panic!() };
        assert!(matches!(root.get(b"k7"), Some(Value::Float(0.0))));
        assert!(root.text.get().is_none());
        assert!(root.get(b"k100").is_none() && root.get(b"k99").is_some());
        assert_eq!(root.len(), 100);
    }

    #[test]
    fn members_are_found_one_by_one_as_they_are_in_the_whole() {
        let values = ["1.5", "true", "null", "\"plain\"", "\"\\n\"", "[1,[2]]", "{\"a\":{\"b\":3}}", "-0"];
        for count in 0..40 {
            let arena = Bump::new();
            // Names of all lengths, some of them twice, some written with escapes.
            let name = |n: usize| format!("{}{}", "k".repeat(n % 19), n / 19 + n % 3);
            let members = (0..count).map(|n| {
                let name = if n % 5 == 4 { name(n).replace('k', "\\u006b") } else { name(n) };
                format!("\"{name}\":{}", values[n * 7 % values.len()])
            });
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(", "));
            let (Value::Map(map), Value::Map(whole)) = (read(&arena, &text), read(&arena, &text)) else {
                panic!()
            };
            whole.complete();
            let as_text = |value: Option<Value<'_>>| value.map(json);
            for n in (0..count + 3).chain(0..count) {
                let key = name(n);
                let found = map.get(key.as_bytes());
                assert_eq!(as_text(found), as_text(whole.get(key.as_bytes())), "{key} of {text}");
                let or_nil = map.get_or_nil(key.as_bytes());
                assert_eq!(json(or_nil), as_text(found).unwrap_or_else(|| "null".to_owned()));
            }
            assert_eq!(json(Value::Map(map)), json(Value::Map(whole)));
        }
    }

    #[test]
    fn values_of_texts_are_the_same_as_others() {
        let arena = Bump::new();
        let left = read(&arena, r#"[{"a":[1,"x"],"b":null}]"#);
        let right = read(&arena, r#" [ {"b":null, "a":[1.0,"\u0078"] } ] "#);
        assert_eq!(left.same(right, &mut 100), Ok(true));
        assert_eq!(left.same(read(&arena, r#"[{"a":[1,"x"]}]"#), &mut 100), Ok(false));
    }
}
