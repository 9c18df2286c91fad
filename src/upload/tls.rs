//! TLS towards destinations: rustls over the shard's stream.
//!
//! rustls does no I/O of its own: plain bytes go into the session and records come out, and the other way round. Receiving
//! never sends here. The few records that reading may call for (an answer to a key update) wait for the next request,
//! so that records leave in order however sending and receiving are interleaved.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::rt::net::Stream;

/// Plain bytes that are encrypted before records are sent: some records of 16 KiB.
const SEND_BYTES: usize = 64 << 10;

/// Bytes received at a time: a record of the largest size and its header.
const RECV_BYTES: usize = 17 << 10;

/// The certificates that are trusted: the machine's own, or Mozilla's where it has none. Blocks: reads files.
pub fn trusted_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a trusted certificate of this machine cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        tracing::info!(ignored, "this machine has no trusted certificates: the built-in ones are used");
    }
    roots
}

/// The client side for every destination: HTTP/1.1, TLS 1.2 and 1.3.
pub fn client_config(roots: RootCertStore, insecure: bool) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            .with_no_client_auth()
    } else {
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// `tls_insecure = true`: who answers is not asked. Signatures are still checked, so that the session is with whoever
/// showed the certificate.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection with a TLS session on it.
pub struct TlsStream {
    stream: Stream,
    session: RefCell<ClientConnection>,
}

impl TlsStream {
    /// Shakes hands with `host`.
    pub async fn connect(stream: Stream, config: &Arc<ClientConfig>, host: &str) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let tls = TlsStream { stream, session: RefCell::new(session) };
        loop {
            tls.flush().await?;
            if !tls.session.borrow().is_handshaking() {
                return Ok(tls);
            }
            if !tls.receive_records().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(SEND_BYTES));
            self.session.borrow_mut().writer().write_all(now)?;
            self.flush().await?;
            bytes = rest;
        }
        Ok(())
    }

    /// Receives what there is; 0 when the peer has ended the session properly.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.borrow_mut().reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
            if !self.receive_records().await? {
                // Without a close notice the answer may have been cut by someone in between.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether there is nothing to read, as it should be between two requests.
    pub fn is_quiet(&self) -> bool {
        // Session tickets arrive late: whatever has come is taken in; only plain bytes and ends are a disturbance.
        let mut buf = [0; 4096];
        let mut session = self.session.borrow_mut();
        loop {
            match self.stream.try_recv(&mut buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => return false,
                Ok(received) => {
                    if take_in(&mut session, &buf[..received]).is_err() {
                        return false;
                    }
                }
            }
        }
        let received = session.reader().read(&mut buf);
        matches!(received, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends the records that are ready.
    async fn flush(&self) -> io::Result<()> {
        let mut records = Vec::new();
        {
            let mut session = self.session.borrow_mut();
            while session.wants_write() {
                session.write_tls(&mut records)?;
            }
        }
        self.stream.send_all(&records).await
    }

    /// Receives some records into the session; false at the end of the connection.
    async fn receive_records(&self) -> io::Result<bool> {
        let mut buf = vec![0; RECV_BYTES];
        let received = self.stream.recv(&mut buf).await?;
        if received == 0 {
            return Ok(false);
        }
        take_in(&mut self.session.borrow_mut(), &buf[..received])?;
        Ok(true)
    }
}

fn take_in(session: &mut ClientConnection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        session.read_tls(&mut bytes)?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}
