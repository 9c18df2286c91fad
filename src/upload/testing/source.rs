//! A log without a disk: frames are given, windows are cut from them, completions are recorded.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::point::Category;
use crate::rt::sync::Notify;
use crate::spool::{Codec, Kind};
use crate::upload::source::{Backlog, Block, Frame, Settled, SideLane, Source, Window};

/// A block whose payload is text and not compressed.
pub fn block(route: &str, points: u32) -> Block {
    Block {
        category: Category::Logging as u8,
        codec: Codec::Identity,
        kind: Kind::Points,
        points,
        raw_bytes: 0,
        sealed_ms: super::WALL_START_MS,
        route: Bytes::copy_from_slice(route.as_bytes()),
        payload: Bytes::new(),
        payload_crc: 0,
    }
}

/// A frame whose payload names it: `<seq>;`.
pub fn frame(seq: u64, route: &str, points: u32) -> Frame {
    let payload = format!("{seq};");
    let raw_bytes = payload.len() as u32;
    Frame { seq, block: Block { payload: payload.into(), raw_bytes, ..block(route, points) } }
}

/// The sequence numbers in a body of such frames.
pub fn seqs(body: &[u8]) -> Vec<u64> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.split(';').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap()).collect()
}

/// Points that are named by their numbers, as a destination gets them.
pub fn numbered_points(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut raw = Vec::new();
    for number in numbers {
        let name = number.to_string();
        raw.extend_from_slice(&[0x0a, name.len() as u8 + 2, 0x0a, name.len() as u8]);
        raw.extend_from_slice(name.as_bytes());
    }
    raw
}

/// The numbers of such points.
pub fn numbers(points: &[u8]) -> Vec<u64> {
    let names = crate::point::pb::points(points).map(|point| point.unwrap().name.to_vec());
    names.map(|name| String::from_utf8(name).unwrap().parse().unwrap()).collect()
}

/// A frame of such points.
pub fn numbered_frame(seq: u64, route: &str, numbers: std::ops::Range<u64>) -> Frame {
    let points = (numbers.end - numbers.start) as u32;
    let payload = numbered_points(numbers);
    let (raw_bytes, payload_crc) = (payload.len() as u32, crc32c::crc32c(&payload));
    Frame { seq, block: Block { payload: payload.into(), raw_bytes, payload_crc, ..block(route, points) } }
}

/// A window of exactly these frames.
pub fn window(frames: Vec<Frame>) -> Window {
    let (first_seq, last_seq) = (frames.first().unwrap().seq, frames.last().unwrap().seq);
    let points = frames.iter().map(|frame| u64::from(frame.block.points)).sum();
    Window { first_seq, last_seq, frames, points, replayed: false }
}

/// See the module.
pub struct Scripted {
    frames: RefCell<VecDeque<Frame>>,
    aside: RefCell<VecDeque<Frame>>,
    frames_per_window: usize,
    pub completed: RefCell<BTreeSet<u64>>,
    /// What was told of frames that were not delivered whole.
    pub settled: RefCell<BTreeMap<u64, Settled>>,
    pub given_back: RefCell<BTreeSet<u64>>,
    pub side_lanes: RefCell<BTreeMap<String, Rc<SideQueue>>>,
    /// Side lanes refuse what comes.
    pub sides_full: Cell<bool>,
    closed: Cell<bool>,
    changed: Notify,
}

/// A side lane without a disk.
#[derive(Default)]
pub struct SideQueue {
    waiting: RefCell<VecDeque<Frame>>,
    next: Cell<u64>,
    pub settled: RefCell<Vec<(u32, Settled)>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl SideQueue {
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }
}

impl Scripted {
    pub fn empty() -> Rc<Scripted> {
        Scripted::with(Vec::new(), 1)
    }

    pub fn with(frames: Vec<Frame>, frames_per_window: usize) -> Rc<Scripted> {
        Rc::new(Scripted {
            frames: RefCell::new(frames.into()),
            aside: RefCell::default(),
            frames_per_window,
            completed: RefCell::default(),
            settled: RefCell::default(),
            given_back: RefCell::default(),
            side_lanes: RefCell::default(),
            sides_full: Cell::new(false),
            closed: Cell::new(false),
            changed: Notify::new(),
        })
    }

    pub fn push(&self, frame: Frame) {
        self.frames.borrow_mut().push_back(frame);
        self.changed.notify_all();
    }

    /// What there is comes out, then None.
    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_all();
        for side in self.side_lanes.borrow().values() {
            side.closed.set(true);
            side.changed.notify_all();
        }
    }

    /// Points that were told to be dead, and to be parked.
    pub fn told(&self) -> (u64, u64) {
        self.settled.borrow().values().fold((0, 0), |(dead, parked), settled| {
            (dead + u64::from(settled.dead_points), parked + u64::from(settled.parked_points))
        })
    }

    async fn take_from(&self, queue: &RefCell<VecDeque<Frame>>) -> Option<Window> {
        loop {
            let changed = self.changed.notified();
            let frames: Vec<Frame> = {
                let mut frames = queue.borrow_mut();
                let count = frames.len().min(self.frames_per_window);
                frames.drain(..count).collect()
            };
            if !frames.is_empty() {
                return Some(window(frames));
            }
            if self.closed.get() {
                return None;
            }
            changed.await;
        }
    }
}

impl Source for Rc<Scripted> {
    type Side = SideQueue;

    fn category(&self) -> Category {
        Category::Logging
    }

    fn pending_raw_bytes(&self) -> u64 {
        self.frames.borrow().iter().map(|frame| u64::from(frame.block.raw_bytes)).sum()
    }

    fn waiting_bytes(&self) -> u64 {
        self.frames.borrow().iter().map(|frame| frame.block.payload.len() as u64).sum()
    }

    async fn next_window(&self) -> Option<Window> {
        self.take_from(&self.frames).await
    }

    fn defer(&self) -> u64 {
        let frames = self.frames.take();
        let points = frames.iter().map(|frame| u64::from(frame.block.points)).sum();
        self.aside.borrow_mut().extend(frames);
        self.changed.notify_all();
        points
    }

    fn deferred(&self) -> Backlog {
        let aside = self.aside.borrow();
        Backlog {
            frames: aside.len() as u64,
            points: aside.iter().map(|frame| u64::from(frame.block.points)).sum(),
            bytes: aside.iter().map(|frame| frame.block.payload.len() as u64).sum(),
        }
    }

    async fn next_deferred_window(&self) -> Option<Window> {
        self.take_from(&self.aside).await
    }

    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], _sealed_ms: u64) -> String {
        format!("dk_{first_seq}_{last_seq}_{}", String::from_utf8_lossy(route).replace('\0', "+"))
    }

    fn complete(&self, window: Window, settled: &BTreeMap<u64, Settled>) {
        let mut completed = self.completed.borrow_mut();
        for frame in &window.frames {
            assert!(completed.insert(frame.seq), "frame {} is completed twice", frame.seq);
        }
        for (seq, settled) in settled {
            assert!(window.frames.iter().any(|frame| frame.seq == *seq), "frame {seq} is of another window");
            self.settled.borrow_mut().insert(*seq, *settled);
        }
    }

    fn give_back(&self, window: Window) {
        self.given_back.borrow_mut().extend(window.frames.iter().map(|frame| frame.seq));
    }

    async fn side(&self, name: &str) -> Result<Rc<SideQueue>, String> {
        if self.sides_full.get() {
            return Err("full".to_owned());
        }
        let mut sides = self.side_lanes.borrow_mut();
        let side = sides.entry(name.to_owned()).or_default();
        side.closed.set(self.closed.get());
        Ok(Rc::clone(side))
    }

    async fn sides(&self) -> Vec<String> {
        self.side_lanes.borrow().keys().cloned().collect()
    }
}

impl SideLane for SideQueue {
    async fn append(&self, block: Block) -> Result<(), String> {
        let seq = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().push_back(Frame { seq, block });
        self.changed.notify_all();
        Ok(())
    }

    async fn next(&self) -> Option<Window> {
        loop {
            let changed = self.changed.notified();
            let frame = self.waiting.borrow_mut().pop_front();
            if let Some(frame) = frame {
                return Some(window(vec![frame]));
            }
            if self.closed.get() {
                return None;
            }
            changed.await;
        }
    }

    fn complete(&self, window: Window, settled: Settled) {
        self.settled.borrow_mut().push((window.frames[0].block.points, settled));
    }

    fn give_back(&self, window: Window) {
        let mut waiting = self.waiting.borrow_mut();
        window.frames.into_iter().for_each(|frame| waiting.push_front(frame));
    }
}
