//! How connections begin: TLS, the word of a proxy, both, and neither of what was agreed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::tests::with_entrance;
use super::tls::server_config;

/// An authority, and certificates that it has signed.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn client(authority: &Authority, own: Option<&(String, String)>) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn secured(stream: TcpStream, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("gateway.test").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

/// Sends a request on an open connection; the answer's status line and body.
fn ask(stream: &mut (impl Read + Write), path: &str, body: &[u8]) -> std::io::Result<String> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Ok(format!("{} {body}", head.lines().next().unwrap_or_default()));
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part)? {
            0 => return Ok(format!("ended: {text}")),
            read => answer.extend_from_slice(&part[..read]),
        }
    }
}

fn here() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().unwrap()]
}

#[test]
fn requests_over_tls_are_requests() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("gateway.test");
    let tls = server_config(certificate.as_bytes(), key.as_bytes(), None).unwrap();
    let config = client(&authority, None);
    with_entrance(10, Vec::new(), Some(tls), move |address| {
        let mut stream = secured(connect(address), &config);
        assert_eq!(ask(&mut stream, "/now", b"hello").unwrap(), "HTTP/1.1 200 OK /now 5");
        // The connection stays, bodies of many records come whole, and answers wait where they must.
        let big = vec![b'x'; 900_000];
        assert_eq!(ask(&mut stream, "/now", &big).unwrap(), "HTTP/1.1 200 OK /now 900000");
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(ask(&mut stream, "/now", b"").unwrap(), "HTTP/1.1 200 OK /now 0");
        // Requests in one record.
        let one = |body: &str| {
            format!("POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        stream.write_all((one("a") + &one("bc")).as_bytes()).unwrap();
        stream.flush().unwrap();
        // However many reads their answers take.
        let mut answers = String::new();
        while answers.matches("200 OK").count() < 2 || !answers.ends_with("/now 2") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "{answers}");
            answers.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
        // Somebody who speaks plainly is told nothing, and does no harm.
        let begun = Instant::now();
        assert!(ask(&mut connect(address), "/now", b"x").is_ok_and(|text| !text.contains("200 OK")));
        // And one who says nothing is not waited for.
        let mut silent = connect(address);
        assert!(silent.read(&mut [0; 1]).is_ok_and(|read| read == 0));
        assert!(begun.elapsed() < Duration::from_secs(8));
        let mut stream = secured(connect(address), &config);
        assert_eq!(ask(&mut stream, "/now", b"hello").unwrap(), "HTTP/1.1 200 OK /now 5");
    });
}

#[test]
fn a_client_without_the_certificate_that_is_asked_for_gets_nothing() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("gateway.test");
    let tls = server_config(certificate.as_bytes(), key.as_bytes(), Some(authority.pem.as_bytes())).unwrap();
    let (bare, stranger) = (client(&authority, None), Authority::new());
    let known = client(&authority, Some(&authority.sign("agent")));
    let unknown = client(&authority, Some(&stranger.sign("agent")));
    with_entrance(10, Vec::new(), Some(tls), move |address| {
        for config in [&bare, &unknown] {
            let answer = ask(&mut secured(connect(address), config), "/now", b"x");
            assert!(answer.as_ref().is_err() || answer.is_ok_and(|text| text.starts_with("ended")));
        }
        let answer = ask(&mut secured(connect(address), &known), "/now", b"x");
        assert_eq!(answer.unwrap(), "HTTP/1.1 200 OK /now 1");
    });
}

#[test]
fn half_a_pair_is_refused() {
    let authority = Authority::new();
    let ((certificate, key), (_, other)) = (authority.sign("a"), authority.sign("b"));
    assert!(server_config(certificate.as_bytes(), key.as_bytes(), None).is_ok());
    let wrong = |certificate: &str, key: &str, ca: Option<&str>| {
        let config = server_config(certificate.as_bytes(), key.as_bytes(), ca.map(str::as_bytes));
        config.expect_err("it is no good")
    };
    assert!(wrong(&certificate, &other, None).starts_with("tls.cert: "));
    assert!(wrong("", &key, None).starts_with("tls.cert: "));
    assert!(wrong(&certificate[..certificate.len() / 2], &key, None).starts_with("tls.cert: "));
    assert!(wrong(&certificate, "", None).starts_with("tls.privkey: "));
    assert!(wrong(&certificate, &key, Some("")).starts_with("tls.client_ca: "));
}

#[test]
fn a_proxy_speaks_first() {
    with_entrance(10, here(), None, |address| {
        let mut stream = connect(address);
        // In two pieces, the second with the beginning of the request.
        stream.write_all(b"PROXY TCP4 192.0.2.7 198.51.").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"100.1 56324 443\r\nPOST /now HTTP/1.1\r\nHo").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"st: h\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!(ask(&mut stream, "/now", b"").unwrap().split(' ').nth(1), Some("200"));
        // Its own checks come without a header.
        assert_eq!(ask(&mut connect(address), "/now", b"ab").unwrap(), "HTTP/1.1 200 OK /now 2");
        // Nonsense ends the connection.
        let mut stream = connect(address);
        stream.write_all(b"PROXY TCP4 nobody 198.51.100.1 1 2\r\n").unwrap();
        assert!(ask(&mut stream, "/now", b"").map_or(true, |text| text.starts_with("ended")));
        // And one who goes on for ever, or stops in the middle, is not waited for.
        for beginning in [b"PROXY TCP4".to_vec(), [b"PROXY ".to_vec(), vec![b'x'; 9000]].concat()] {
            let mut stream = connect(address);
            let _ = stream.write_all(&beginning);
            assert!(!matches!(stream.read(&mut [0; 1]), Ok(1)));
        }
    });
}

#[test]
fn a_proxy_speaks_before_the_handshake() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("gateway.test");
    let tls = server_config(certificate.as_bytes(), key.as_bytes(), None).unwrap();
    let config = client(&authority, None);
    with_entrance(10, here(), Some(tls), move |address| {
        let mut stream = connect(address);
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 187]);
        stream.write_all(&header).unwrap();
        assert_eq!(ask(&mut secured(stream, &config), "/now", b"abc").unwrap(), "HTTP/1.1 200 OK /now 3");
    });
}

#[test]
fn nobody_else_speaks_for_others() {
    with_entrance(10, vec!["192.0.2.0/24".parse().unwrap()], None, |address| {
        let mut stream = connect(address);
        stream.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n").unwrap();
        assert!(ask(&mut stream, "/now", b"").unwrap().contains("400"));
    });
}
