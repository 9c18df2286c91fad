//! A log without a disk: frames are given, windows are cut from them, completions are recorded.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
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

/// See the module.
pub struct Scripted {
    frames: RefCell<VecDeque<Frame>>,
    frames_per_window: usize,
    pub completed: RefCell<BTreeSet<u64>>,
    /// How often completing fails before it works.
    pub complete_failures: Cell<u32>,
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
            complete_failures: Cell::new(0),
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

impl<S: Source> Source for Rc<S> {
    fn category(&self) -> Category {
        (**self).category()
    }

    fn pending_raw_bytes(&self) -> u64 {
        (**self).pending_raw_bytes()
    }

    fn next_window(&self) -> impl Future<Output = Option<Window>> {
        (**self).next_window()
    }

    fn package_id(&self, frames: &[Frame]) -> String {
        (**self).package_id(frames)
    }

    fn complete(&self, window: &Window) -> impl Future<Output = io::Result<()>> {
        (**self).complete(window)
    }
}

impl Source for Scripted {
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
                return Some(Window { frames });
            }
            if self.closed.get() {
                return None;
            }
            changed.await;
        }
    }

    fn package_id(&self, frames: &[Frame]) -> String {
        let (first, last) = (frames.first().unwrap(), frames.last().unwrap());
        let route = String::from_utf8_lossy(&first.block.route).into_owned();
        format!("dk_{}_{}_{route}", first.seq, last.seq)
    }

    async fn complete(&self, window: &Window) -> io::Result<()> {
        if self.complete_failures.get() > 0 {
            self.complete_failures.set(self.complete_failures.get() - 1);
            return Err(io::Error::other("the cursor cannot be written"));
        }
        let mut completed = self.completed.borrow_mut();
        for frame in &window.frames {
            assert!(completed.insert(frame.seq), "frame {} is completed twice", frame.seq);
        }
        Ok(())
    }
}
