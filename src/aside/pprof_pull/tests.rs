//! Go programs of all sorts, on sockets of this machine: ones that answer as recorded, and ones that do not.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use memchr::memmem;

use super::*;
use crate::codec::pprof::Profile;
use crate::codec::pprof::tests::{later, recorded};
use crate::config::GO_PROFILES;
use crate::config::secret::Endpoint;

const SECOND: i64 = 1_000_000_000;

fn target(port: u16, types: &[&'static str]) -> GoPull {
    GoPull {
        name: "shop".to_owned(),
        url: Endpoint::parse(&format!("http://127.0.0.1:{port}/ignored")).unwrap(),
        interval: Duration::from_millis(5),
        service: "shop".to_owned(),
        env: "prod".to_owned(),
        version: "1.2".to_owned(),
        enabled_types: types.to_vec(),
        tls_open: false,
        tls_ca: None,
        tls_cert: None,
        insecure_skip_verify: false,
        tags: vec![("team".to_owned(), "core".to_owned()), ("zone".to_owned(), "a:b".to_owned())],
    }
}

fn packed(profile: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(profile).unwrap();
    gzip.finish().unwrap()
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(body).read_to_end(&mut out).unwrap();
    out
}

/// The parts of a form: name, file name and content.
fn parts_of(pulled: &Pulled) -> Vec<(String, String, Vec<u8>)> {
    let boundary = pulled.content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let delimiter = format!("--{boundary}");
    let at: Vec<usize> = memmem::find_iter(&pulled.body, delimiter.as_bytes()).collect();
    assert!(pulled.body.ends_with(format!("\r\n{delimiter}--\r\n").as_bytes()) && at[0] == 0);
    let parts = at.windows(2).map(|pair| {
        let part = &pulled.body[pair[0] + delimiter.len() + 2..pair[1] - 2];
        let end = memmem::find(part, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..end]).unwrap();
        let value = |key: &str| head.split(&format!("; {key}=\"")).nth(1).unwrap().split('"').next().unwrap();
        (value("name").to_owned(), value("filename").to_owned(), part[end + 4..].to_vec())
    });
    parts.collect()
}

fn event_of(pulled: &Pulled) -> String {
    let parts = parts_of(pulled);
    let (name, file, event) = parts.last().unwrap();
    assert_eq!((name.as_str(), file.as_str()), ("event", "event.json"));
    String::from_utf8(event.clone()).unwrap()
}

fn part(word: &'static str) -> &'static Part {
    parts(&target(1, &[word]))[0]
}

#[test]
fn what_adds_up_is_sent_as_a_difference_and_together() {
    let (mut bases, mut pieces) = (Bases::default(), Vec::new());
    for (word, path) in [("heap", "/debug/pprof/heap"), ("block", "/debug/pprof/block")] {
        let first = recorded(path).swap_remove(0);
        assert!(bases.piece(part(word), packed(&first), 1, 2).unwrap().is_none());
        pieces.push(bases.piece(part(word), packed(&later(&first)), 3, 4).unwrap().unwrap());
    }
    let pulled = form(&target(1, &GO_PROFILES), &pieces, "xyz", "9.9");
    let parts = parts_of(&pulled);
    let names: Vec<&str> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["delta-heap.pprof", "delta-block.pprof", "event"]);
    assert!(parts[..2].iter().all(|(name, file, _)| name == file));
    let heap = recorded("/debug/pprof/heap").swap_remove(0);
    let (heap, heap_later) = (Profile::read(&heap).unwrap(), later(&heap));
    let heap_later = Profile::read(&heap_later).unwrap();
    let delta = unpacked(&parts[0].2);
    let delta = Profile::read(&delta).unwrap();
    assert_eq!(
        delta.sum("alloc_space").unwrap(),
        heap_later.sum("alloc_space").unwrap() - heap.sum("alloc_space").unwrap()
    );
    assert_eq!(delta.sum("inuse_space"), heap_later.sum("inuse_space"));
    assert_eq!(delta.duration_nanos, 10 * SECOND);
    let (start, end) = (heap.time_nanos, heap_later.time_nanos);
    let time = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).unwrap();
    let expected = [
        r#"{"format":"pprof","profiler":"pprof","attachments":["delta-heap.pprof","delta-block.pprof"],"#,
        r#""language":"golang","tags_profiler":"service:shop,version:1.2,env:prod,team:core,zone:a:b","#,
        r#""sub_custom_tags":"team:core,zone:a:b","#,
        &format!(r#""start":"{}","end":"{}"}}"#, time(start), time(end)),
    ];
    let expected = expected.concat();
    assert_eq!(event_of(&pulled), expected);
    let headers = [("X-Datakit-Version", "9.9".to_owned()), ("X-Datakit-UnixNano", start.to_string())];
    assert_eq!(pulled.headers, headers.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn what_stands_alone_is_sent_as_it_came() {
    let cpu = packed(&recorded("/debug/pprof/profile?seconds=10")[0]);
    let start = 1_763_766_000_123_456_000;
    let piece = Bases::default().piece(part("cpu"), cpu.clone(), start, start + 10 * SECOND);
    let mut target = target(1, &["cpu"]);
    target.tags.clear();
    target.env.clear();
    let pulled = form(&target, &[piece.unwrap().unwrap()], "b", "1");
    let head = "--b\r\nContent-Disposition: form-data; name=\"cpu.pprof\"; filename=\"cpu.pprof\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    assert!(pulled.body.starts_with(&[head.as_bytes(), &cpu, b"\r\n--b\r\n"].concat()));
    let expected = r#"{"format":"pprof","profiler":"pprof","attachments":["cpu.pprof"],"language":"golang","tags_profiler":"service:shop,version:1.2","start":"2025-11-21T23:00:00.123456Z","end":"2025-11-21T23:00:10.123456Z"}"#;
    assert_eq!(event_of(&pulled), expected);
}

#[test]
fn a_difference_that_was_not_taken_is_in_the_next_one() {
    let one = recorded("/debug/pprof/heap").swap_remove(0);
    let (two, three) = (later(&one), later(&later(&one)));
    let grown = |a: &[u8], b: &[u8]| {
        let sum = |bytes: &[u8]| Profile::read(bytes).unwrap().sum("alloc_objects").unwrap();
        sum(b) - sum(a)
    };
    let in_form = |piece: Piece| {
        let profile = unpacked(&parts_of(&form(&target(1, &["heap"]), &[piece], "b", "1"))[0].2);
        Profile::read(&profile).unwrap().sum("alloc_objects").unwrap()
    };
    for taken in [false, true] {
        let mut bases = Bases::default();
        assert!(bases.piece(part("heap"), packed(&one), 0, 0).unwrap().is_none());
        let second = bases.piece(part("heap"), packed(&two), 0, 0).unwrap().unwrap();
        if taken {
            bases.taken(vec![second]);
        }
        let third = bases.piece(part("heap"), packed(&three), 0, 0).unwrap().unwrap();
        assert_eq!(in_form(third), grown(if taken { &two } else { &one }, &three));
    }
}

#[test]
fn a_program_that_begins_anew_is_compared_from_then_on() {
    let one = recorded("/debug/pprof/heap").swap_remove(0);
    let two = later(&one);
    let mut bases = Bases::default();
    assert!(bases.piece(part("heap"), packed(&two), 0, 0).unwrap().is_none());
    let trouble = bases.piece(part("heap"), packed(&one), 0, 0).unwrap_err();
    assert_eq!(trouble.cause, Cause::Restarted);
    assert!(bases.piece(part("heap"), packed(&two), 0, 0).unwrap().is_some());
    // Something else than a heap: neither compared nor kept.
    let cpu = packed(&recorded("/debug/pprof/profile?seconds=10")[0]);
    assert_eq!(bases.piece(part("heap"), cpu, 0, 0).unwrap_err().cause, Cause::NoProfile);
    for page in [&b"<html>It works!</html>"[..], b"", &packed(b"<html>"), &packed(&one)[..200]] {
        for word in ["cpu", "heap"] {
            let trouble = bases.piece(part(word), page.to_vec(), 0, 0).unwrap_err();
            assert_eq!(trouble.cause, Cause::NoProfile, "{word}: {page:?}");
        }
    }
}

/// A program that answers each question with what `answer` writes; how often it was asked, and for what.
fn program(answer: impl Fn(&str, usize, &mut TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (answer, asked) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer, asked) = (stream.unwrap(), answer.clone(), asked.clone());
            std::thread::spawn(move || {
                let (mut request, mut piece) = (Vec::new(), [0; 1024]);
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
                        _ => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap();
                answer(path, asked.fetch_add(1, Ordering::SeqCst), &mut stream);
            });
        }
    });
    port
}

/// Answers, and closes.
fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

type Forms = Arc<Mutex<Vec<Pulled>>>;

fn options(answer_timeout: Duration) -> (PullOptions, Arc<PullStats>) {
    let stats = Arc::new(PullStats::default());
    let options = PullOptions {
        version: "1.0".to_owned(),
        body_bytes_max: 1 << 20,
        answer_timeout,
        stats: stats.clone(),
    };
    (options, stats)
}

/// Asks a program until `enough` is.
fn until(
    target: GoPull,
    answer_timeout: Duration,
    room: bool,
    enough: impl Fn(&Forms, [u64; 4]) -> bool,
) -> (Vec<Pulled>, [u64; 4]) {
    let (options, stats) = options(answer_timeout);
    let forms: Forms = Arc::default();
    let into = forms.clone();
    let hand_in = Box::new(move |pulled| {
        into.lock().unwrap().push(pulled);
        room
    });
    let puller = start(target, options, hand_in).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !enough(&forms, stats.read()) {
        assert!(Instant::now() < deadline, "{:?}", stats.read());
        std::thread::sleep(Duration::from_millis(2));
    }
    stop(vec![puller]);
    let forms = forms.lock().unwrap().clone();
    (forms, stats.read())
}

const PATIENT: Duration = Duration::from_secs(30);

/// What Go answered when it was recorded; each time the same, a little later.
fn as_recorded(path: &str, asked: usize, stream: &mut TcpStream) {
    let Some(mut profile) = recorded(path).pop() else {
        return respond(stream, "404 Not Found", b"Unknown profile\n");
    };
    for _ in 0..asked {
        profile = later(&profile);
    }
    respond(stream, "200 OK", &packed(&profile));
}

#[test]
fn all_kinds_are_asked_for_and_come_as_forms() {
    let port = program(as_recorded);
    let (forms, stats) =
        until(target(port, &GO_PROFILES), PATIENT, true, |forms, _| forms.lock().unwrap().len() >= 5);
    let names = |form: &Pulled| -> Vec<String> {
        parts_of(form).into_iter().map(|(name, ..)| name).filter(|name| name != "event").collect()
    };
    let expected = [
        vec!["cpu.pprof"],
        vec!["goroutines.pprof"],
        // The first of the others is only kept.
        vec!["cpu.pprof"],
        vec!["goroutines.pprof"],
        vec!["delta-heap.pprof", "delta-mutex.pprof", "delta-block.pprof"],
    ];
    for (form, expected) in forms.iter().zip(expected) {
        assert_eq!(names(form), expected);
        let event: serde_json::Value = serde_json::from_str(&event_of(form)).unwrap();
        assert_eq!(event["attachments"], serde_json::json!(expected));
        let time = |key: &str| event[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(time("start") <= time("end"));
    }
    assert!(stats[PullResult::Taken as usize] >= 7 && stats[PullResult::First as usize] == 3, "{stats:?}");
    assert_eq!(stats[PullResult::Failed as usize], 0);
}

#[test]
fn without_room_it_is_tried_again() {
    let port = program(as_recorded);
    let (forms, stats) = until(target(port, &["heap"]), PATIENT, false, |_, stats| stats[3] >= 3);
    assert_eq!((stats[PullResult::Taken as usize], stats[PullResult::First as usize]), (0, 1));
    // Every difference goes back to the same beginning.
    let starts: HashSet<String> = forms.iter().map(|form| form.headers[1].1.clone()).collect();
    assert!(forms.len() >= 3 && starts.len() == 1, "{starts:?}");
}

#[test]
fn programs_that_do_not_behave_cost_nothing_but_a_count() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let programs = [
        ("nobody listens", refused),
        ("not found", program(|_, _, stream| respond(stream, "404 Not Found", b"Unknown profile\n"))),
        ("busy", program(|_, _, stream| respond(stream, "500 Internal Server Error", b"already in use"))),
        ("a page", program(|_, _, stream| respond(stream, "200 OK", b"<html>It works!</html>"))),
        (
            "elsewhere",
            program(|_, _, stream| {
                let _ = stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
            }),
        ),
        ("nothing", program(|_, _, _| {})),
        (
            "less than it says",
            program(|_, _, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc");
            }),
        ),
        ("no HTTP", program(|_, _, stream| drop(stream.write_all(b"SSH-2.0-x\r\n\r\n")))),
        (
            "without an end",
            program(|_, _, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunk = [b"8000\r\n", &[b'x'; 0x8000][..], b"\r\n"].concat();
                while stream.write_all(&chunk).is_ok() {}
            }),
        ),
        ("a bomb", program(|_, _, stream| respond(stream, "200 OK", &packed(&vec![0; 40 << 20])))),
    ];
    for (name, port) in programs {
        let (forms, stats) = until(target(port, &["cpu", "heap"]), PATIENT, true, |_, stats| stats[2] >= 4);
        assert!(forms.is_empty() && stats[..2] == [0, 0], "{name}: {stats:?}");
    }
}

#[test]
fn a_slow_program_is_given_up_and_asked_again() {
    let port = program(|path, asked, stream| match asked {
        0 => drop(stream.read(&mut [0])),
        _ => as_recorded(path, asked, stream),
    });
    let taken = |_: &Forms, stats: [u64; 4]| stats[0] >= 1;
    let (_, stats) = until(target(port, &["goroutine"]), Duration::from_millis(300), true, taken);
    assert!(stats[PullResult::Failed as usize] >= 1, "{stats:?}");
}

#[test]
fn the_end_does_not_wait_for_a_slow_program() {
    let (asked, was_asked) = flume::unbounded();
    let port = program(move |_, _, stream| {
        asked.send(()).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let (options, stats) = options(PATIENT);
    let puller = start(target(port, &["cpu"]), options, Box::new(|_| panic!("there is nothing"))).unwrap();
    was_asked.recv().unwrap();
    let began = Instant::now();
    stop(vec![puller]);
    assert!(began.elapsed() < PATIENT / 3, "it waited for the answer");
    assert_eq!(stats.read(), [0; 4]);
}

#[test]
fn files_of_tls_are_read_and_named_when_they_are_bad() {
    let folder = tempfile::tempdir().unwrap();
    let mut target = target(1, &["cpu"]);
    target.url = Endpoint::parse("https://127.0.0.1:1").unwrap();
    target.tls_ca = Some(folder.path().join("ca.crt"));
    assert!(agent(&target, PATIENT).is_ok(), "tls_open is false: the file is not used");
    target.tls_open = true;
    assert!(agent(&target, PATIENT).unwrap_err().contains("ca.crt: No such file"));
    std::fs::write(folder.path().join("ca.crt"), "nothing").unwrap();
    assert!(agent(&target, PATIENT).unwrap_err().ends_with("there is no certificate in it"));
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.crt"), own.cert.pem()).unwrap();
    assert!(agent(&target, PATIENT).is_ok());
    let (cert, key) = (folder.path().join("ca.crt"), folder.path().join("x.key"));
    target.tls_cert = Some((cert, key.clone()));
    assert!(agent(&target, PATIENT).unwrap_err().contains("x.key"));
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    assert!(agent(&target, PATIENT).is_ok());
}

#[test]
fn a_program_behind_tls_is_asked() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), own.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut tls = rustls::StreamOwned::new(
                rustls::ServerConnection::new(config.clone()).unwrap(),
                stream.unwrap(),
            );
            let mut request = [0; 4096];
            let Ok(read) = tls.read(&mut request) else { continue };
            assert!(request[..read].starts_with(b"GET /debug/pprof/goroutine HTTP/1.1\r\n"));
            let body = packed(&recorded("/debug/pprof/goroutine")[0]);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ =
                tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(&body)).and_then(|()| tls.flush());
        }
    });
    let mut target = target(port, &["goroutine"]);
    target.url = Endpoint::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let failed = |_: &Forms, stats: [u64; 4]| stats[2] >= 1;
    assert!(until(target.clone(), PATIENT, true, failed).0.is_empty(), "nobody vouches for it");
    let taken = |_: &Forms, stats: [u64; 4]| stats[0] >= 1;
    target.tls_open = true;
    target.tls_ca = Some(folder.path().join("ca.crt"));
    assert!(!until(target.clone(), PATIENT, true, taken).0.is_empty());
    target.tls_ca = None;
    target.insecure_skip_verify = true;
    assert!(!until(target, PATIENT, true, taken).0.is_empty());
}
