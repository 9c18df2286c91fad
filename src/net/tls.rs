//! TLS towards clients: rustls over the shard's stream.
//!
//! rustls does no I/O of its own: records go in and plain bytes come out, and the other way round. Receiving waits only for
//! what the client sends: the few records that it calls for (an answer to a key update) go out at once as far as they can,
//! and else before the next answer.

use std::cell::RefCell;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, ServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, version};

use crate::rt::net::Stream;

/// Plain bytes that are encrypted before records are sent: some records of 16 KiB.
const SEND_BYTES: usize = 64 << 10;

/// Bytes received at a time: a record of the largest size and its header.
const RECV_BYTES: usize = 17 << 10;

/// What clients see: a certificate with its chain and its key, each in PEM. With `client_ca`, clients have to show a
/// certificate of one of those authorities. The error is for people.
pub fn server_config(
    chain: &[u8],
    key: &[u8],
    client_ca: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(chain).map_err(|error| format!("tls.cert: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("tls.privkey: {error}"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem).map_err(|error| format!("tls.client_ca: {error}"))? {
                roots.add(certificate).map_err(|error| format!("tls.client_ca: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| format!("tls.client_ca: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    // A key of another certificate, as in the middle of a rotation, is refused here.
    let mut config = builder.with_single_cert(chain, key).map_err(|error| format!("tls.cert: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in it".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

/// A connection with a session on it.
pub struct Session {
    stream: Stream,
    tls: RefCell<ServerConnection>,
    /// Records that the socket did not take yet.
    unsent: RefCell<Vec<u8>>,
}

impl Session {
    /// Shakes hands, within the deadline of the stream. `early` has been received already.
    pub async fn accept(stream: Stream, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<Session> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        let session = Session { stream, tls: RefCell::new(tls), unsent: RefCell::default() };
        let taken = take_in(&mut session.tls.borrow_mut(), early);
        // Before an end by a fault too: its alert says to the client what is wrong.
        session.flush().await?;
        taken?;
        while session.tls.borrow().is_handshaking() {
            session.stream.readable().await?;
            let taken = session.receive_records();
            session.flush().await?;
            match taken {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(session)
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Resolves when a receive would not block.
    pub async fn readable(&self) -> io::Result<()> {
        if self.has_plain() {
            return Ok(());
        }
        self.stream.readable().await
    }

    fn has_plain(&self) -> bool {
        let mut tls = self.tls.borrow_mut();
        let looked = tls.reader().fill_buf().map(|_| ());
        !matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Receives without waiting; `WouldBlock` when there is nothing, 0 at the end.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.borrow_mut().reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without a word of farewell: what has come of a request is incomplete by its own framing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                received => return received,
            }
            let received = self.receive_records();
            self.send_now();
            if received? == 0 {
                return Ok(0);
            }
        }
    }

    /// Receives what there is; 0 at the end.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.try_recv(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.readable().await?,
                received => return received,
            }
        }
    }

    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(SEND_BYTES));
            self.tls.borrow_mut().writer().write_all(now)?;
            self.flush().await?;
            bytes = rest;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.tls.borrow_mut().send_close_notify();
        self.send_now();
        self.stream.shutdown_write()
    }

    /// Takes what has come into the session; how many bytes that was.
    fn receive_records(&self) -> io::Result<usize> {
        let mut records = [0; RECV_BYTES];
        let received = self.stream.try_recv(&mut records)?;
        let mut tls = self.tls.borrow_mut();
        take_in(&mut tls, &records[..received])?;
        Ok(received)
    }

    /// The records that are ready, behind those that were before.
    fn records(&self) -> io::Result<Vec<u8>> {
        let mut records = self.unsent.take();
        let mut tls = self.tls.borrow_mut();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        Ok(records)
    }

    async fn flush(&self) -> io::Result<()> {
        let records = self.records()?;
        self.stream.send_all(&records).await
    }

    /// Sends what is ready as far as the socket takes it; the rest goes first the next time.
    fn send_now(&self) {
        let Ok(records) = self.records() else { return };
        let sent = if records.is_empty() { Ok(0) } else { self.stream.try_send(&records) };
        if let Some(rest) = records.get(sent.unwrap_or(0)..) {
            self.unsent.borrow_mut().extend_from_slice(rest);
        }
    }
}

fn take_in(tls: &mut ServerConnection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}
