//! Requests, built once: head and body behind one another, so that sending is one system call.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::options::{Encoding, Options};
use crate::shared::{Outcome, corpus};

/// One request as it goes over the wire.
pub struct Request {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Points in the body.
    pub points: u32,
}

/// Builds every request of a run.
pub fn build(options: &Options) -> Outcome<Vec<Request>> {
    options.check()?;
    let count_max = if options.bodies == 0 { usize::MAX } else { options.bodies };
    let bodies = corpus::bodies(options.corpus, options.format, options.body_bytes, count_max);
    if bodies.is_empty() {
        return Err("the corpus is smaller than one body".into());
    }
    bodies
        .into_iter()
        .map(|body| {
            let content = match options.encoding {
                Encoding::Identity => body.bytes,
                Encoding::Gzip => {
                    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                    gzip.write_all(&body.bytes)?;
                    gzip.finish()?
                }
            };
            let mut bytes = Vec::with_capacity(content.len() + 512);
            write!(bytes, "POST {} HTTP/1.1\r\nHost: {}\r\n", options.target, options.address)?;
            if options.encoding == Encoding::Gzip {
                bytes.extend_from_slice(b"Content-Encoding: gzip\r\n");
            }
            if let Some(content_type) = options.format.content_type() {
                write!(bytes, "Content-Type: {content_type}\r\n")?;
            }
            for header in &options.headers {
                write!(bytes, "{header}\r\n")?;
            }
            write!(bytes, "Content-Length: {}\r\n\r\n", content.len())?;
            bytes.extend_from_slice(&content);
            Ok(Request { bytes, points: body.points })
        })
        .collect()
}
