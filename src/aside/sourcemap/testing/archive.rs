//! Archives, honest and otherwise; and forms and maps to put into them.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// One file of an archive, with everything that can be a lie.
#[derive(Clone)]
pub struct Item {
    pub name: String,
    pub content: Vec<u8>,
    pub deflated: bool,
    /// What Unix says of it.
    pub mode: u32,
    pub flags: u16,
    /// In place of the true ones.
    pub bytes: Option<u32>,
    pub crc: Option<u32>,
}

impl Item {
    pub fn new(name: &str, content: &[u8]) -> Item {
        Item {
            name: name.to_owned(),
            content: content.to_vec(),
            deflated: false,
            mode: 0o100_644,
            flags: 0,
            bytes: None,
            crc: None,
        }
    }

    pub fn deflated(name: &str, content: &[u8]) -> Item {
        Item { deflated: true, ..Item::new(name, content) }
    }
}

/// An archive of these files.
pub fn archive(items: &[Item]) -> Vec<u8> {
    archive_saying(items, items.len() as u16)
}

/// An archive that says it has so many files.
pub fn archive_saying(items: &[Item], entries: u16) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for item in items {
        let offset = out.len() as u32;
        let packed = match item.deflated {
            false => item.content.clone(),
            true => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&item.content).unwrap();
                encoder.finish().unwrap()
            }
        };
        let mut crc = flate2::Crc::new();
        crc.update(&item.content);
        let mut common = Vec::new();
        common.extend_from_slice(&item.flags.to_le_bytes());
        common.extend_from_slice(&(if item.deflated { 8u16 } else { 0 }).to_le_bytes());
        common.extend_from_slice(&[0; 4]);
        common.extend_from_slice(&item.crc.unwrap_or_else(|| crc.sum()).to_le_bytes());
        common.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        common.extend_from_slice(&item.bytes.unwrap_or(item.content.len() as u32).to_le_bytes());
        common.extend_from_slice(&(item.name.len() as u16).to_le_bytes());
        common.extend_from_slice(&[0; 2]);
        out.extend_from_slice(b"PK\x03\x04\x14\x00");
        out.extend_from_slice(&common);
        out.extend_from_slice(item.name.as_bytes());
        out.extend_from_slice(&packed);
        list.extend_from_slice(b"PK\x01\x02\x14\x03\x14\x00");
        list.extend_from_slice(&common);
        list.extend_from_slice(&[0; 6]);
        list.extend_from_slice(&(item.mode << 16).to_le_bytes());
        list.extend_from_slice(&offset.to_le_bytes());
        list.extend_from_slice(item.name.as_bytes());
    }
    let offset = out.len() as u32;
    out.extend_from_slice(&list);
    out.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend_from_slice(&entries.to_le_bytes());
    out.extend_from_slice(&entries.to_le_bytes());
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

/// An archive of a million files of nothing, with the record that tells so large a number.
pub fn archive_of_a_million() -> Vec<u8> {
    let mut list = Vec::new();
    let entries = 1_000_000u64;
    for index in 0..entries {
        let name = format!("{index:07}.map");
        list.extend_from_slice(b"PK\x01\x02\x14\x03\x14\x00");
        list.extend_from_slice(&[0; 20]);
        list.extend_from_slice(&(name.len() as u16).to_le_bytes());
        list.extend_from_slice(&[0; 16]);
        list.extend_from_slice(name.as_bytes());
    }
    let bytes = list.len() as u64;
    let mut out = list;
    out.extend_from_slice(b"PK\x06\x06");
    out.extend_from_slice(&44u64.to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    for number in [entries, entries, bytes, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(b"PK\x06\x07\x00\x00\x00\x00");
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff");
    out.extend_from_slice(&[0xff; 8]);
    out.extend_from_slice(&[0; 2]);
    out
}

/// A multipart form of one file.
pub fn form(boundary: &str, name: &str, file: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.zip\"\r\n\
         Content-Type: application/zip\r\n\r\n"
    );
    [head.as_bytes(), file, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}

/// A map of column 4 of row 1 to line 3, column 1 of a source.
pub fn map_to(source: &str) -> Vec<u8> {
    format!(r#"{{"version":3,"sources":["{source}"],"mappings":"AACA,IACC;"}}"#).into_bytes()
}
