//! Archives that are as they should be, and those that are not.

use super::super::testing::{Item, archive, archive_of_a_million, archive_saying};
use super::*;

fn all(archive: &Vec<u8>) -> Result<Entries, ZipError> {
    entries(archive, &|_| true)
}

fn names(archive: &Vec<u8>) -> Vec<String> {
    let mut names: Vec<String> = all(archive).unwrap().into_keys().map(String::from).collect();
    names.sort();
    names
}

#[test]
fn files_are_listed_and_read() {
    let long = b"all work and no play ".repeat(10_000);
    let items = [Item::new("a.map", b"{}"), Item::deflated("dir/b.map", &long), Item::new("empty", b"")];
    let mut whole = archive(&items);
    for prefix in ["", "#!/bin/sh\n"] {
        whole.splice(0..0, prefix.bytes());
        let found = all(&whole).unwrap();
        assert_eq!(found["a.map"].read(&whole, 1 << 20).unwrap(), b"{}");
        assert_eq!(found["dir/b.map"].read(&whole, 1 << 20).unwrap(), long);
        assert_eq!(found["empty"].read(&whole, 0).unwrap(), b"");
    }
    let only = entries(&whole, &|path| path.ends_with(".map")).unwrap();
    assert_eq!(only.len(), 2);
    // A comment behind the last record.
    let at = whole.len() - 2;
    whole.splice(at.., [5, 0]);
    whole.extend_from_slice(b"PK\x05\x06!");
    assert_eq!(names(&whole).len(), 3);
}

#[test]
fn what_leads_outside_or_is_no_file_is_not_there() {
    let mut items: Vec<Item> = [
        "some.map",
        "../../abc/../up.map",
        "../up.map",
        "..//up.map",
        "/etc/passwd",
        "abc/../down.map",
        "folder/",
        "..",
        ".",
        "",
        "a/../..",
        "nul\0.map",
        "line\nbreak.map",
        "..hidden",
    ]
    .iter()
    .map(|name| Item::new(name, b"x"))
    .collect();
    items.push(Item { mode: 0o120_777, ..Item::new("link.map", b"/etc/passwd") });
    items.push(Item { mode: 0o020_644, ..Item::new("device.map", b"") });
    items.push(Item { mode: 0o010_644, ..Item::new("pipe.map", b"") });
    items.push(Item { mode: 0o040_755, ..Item::new("dir.map", b"") });
    items.push(Item { flags: 1, ..Item::new("secret.map", b"x") });
    items.push(Item::new(&format!("{}.map", "l".repeat(NAME_BYTES_MAX)), b"x"));
    assert_eq!(names(&archive(&items)), ["down.map", "some.map"]);
}

#[test]
fn a_file_of_two_of_one_path_is_the_last() {
    let whole = archive(&[Item::new("a", b"1"), Item::new("./a", b"2")]);
    assert_eq!(all(&whole).unwrap()["a"].read(&whole, 9).unwrap(), b"2");
}

#[test]
fn bombs_stop_before_they_go_off() {
    // A thousandth of its size.
    let zeros = vec![0; 32 << 20];
    let bomb = archive(&[Item::deflated("bomb.map", &zeros)]);
    assert!(bomb.len() < 64 << 10);
    let entry = all(&bomb).unwrap()["bomb.map"];
    assert!(matches!(entry.read(&bomb, u64::MAX), Err(ZipError::TooLarge)));
    // One that says it is small.
    let liar = archive(&[Item { bytes: Some(10), ..Item::deflated("bomb.map", &zeros) }]);
    let entry = all(&liar).unwrap()["bomb.map"];
    let mut given = 0;
    let result = entry.unpack(&liar, u64::MAX, &mut |piece| {
        given += piece.len();
        Ok(())
    });
    assert!(matches!(result, Err(ZipError::Damaged)) && given <= CHUNK_BYTES);
    // An honest one that is more than the caller grants.
    let large = archive(&[Item::new("large.map", &[7; 1000])]);
    let entry = all(&large).unwrap()["large.map"];
    assert!(matches!(entry.read(&large, 999), Err(ZipError::TooLarge)));
    assert_eq!(entry.read(&large, 1000).unwrap().len(), 1000);
}

#[test]
fn a_million_files_are_refused_before_they_are_looked_at() {
    struct Counting(Vec<u8>, std::cell::Cell<usize>);
    impl Medium for Counting {
        fn bytes(&self) -> io::Result<u64> {
            self.0.bytes()
        }
        fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.set(self.1.get() + out.len());
            self.0.read_exact_at(out, offset)
        }
    }
    let million = Counting(archive_of_a_million(), Default::default());
    assert!(million.0.len() > 50 << 20);
    assert!(matches!(entries(&million, &|_| true), Err(ZipError::TooManyEntries)));
    assert!(million.1.get() < 128 << 10, "{} bytes were read", million.1.get());
    // With as many as an old record can tell, a list that is too long all the same.
    let mut liar = million.0;
    let end = liar.len() - 22;
    liar.splice(end + 8..end + 12, [1, 0, 1, 0]);
    liar.splice(end + 12..end + 16, (DIRECTORY_BYTES_MAX as u32 + 1).to_le_bytes());
    liar.splice(end + 16..end + 20, [0; 4]);
    assert!(matches!(entries(&liar, &|_| true), Err(ZipError::TooManyEntries)));
}

#[test]
fn archives_that_lie_about_their_list() {
    let items = [Item::new("a", b"1"), Item::new("b", b"2")];
    assert_eq!(all(&archive_saying(&items, 1)).unwrap().len(), 1);
    assert!(matches!(all(&archive_saying(&items, 3)), Err(ZipError::NotAnArchive)));
    for bytes in [&b""[..], b"PK", b"PK\x05\x06", b"not a zip", &[0; 100]] {
        assert!(matches!(all(&bytes.to_vec()), Err(ZipError::NotAnArchive)));
    }
}

#[test]
fn files_that_lie_about_themselves() {
    let damaged = |item: Item| {
        let whole = archive(std::slice::from_ref(&item));
        all(&whole).unwrap()[&*item.name].read(&whole, 1 << 20)
    };
    assert!(matches!(damaged(Item { crc: Some(1), ..Item::new("a", b"12") }), Err(ZipError::Damaged)));
    assert!(matches!(damaged(Item { bytes: Some(3), ..Item::new("a", b"12") }), Err(ZipError::Damaged)));
    assert!(matches!(damaged(Item { bytes: Some(1), ..Item::deflated("a", b"12") }), Err(ZipError::Damaged)));
}

#[test]
fn whatever_is_done_to_an_archive_nothing_breaks() {
    let items = [
        Item::deflated("dir/a.map", &b"some text ".repeat(50)),
        Item::new("b.map", b"{}"),
        Item::new("../c", b"3"),
    ];
    let good = archive(&items);
    for cut in 0..good.len() {
        let part = good[..cut].to_vec();
        assert!(all(&part).is_err(), "cut at {cut}");
    }
    let mut seed = 11u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len();
            bytes[at] = if next() % 2 == 0 { next() as u8 } else { 0xff };
        }
        let Ok(found) = all(&bytes) else { continue };
        for entry in found.values() {
            if let Ok(content) = entry.read(&bytes, 1 << 16) {
                assert_eq!(content.len() as u64, entry.bytes);
            }
        }
    }
}
