//! One run of a script over one point: what it may use up, what it has, and what functions ask of it.
//!
//! The reference runs until it is done. Here a run ends with an error when it has taken [`STEPS_MAX`] steps or
//! [`MEMORY_BYTES_MAX`], and when its host says so: the clock is the host's.

use std::cell::Cell;

use bumpalo::Bump;

use super::{
    error::Error,
    lib::{
        json::{self, View},
        regex,
        time::Zone,
    },
    node::{Name, Program},
    outside::{HttpRequest, HttpResponse, Place},
    record::{Kind, Record},
    set::ScriptSet,
    state::{ScriptState, tables::Tables},
    text,
    value::{List, Map, TooMuch, Value},
};

/// Steps of a run: statements, rounds of loops, and work by the size of what it is done on. An ordinary script takes
/// hundreds; so many take some tens of milliseconds, for which a shard does nothing else.
pub const STEPS_MAX: u32 = 2_000_000;
/// How often the host is asked whether the run is to stop.
const STEPS_PER_POLL: u32 = 1_024;
/// Bytes of text looked at or copied that count as one step.
pub const BYTES_PER_STEP: usize = 256;
/// What the values of a run take, those no longer needed included. The largest point has 32 MiB.
pub const MEMORY_BYTES_MAX: usize = 96 << 20;
/// The largest text, list (its elements) or map (its entries) that a script makes.
pub const TEXT_BYTES_MAX: usize = 32 << 20;
pub const LIST_ITEMS_MAX: usize = 1 << 19;
pub const MAP_ENTRIES_MAX: usize = 1 << 16;
/// Points that one run creates.
pub const CREATED_MAX: usize = 10_000;
/// Requests that one run makes of other hosts.
pub const ASKS_MAX: u32 = 64;
/// Heights of the trees of scripts that use each other, summed up: all recurse on the same stack.
pub const HEIGHTS_MAX: usize = 512;
/// How many values a comparison of lists and maps looks at.
const COMPARED_NODES_MAX: u32 = 1 << 20;

/// What a run asks of its surroundings.
pub trait Host {
    /// Now, in nanoseconds since 1970.
    fn now_ns(&self) -> i64;

    /// Whether the run is to end here: quietly, the point as it is.
    fn stopped(&self) -> bool {
        false
    }

    /// The time zone of clocks around here.
    fn zone(&self) -> &Zone {
        static UTC: Zone = Zone::UTC;
        &UTC
    }

    /// Any number, each as likely as every other.
    fn random(&self) -> u64 {
        mixed(self.now_ns() as u64)
    }

    /// Shows the reference tables of now, where there are any.
    fn tables(&self, _look: &mut dyn FnMut(&Tables)) {}

    /// Where an address is. None where it is none, or nothing is known of any.
    fn place(&self, _ip: &str) -> Option<Place> {
        None
    }

    /// Asks another host, and waits for it. None where that must not be or comes to nothing.
    fn http(&self, _request: &HttpRequest<'_>) -> Option<HttpResponse> {
        None
    }
}

/// Spreads the bits of a number over all of it (the last step of splitmix64).
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Memory that functions use while they run, kept for the next run of the thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub regex: regex::Scratch,
    json: json::Places,
}

thread_local! {
    /// That of a thread, while no run has it.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// The scratch memory of a run, given back at its end.
struct Lent(Option<Box<Scratch>>);

impl Lent {
    fn of_thread() -> Lent {
        Lent(SCRATCH.take())
    }

    fn get(&mut self) -> &mut Scratch {
        self.0.get_or_insert_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        SCRATCH.set(self.0.take());
    }
}

/// A run.
pub struct Vm<'r> {
    pub arena: &'r Bump,
    pub host: &'r dyn Host,
    pub record: Record<'r>,
    /// What the script keeps that the run began with.
    pub state: &'r ScriptState,
    pub(super) set: &'r ScriptSet,
    pub(super) program: &'r Program,
    pub(super) slots: &'r [Cell<Value<'r>>],
    /// The script is over: `exit()`, or the whole run is.
    pub(super) exited: bool,
    /// The host stopped the run.
    pub(super) stopped: bool,
    /// Heights of scripts that may still come on top.
    room: usize,
    /// Until the next poll.
    fuel: u32,
    /// After that.
    steps: u32,
    memory: usize,
    asks: u32,
    refusals: Cell<u32>,
    scratch: Lent,
    /// The JSON text that was looked at last, and its value if it has one.
    json: Option<(&'r [u8], Option<View<'r>>)>,
}

impl<'r> Vm<'r> {
    pub(super) fn new(
        arena: &'r Bump,
        host: &'r dyn Host,
        set: &'r ScriptSet,
        program: &'r Program,
        state: &'r ScriptState,
        record: Record<'r>,
    ) -> Vm<'r> {
        let (fuel, steps) = (STEPS_PER_POLL, STEPS_MAX - STEPS_PER_POLL);
        let slots = fresh_slots(arena, program);
        let (memory, room) = (MEMORY_BYTES_MAX, HEIGHTS_MAX.saturating_sub(program.height));
        Vm {
            arena,
            host,
            record,
            state,
            set,
            program,
            slots,
            exited: false,
            stopped: false,
            room,
            fuel,
            steps,
            memory,
            asks: ASKS_MAX,
            refusals: Cell::new(0),
            scratch: Lent::of_thread(),
            json: None,
        }
    }

    /// An error at that offset of the running script.
    #[cold]
    pub fn error(&self, pos: u32, message: impl Into<String>) -> Error {
        self.program.lines.error(pos, message)
    }

    /// The error, seen by its caller at that offset of the running script.
    #[cold]
    pub fn called(&self, error: Error, pos: u32) -> Error {
        self.program.lines.called(error, pos)
    }

    #[cold]
    pub fn too_much(&self, pos: u32, what: TooMuch) -> Error {
        self.refusals.set(self.refusals.get() + 1);
        self.error(pos, what.message())
    }

    /// Ends the running script after this statement.
    pub(super) fn exit(&mut self) {
        self.exited = true;
    }

    /// How often the run was refused what it wanted to use up: such an error no function may pass over.
    pub(super) fn refusals(&self) -> u32 {
        self.refusals.get()
    }

    #[cold]
    fn refused(&self, message: String) -> Error {
        self.refusals.set(self.refusals.get() + 1);
        self.error(0, message)
    }

    /// Counts one step.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), Error> {
        self.work(1)
    }

    /// Counts the work on so many bytes.
    #[inline]
    pub fn work_on(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes < BYTES_PER_STEP {
            return Ok(());
        }
        self.work(u32::try_from(bytes / BYTES_PER_STEP).unwrap_or(u32::MAX))
    }

    #[inline]
    fn work(&mut self, steps: u32) -> Result<(), Error> {
        match self.fuel.checked_sub(steps) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => self.refuel(steps),
        }
    }

    #[cold]
    fn refuel(&mut self, steps: u32) -> Result<(), Error> {
        if self.host.stopped() {
            self.stopped = true;
            self.exited = true;
            self.fuel = STEPS_PER_POLL;
            return Ok(());
        }
        let wanted = steps.saturating_add(STEPS_PER_POLL);
        let Some(left) = (self.steps + self.fuel).checked_sub(wanted) else {
            return Err(self.refused(format!("more than {STEPS_MAX} steps")));
        };
        self.steps = left;
        self.fuel = STEPS_PER_POLL;
        Ok(())
    }

    /// Counts a request of another host.
    pub(super) fn ask(&mut self) -> Result<(), Error> {
        match self.asks.checked_sub(1) {
            Some(left) => {
                self.asks = left;
                Ok(())
            }
            None => Err(self.refused(format!("more than {ASKS_MAX} requests"))),
        }
    }

    /// Counts memory that the arena is about to give.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                self.work_on(bytes)
            }
            None => Err(self.refused(format!("values of more than {MEMORY_BYTES_MAX} bytes"))),
        }
    }

    /// A text of the run.
    pub fn text(&mut self, text: &[u8]) -> Result<&'r [u8], Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(self.refused(format!("text of more than {TEXT_BYTES_MAX} bytes")));
        }
        self.reserve(text.len())?;
        Ok(self.arena.alloc_slice_copy(text))
    }

    /// Two texts, one behind the other.
    pub(super) fn joined(&mut self, left: &[u8], right: &[u8]) -> Result<&'r [u8], Error> {
        let length = left.len() + right.len();
        if length > TEXT_BYTES_MAX {
            return Err(self.refused(format!("text of more than {TEXT_BYTES_MAX} bytes")));
        }
        self.reserve(length)?;
        let mut bytes = bumpalo::collections::Vec::with_capacity_in(length, self.arena);
        bytes.extend_from_slice(left);
        bytes.extend_from_slice(right);
        Ok(bytes.into_bump_slice())
    }

    pub fn list(&mut self, items: impl ExactSizeIterator<Item = Value<'r>>) -> Result<Value<'r>, Error> {
        let count = items.len();
        self.reserve_items(count)?;
        Ok(Value::List(List::new(self.arena, items)))
    }

    pub(super) fn append(&mut self, list: List<'r>, value: Value<'r>) -> Result<Value<'r>, Error> {
        self.reserve_items(list.append_takes())?;
        Ok(Value::List(list.append(self.arena, value)))
    }

    fn reserve_items(&mut self, count: usize) -> Result<(), Error> {
        if count > LIST_ITEMS_MAX {
            return Err(self.refused(format!("list of more than {LIST_ITEMS_MAX} elements")));
        }
        // One more for the window.
        self.reserve((count + 1) * size_of::<Value<'_>>())
    }

    /// A new map. Of equal keys the last one counts.
    pub fn map(
        &mut self,
        entries: impl ExactSizeIterator<Item = (&'r [u8], Value<'r>)>,
    ) -> Result<Value<'r>, Error> {
        let count = entries.len();
        if count > MAP_ENTRIES_MAX {
            return Err(self.refused(format!("map of more than {MAP_ENTRIES_MAX} entries")));
        }
        self.reserve(size_of::<Map<'_>>() + count * ENTRY_BYTES)?;
        Ok(Value::Map(self.arena.alloc(Map::of(self.arena, entries))))
    }

    pub fn set_entry(&mut self, map: &'r Map<'r>, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        if map.len() >= MAP_ENTRIES_MAX {
            return Err(self.refused(format!("map of more than {MAP_ENTRIES_MAX} entries")));
        }
        // Twice: entries move to larger room now and then, and what they leave is lost until the end of the run.
        self.reserve(2 * ENTRY_BYTES)?;
        self.work_on(map.len() * ENTRY_BYTES)?;
        map.set(key, value);
        Ok(())
    }

    /// The value as a text, lists and maps as JSON.
    pub fn to_text(&mut self, value: Value<'r>) -> Result<&'r [u8], Error> {
        match value {
            Value::Str(text) => return Ok(text),
            Value::Unset | Value::Void | Value::Nil => return Ok(b""),
            Value::Bool(true) => return Ok(b"true"),
            Value::Bool(false) => return Ok(b"false"),
            _ => {}
        }
        let mut out = Vec::new();
        let bytes_max = TEXT_BYTES_MAX.min(self.memory);
        text::put_text(&mut out, value, bytes_max).map_err(|what| self.too_much(0, what))?;
        self.text(&out)
    }

    /// The value under a name: a variable, else a tag or field of the point. None where there is neither.
    #[inline]
    pub fn read(&self, name: &Name) -> Option<Value<'r>> {
        match self.variable(name) {
            Some(cell) => Some(cell.get()),
            None => self.record.get(&name.key),
        }
    }

    /// The nearest variable of the name that is set.
    #[inline]
    pub(super) fn variable(&self, name: &Name) -> Option<&'r Cell<Value<'r>>> {
        let mut cells = name.slots.iter().filter_map(|slot| self.slots.get(*slot as usize));
        cells.find(|cell| !matches!(cell.get(), Value::Unset))
    }

    /// Writes a key of the point, a tag if there is one of that name.
    #[inline]
    pub fn write(&mut self, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        match value {
            Value::Str(text) => self.write_text(key, text),
            Value::Int(value) => self.write_int(key, value),
            value => self.write_other(key, value),
        }
    }

    /// By itself so that the text comes in registers: a value that was just made is not yet in memory as a whole, and copying it
    /// waits for that. [`Vm::write_int`] is the same for integers.
    #[inline(never)]
    fn write_text(&mut self, key: &'r [u8], text: &'r [u8]) -> Result<(), Error> {
        self.reserve(ENTRY_BYTES)?;
        self.record.put_as_it_was(key, Value::Str(text));
        Ok(())
    }

    #[inline(never)]
    fn write_int(&mut self, key: &'r [u8], value: i64) -> Result<(), Error> {
        self.reserve(ENTRY_BYTES)?;
        if !self.record.put_as_it_was(key, Value::Int(value)) {
            self.tag_again(key, Value::Int(value))?;
        }
        Ok(())
    }

    #[inline(never)]
    fn write_other(&mut self, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        let value = match value {
            Value::Unset | Value::Void => Value::Nil,
            Value::List(_) | Value::Map(_) => Value::Str(self.to_text(value)?),
            value => value,
        };
        self.reserve(ENTRY_BYTES)?;
        if !self.record.put_as_it_was(key, value) {
            self.tag_again(key, value)?;
        }
        Ok(())
    }

    #[cold]
    fn tag_again(&mut self, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        let text = self.to_text(value)?;
        self.record.put(key, Value::Str(text), Kind::Tag);
        Ok(())
    }

    pub fn write_tag(&mut self, key: &'r [u8], value: Value<'r>) -> Result<(), Error> {
        let text = self.to_text(value)?;
        self.reserve(ENTRY_BYTES)?;
        self.record.put(key, Value::Str(text), Kind::Tag);
        Ok(())
    }

    /// What functions use while they run.
    pub fn scratch(&mut self) -> &mut Scratch {
        self.scratch.get()
    }

    /// The value of a JSON text, if it is one. Who asks about the same text again gets the same answer for nothing.
    pub fn json(&mut self, text: &'r [u8]) -> Result<Option<View<'r>>, Error> {
        if let Some((last, view)) = self.json
            && std::ptr::eq(last, text)
        {
            return Ok(view);
        }
        self.work_on(text.len())?;
        let mut places = std::mem::take(&mut self.scratch.get().json);
        let view = match places.of(text) {
            Some(nodes) => self.reserve(View::takes(nodes)).map(|()| View::root(self.arena, text, nodes)),
            None => Ok(None),
        };
        self.scratch.get().json = places;
        let view = view?;
        self.json = Some((text, view));
        Ok(view)
    }

    /// The value of a JSON text as a script can change it.
    pub fn json_value(&mut self, view: View<'r>) -> Result<Value<'r>, Error> {
        self.reserve(view.count() * JSON_VALUE_BYTES)?;
        Ok(Value::of_json(self.arena, view))
    }

    /// Strict equality, as in lists.
    pub fn same(&mut self, left: Value<'r>, right: Value<'r>, pos: u32) -> Result<bool, Error> {
        if let (Value::Str(left), Value::Str(right)) = (left, right) {
            self.work_on(left.len().min(right.len()))?;
            return Ok(left == right);
        }
        let mut nodes = COMPARED_NODES_MAX;
        let same = left.same(right, &mut nodes).map_err(|what| self.too_much(pos, what))?;
        self.work_on((COMPARED_NODES_MAX - nodes) as usize * size_of::<Value<'_>>())?;
        Ok(same)
    }

    /// Runs another script of the set over the same point, with variables of its own.
    pub(super) fn use_script(&mut self, index: usize, pos: u32) -> Result<(), Error> {
        let Some(program) = self.set.program(index) else { return Ok(()) };
        let height = program.height + 1;
        let Some(room) = self.room.checked_sub(height) else {
            return Err(self.error(pos, "scripts use each other too deep"));
        };
        self.reserve(program.slots * size_of::<Value<'_>>())?;
        let outer = (self.program, self.slots);
        self.program = program;
        self.slots = fresh_slots(self.arena, program);
        self.room = room;
        let result = self.run_body();
        self.room += height;
        (self.program, self.slots) = outer;
        self.exited = self.stopped;
        result.map_err(|error| self.called(error, pos))
    }

    pub(super) fn run_body(&mut self) -> Result<(), Error> {
        let program = self.program;
        self.block(&program.body).map(|_| ())
    }
}

/// What a value of a JSON text may take, half of it for its name. All are counted when the text is read, so that they can
/// be made whenever they are looked at.
const JSON_VALUE_BYTES: usize = 128;

/// What an entry of a map or a point takes.
const ENTRY_BYTES: usize = 64;

fn fresh_slots<'r>(arena: &'r Bump, program: &Program) -> &'r [Cell<Value<'r>>] {
    arena.alloc_slice_fill_with(program.slots, |_| Cell::new(Value::Unset))
}
