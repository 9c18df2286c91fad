//! A window of frames becomes packages: one for each route in it, and one for each raw frame, which is a package as it is.
//!
//! The window is what is bounded (`max_raw_body_size`, by the source) and what is durable, so a package is a function
//! of its window alone. No setting that may be changed between two starts has a say in where a package begins and
//! ends: the same points can never go out under a second id.
//!
//! The exception has its own rule: a package that the destination refuses whole (413, or 400 for a point in it) is cut in
//! halves, which are packages with ids of their own; a package of one frame is cut between points. Nothing of the whole
//! was taken under the first id, and a restart cuts it at the same places again.

use bytes::Bytes;

use super::dead::Tried;
use super::parked::{Head, Parked};
use super::source::{Block, Frame, Source, Window};
use crate::codec::raw_package::RawPackage;
use crate::point::Route;
use crate::spool::Kind;

/// Frames of one route that are sent together under one id.
#[derive(Clone, Debug)]
pub struct Package {
    pub id: String,
    /// The range of sequence numbers that the id names. Not every frame in it need be there: others have other
    /// routes, or are lost.
    pub first_seq: u64,
    pub last_seq: u64,
    /// None: stored by a version that knows more about routes than this one.
    pub route: Option<Route>,
    /// Of all of its frames. A raw package has one frame.
    pub kind: Kind,
    /// In order of `seq`; never empty.
    pub frames: Vec<Frame>,
    /// The place in its frame of the first point of a part; 0 otherwise.
    pub first_point: u32,
    /// Some points of one frame, which was cut.
    pub is_part: bool,
}

impl Package {
    fn new<S: Source>(first_seq: u64, last_seq: u64, frames: Vec<Frame>, source: &S) -> Package {
        let (route, sealed_ms) =
            frames.first().map_or((&[][..], 0), |frame| (&frame.block.route[..], frame.block.sealed_ms));
        let id = source.package_id(first_seq, last_seq, route, sealed_ms);
        let kind = frames.first().map_or(Kind::Points, |frame| frame.block.kind);
        let route = Route::decode(route).ok();
        Package { id, first_seq, last_seq, route, kind, frames, first_point: 0, is_part: false }
    }

    /// A frame that is no package, as one: to be buried.
    pub fn of_frame<S: Source>(frame: &Frame, source: &S) -> Package {
        Package::new(frame.seq, frame.seq, vec![frame.clone()], source)
    }

    /// A package that was set aside and keeps its id.
    pub fn parked(parked: Parked) -> Package {
        let Parked { head, frames } = parked;
        let first = frames.first().map(|frame| &frame.block);
        Package {
            id: head.package,
            first_seq: head.first_seq,
            last_seq: head.last_seq,
            route: first.and_then(|block| Route::decode(&block.route).ok()),
            kind: first.map_or(Kind::Points, |block| block.kind),
            frames,
            first_point: head.first_point,
            is_part: head.is_part,
        }
    }

    /// The same package in the form in which it is set aside.
    pub fn to_parked(&self, attempts: u32, history: Vec<Tried>) -> Parked {
        let head = Head {
            package: self.id.clone(),
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            first_point: self.first_point,
            is_part: self.is_part,
            attempts,
            history,
        };
        Parked { head, frames: self.frames.clone() }
    }

    /// The two parts of a package of one frame: the frame's points in two blocks. Where the cut is follows from the
    /// points alone, and the ids from the package and the places of the points: both are the same after a restart.
    pub fn parts<S: Source>(&self, blocks: [Block; 2], source: &S) -> Option<[Package; 2]> {
        let frame = self.frames.first().filter(|_| self.frames.len() == 1)?;
        let [left, right] = blocks;
        let middle = self.first_point + left.points;
        let part = |first_point: u32, block: Block| {
            let named = format!("\0{}.{first_point}-{}", frame.seq, first_point + block.points);
            let name = [&block.route[..], named.as_bytes()].concat();
            Package {
                id: source.package_id(self.first_seq, self.last_seq, &name, block.sealed_ms),
                first_seq: self.first_seq,
                last_seq: self.last_seq,
                route: self.route.clone(),
                kind: self.kind,
                frames: vec![Frame { seq: frame.seq, block }],
                first_point,
                is_part: true,
            }
        };
        Some([part(self.first_point, left), part(middle, right)])
    }

    /// The request in a raw package; none in one of points.
    pub fn raw(&self) -> Option<RawPackage<'_>> {
        let frame = self.frames.first().filter(|_| self.kind == Kind::Raw)?;
        RawPackage::read(&frame.block.payload)
    }

    /// Why it can never be sent by this version.
    pub fn unreadable(&self) -> Option<&'static str> {
        if self.route.is_none() {
            Some("the route was stored by a newer version")
        } else if self.kind == Kind::Raw && self.raw().is_none() {
            Some("the package is not what its frame says")
        } else {
            None
        }
    }

    pub fn points(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.block.points)).sum()
    }

    pub fn received_ms(&self) -> u64 {
        self.frames.first().map_or(0, |frame| frame.block.sealed_ms)
    }

    /// The two halves, each with an id of its own; none for a single frame. The cut is in the middle of the range and
    /// not of the frames, so that it is at the same place when a frame is lost between two tries.
    pub fn halves<S: Source>(&self, source: &S) -> Option<[Package; 2]> {
        if self.frames.len() < 2 {
            return None;
        }
        let (mut first, mut last) = (self.first_seq, self.last_seq);
        while first < last {
            let middle = first + (last - first) / 2;
            let (left, right) =
                self.frames.split_at(self.frames.partition_point(|frame| frame.seq <= middle));
            match (left.is_empty(), right.is_empty()) {
                (false, false) => {
                    let left = Package::new(first, middle, left.to_vec(), source);
                    return Some([left, Package::new(middle + 1, last, right.to_vec(), source)]);
                }
                (true, _) => first = middle + 1,
                (false, true) => last = middle,
            }
        }
        None
    }
}

/// The packages of a window, in the order of their first frames.
pub fn packages<S: Source>(window: &Window, source: &S) -> Vec<Package> {
    // By route; none for a raw frame, which nobody joins.
    let mut groups: Vec<(Option<&Bytes>, Vec<Frame>)> = Vec::new();
    for frame in &window.frames {
        let route = (frame.block.kind == Kind::Points).then_some(&frame.block.route);
        match groups.iter_mut().find(|(other, _)| route.is_some() && *other == route) {
            Some((_, frames)) => frames.push(frame.clone()),
            None => groups.push((route, vec![frame.clone()])),
        }
    }
    let package = |(route, frames): (Option<&Bytes>, Vec<Frame>)| {
        let (first, last) = match (route, frames.first()) {
            // Its own number is all of its range: no other package has that, for its frame would be in it.
            (None, Some(frame)) => (frame.seq, frame.seq),
            _ => (window.first_seq, window.last_seq),
        };
        Package::new(first, last, frames, source)
    };
    groups.into_iter().map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::body::halves;
    use crate::upload::testing::source::{Scripted, frame, numbered_frame, window};

    #[test]
    fn a_window_is_grouped_by_route_in_the_order_of_first_frames() {
        let source = Scripted::empty();
        let routes = ["", "storage_index=b", "", "storage_index=a", "storage_index=b"];
        let frames: Vec<Frame> =
            routes.iter().enumerate().map(|(seq, route)| frame(seq as u64, route, 10 + seq as u32)).collect();
        let window = window(frames);
        let packages = packages(&window, &source);
        let seqs: Vec<Vec<u64>> =
            packages.iter().map(|package| package.frames.iter().map(|frame| frame.seq).collect()).collect();
        assert_eq!(seqs, [vec![0, 2], vec![1, 4], vec![3]]);
        assert_eq!(packages[0].points(), 22);
        assert_eq!(packages[1].route, Some(Route { storage_index: Some("b".into()), ..Route::default() }));
        let ids: Vec<&str> = packages.iter().map(|package| package.id.as_str()).collect();
        let again: Vec<String> =
            super::packages(&window, &source).into_iter().map(|package| package.id).collect();
        assert_eq!(ids, again, "the same window gives the same ids");
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    }

    #[test]
    fn halves_cover_the_whole_and_end_at_one_frame() {
        let source = Scripted::empty();
        let window = window((0..5).map(|seq| frame(seq, "", 1)).collect());
        let whole = packages(&window, &source).remove(0);
        let mut parts = vec![whole.clone()];
        let mut single = Vec::new();
        let mut ids = vec![whole.id];
        while let Some(part) = parts.pop() {
            match part.halves(&source) {
                Some(halves) => {
                    ids.extend(halves.iter().map(|half| half.id.clone()));
                    parts.extend(halves.into_iter().rev());
                }
                None => single.push(part.frames[0].seq),
            }
        }
        assert_eq!(single, [0, 1, 2, 3, 4]);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 9, "every cut has ids of its own");
    }

    #[test]
    fn a_lost_frame_changes_no_id_and_no_cut() {
        let source = Scripted::empty();
        let mut window = window((0..8).map(|seq| frame(seq, "", 1)).collect());
        let whole = packages(&window, &source).remove(0);
        window.frames.remove(0);
        window.frames.remove(3);
        let less = packages(&window, &source).remove(0);
        assert_eq!(less.id, whole.id);
        let ids = |package: &Package| package.halves(&source).unwrap().map(|half| half.id);
        assert_eq!(ids(&less), ids(&whole));
    }

    #[test]
    fn frames_far_apart_are_cut_between_them() {
        let source = Scripted::empty();
        let frames = [1, 2, 1000].map(|seq| frame(seq, "", 1)).to_vec();
        let package = Package::new(0, u64::MAX, frames, &source);
        let seqs = |package: &Package| package.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>();
        let [left, right] = package.halves(&source).unwrap();
        assert_eq!((seqs(&left), seqs(&right)), (vec![1, 2], vec![1000]));
        let [left, right] = left.halves(&source).unwrap();
        assert_eq!((seqs(&left), seqs(&right)), (vec![1], vec![2]));
    }

    #[test]
    fn parts_of_a_frame_have_the_same_ids_after_a_restart_and_each_its_own() {
        let source = Scripted::empty();
        let window = window(vec![numbered_frame(7, "", 0..9)]);
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut pieces = packages(&window, &source);
            let mut seen = vec![pieces[0].id.clone()];
            while let Some(piece) = pieces.pop() {
                let Some(cut) = halves(&piece.frames[0].block) else { continue };
                let parts = piece.parts(cut, &source).unwrap();
                assert_eq!(parts[0].first_point, piece.first_point);
                assert_eq!(u64::from(parts[1].first_point - parts[0].first_point), parts[0].points());
                assert_eq!(parts[0].points() + parts[1].points(), piece.points());
                for part in parts {
                    seen.push(part.id.clone());
                    pieces.push(part);
                }
            }
            ids.push(seen);
        }
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0].len(), 17, "nine points, eight cuts");
        let different: std::collections::BTreeSet<&String> = ids[0].iter().collect();
        assert_eq!(different.len(), 17);
    }

    #[test]
    fn a_raw_frame_is_a_package_of_its_own() {
        let source = Scripted::empty();
        let mut frames: Vec<Frame> = (5..10).map(|seq| frame(seq, "", 1)).collect();
        for seq in [1, 2, 4] {
            frames[seq].block.kind = Kind::Raw;
            frames[seq].block.payload = Bytes::from_static(b"POST /a HTTP/1.1\r\n\r\nbody");
        }
        frames[4].block.payload = Bytes::from_static(b"noise");
        let packages = packages(&window(frames), &source);
        let seqs: Vec<Vec<u64>> =
            packages.iter().map(|package| package.frames.iter().map(|frame| frame.seq).collect()).collect();
        assert_eq!(seqs, [vec![5, 8], vec![6], vec![7], vec![9]]);
        let ranges: Vec<(u64, u64)> =
            packages.iter().map(|package| (package.first_seq, package.last_seq)).collect();
        assert_eq!(ranges, [(5, 9), (6, 6), (7, 7), (9, 9)]);
        assert!(packages[0].raw().is_none() && packages[0].unreadable().is_none());
        assert_eq!(packages[1].raw().unwrap().path, "/a");
        assert!(packages[1].unreadable().is_none() && packages[1].halves(&source).is_none());
        assert!(packages[3].unreadable().is_some());
    }

    #[test]
    fn a_route_of_a_newer_version_is_kept_apart() {
        let window = window(vec![frame(0, "", 1), frame(1, "tenant=x", 1)]);
        let packages = packages(&window, &Scripted::empty());
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[1].route, None);
    }
}
