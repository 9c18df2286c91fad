//! How clients come in, with the real binary: TLS and its rotation, a socket in the file system, proxies that speak for
//! others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{Gateway, PATIENCE, scratch};

/// A certificate that is its own authority, and its key, put where the gateway looks.
fn issue(dir: &Path) -> CertificateDer<'static> {
    let issued = rcgen::generate_simple_self_signed(vec!["gateway.test".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.key"), issued.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), issued.cert.pem()).unwrap();
    issued.cert.der().clone()
}

fn ask(stream: &mut (impl Read + Write), request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    // Every request here says that it is the last.
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
}

/// A request to whoever shows this certificate.
fn secured(address: SocketAddr, trusted: &CertificateDer<'static>, request: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("gateway.test").unwrap();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(&mut StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream), request)
}

/// G10: certificates are renewed on disk, one file after the other.
#[test]
fn g10_a_certificate_is_renewed_while_the_gateway_runs() {
    let dir = scratch();
    let old = issue(dir.path());
    let tables = format!(
        "[http_api]\nlisten = \"127.0.0.1:0\"\n[http_api.tls]\ncert = {:?}\nprivkey = {:?}\n",
        dir.path().join("tls.crt"),
        dir.path().join("tls.key")
    );
    let mut gateway = Gateway::start("", &tables);
    let address = gateway.address();
    assert!(secured(address, &old, &get("/v1/ping")).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    let write =
        "POST /v1/write/metric HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 6\r\n\r\nm f=1i";
    assert!(secured(address, &old, write).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    let mut plain = TcpStream::connect(address).unwrap();
    assert!(!ask(&mut plain, &get("/v1/ping")).unwrap_or_default().contains("200 OK"));

    // A key without its certificate: the old pair stays.
    let fresh = rcgen::generate_simple_self_signed(vec!["gateway.test".to_owned()]).unwrap();
    std::fs::write(dir.path().join("tls.key"), fresh.signing_key.serialize_pem()).unwrap();
    gateway.await_line("is no good; the old one stays");
    assert!(secured(address, &old, &get("/v1/ping")).is_ok());
    std::fs::write(dir.path().join("tls.crt"), fresh.cert.pem()).unwrap();
    gateway.await_line("the certificate has been read again");
    let fresh = fresh.cert.der().clone();
    assert!(secured(address, &fresh, &get("/v1/ping")).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(secured(address, &old, &get("/v1/ping")).is_err());

    // What is no pair is no configuration either: fail, and do not fall back to plain text.
    std::fs::remove_file(dir.path().join("tls.key")).unwrap();
    let (code, text) = gateway.tool(&["reload"]);
    assert!(code != 0 && text.contains("tls.key"), "{text}");
    assert!(secured(address, &fresh, &get("/v1/ping")).is_ok());
}

#[test]
fn a_socket_in_the_file_system_is_served_as_this_machine() {
    let dir = scratch();
    let socket = dir.path().join("run/kitgate.sock");
    let tables = format!("[http_api]\nlisten = \"127.0.0.1:0\"\nlisten_socket = {socket:?}\n");
    let mut gateway = Gateway::start("shards = 2", &tables);
    for _ in 0..20 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // For this machine alone.
        assert!(ask(&mut stream, &get("/v1/global/host/tags")).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    }
    // A reload may take it away, and a restart finds its file in the way.
    gateway.stop();
    assert!(UnixStream::connect(&socket).is_err() && socket.exists());
    gateway.run();
    assert!(ask(&mut UnixStream::connect(&socket).unwrap(), &get("/v1/ping")).unwrap().contains("200 OK"));
    gateway.edit(|text| text.replace("listen_socket", "# listen_socket"));
    let (code, text) = gateway.tool(&["reload"]);
    assert_eq!(code, 0, "{text}");
    let deadline = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).is_ok() {
        assert!(Instant::now() < deadline, "it is still served");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// J1, J3: who comes through a proxy is whom the proxy names, and never this machine.
#[test]
fn j3_what_is_for_this_machine_is_not_for_whom_a_proxy_names() {
    let tables =
        "[http_api]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true\n";
    let gateway = Gateway::start("", tables);
    let through = |header: &str, request: &str| {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(&mut stream, &format!("{header}{request}")).unwrap_or_default()
    };
    let tags = get("/v1/global/host/tags");
    assert!(through("", &tags).starts_with("HTTP/1.1 200"));
    for source in ["192.0.2.7", "127.0.0.1"] {
        let header = format!("PROXY TCP4 {source} 198.51.100.1 56324 80\r\n");
        assert!(through(&header, &tags).starts_with("HTTP/1.1 403"), "{source}");
        assert!(through(&header, &get("/v1/ping")).starts_with("HTTP/1.1 200"), "{source}");
    }
    assert!(through("PROXY UNKNOWN\r\n", &tags).starts_with("HTTP/1.1 200"));
    // The name of the client that points get is the one that the proxy gives.
    let rum = "POST /v1/write/rum?echo=lp HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 19\r\n\r\nview,app_id=a f=1i ";
    let answer = through("PROXY TCP4 192.0.2.7 198.51.100.1 56324 80\r\n", rum);
    assert!(answer.contains("ip=192.0.2.7"), "{answer}");
    assert!(through("PROXY TCP4 x\r\n", &tags).is_empty());
}
