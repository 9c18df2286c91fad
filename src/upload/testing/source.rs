//! A log without a disk: frames are given, windows are cut from them, completions are recorded.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::point::Category;
use crate::rt::sync::Notify;
use crate::spool::{Block, Codec, Kind};
use crate::upload::source::{Frame, Source, Window};

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
    frames_per_window: usize,
    pub completed: RefCell<BTreeSet<u64>>,
    pub dead: RefCell<Vec<u64>>,
    pub given_back: RefCell<BTreeSet<u64>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Scripted {
    pub fn empty() -> Rc<Scripted> {
        Scripted::with(Vec::new(), 1)
    }

    pub fn with(frames: Vec<Frame>, frames_per_window: usize) -> Rc<Scripted> {
        Rc::new(Scripted {
            frames: RefCell::new(frames.into()),
            frames_per_window,
            completed: RefCell::default(),
            dead: RefCell::default(),
            given_back: RefCell::default(),
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
    }
}

impl Source for Rc<Scripted> {
    fn category(&self) -> Category {
        Category::Logging
    }

    fn pending_raw_bytes(&self) -> u64 {
        self.frames.borrow().iter().map(|frame| u64::from(frame.block.raw_bytes)).sum()
    }

    async fn next_window(&self) -> Option<Window> {
        loop {
            let changed = self.changed.notified();
            let frames: Vec<Frame> = {
                let mut frames = self.frames.borrow_mut();
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

    fn package_id(&self, first_seq: u64, last_seq: u64, route: &[u8], _sealed_ms: u64) -> String {
        format!("dk_{first_seq}_{last_seq}_{}", String::from_utf8_lossy(route))
    }

    fn complete(&self, window: Window, dead: &[u64]) {
        let mut completed = self.completed.borrow_mut();
        for frame in &window.frames {
            assert!(completed.insert(frame.seq), "frame {} is completed twice", frame.seq);
        }
        self.dead.borrow_mut().extend(dead);
    }

    fn give_back(&self, window: Window) {
        self.given_back.borrow_mut().extend(window.frames.iter().map(|frame| frame.seq));
    }
}
