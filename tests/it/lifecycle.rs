//! What happens to a gateway while it runs: another configuration, another process, the end. Nobody who sends to it is to
//! notice: every request gets its answer, and every point arrives once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::harness::{
    Gateway, PATIENCE,
    dataway::{Dataway, Step},
    http::Client,
    points::Value,
};

/// One point that can be told apart by its field `n`.
fn line(n: i64) -> String {
    format!("lifecycle,kind=a n={n}i 1700000000000000000\n")
}

/// Which `n` have arrived, and under how many ids each.
fn arrived(dataway: &Dataway) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    for point in dataway.points() {
        match point.fields["n"] {
            Value::Int(n) => assert!(seen.insert(n), "{n} under two package ids"),
            ref other => panic!("n is {other:?}"),
        }
    }
    seen
}

fn await_all(dataway: &Dataway, expected: &BTreeSet<i64>) {
    let deadline = Instant::now() + PATIENCE;
    while !expected.is_subset(&arrived(dataway)) {
        assert!(Instant::now() < deadline, "{} of {} have arrived", arrived(dataway).len(), expected.len());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(arrived(dataway), *expected, "what was not sent has arrived");
}

/// Clients on kept-alive connections that send one point after another. Any refused connection, any connection that ends
/// instead of an answer, any answer but 200 is a panic when they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    /// Points that were acknowledged.
    taken: Arc<AtomicI64>,
    clients: Vec<thread::JoinHandle<Vec<i64>>>,
}

impl Load {
    fn start(address: SocketAddr, clients: usize) -> Load {
        let (stop, next) = (Arc::<AtomicBool>::default(), Arc::new(AtomicI64::new(0)));
        let taken = Arc::<AtomicI64>::default();
        let clients = (0..clients)
            .map(|_| {
                let (stop, next, taken) = (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&taken));
                thread::spawn(move || {
                    let mut sent = Vec::new();
                    let mut client = Client::connect(address);
                    while !stop.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let answer = client.request("POST", "/v1/write/metric", &[], line(n).as_bytes());
                        assert_eq!(answer.status, 200, "{answer:?}");
                        sent.push(n);
                        taken.fetch_add(1, Ordering::Relaxed);
                        if answer
                            .header("Connection")
                            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
                        {
                            client = Client::connect(address);
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                    sent
                })
            })
            .collect();
        Load { stop, taken, clients }
    }

    /// Waits until some more points have been acknowledged.
    fn goes_on(&self) {
        let before = self.taken.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while self.taken.load(Ordering::Relaxed) < before + 3 {
            assert!(Instant::now() < deadline, "no more points are acknowledged");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What was acknowledged.
    fn end(self) -> BTreeSet<i64> {
        self.stop.store(true, Ordering::Relaxed);
        let sent =
            self.clients.into_iter().map(|client| client.join().expect("every request got its answer"));
        sent.flatten().collect()
    }
}

/// Says something on the control socket and reads the answer.
fn control(gateway: &Gateway, request: &str) -> String {
    let mut stream =
        UnixStream::connect(gateway.data_dir().join("control.sock")).expect("the control socket");
    stream.set_read_timeout(Some(2 * PATIENCE)).expect("a timeout");
    stream.write_all(format!("{request}\n").as_bytes()).expect("the request");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_reload_changes_what_the_next_point_gets() {
    let dataway = Dataway::start();
    let mut gateway =
        Gateway::start("", &format!("{}[global_host_tags]\nhost = \"before\"\n", dataway.table()));
    gateway.post("/v1/write/metric", line(1).as_bytes());
    dataway.await_points(1);
    gateway.edit(|text| text.replace("before", "after"));
    assert_eq!(
        gateway.tool(&["reload"]),
        (0, "applied: global_host_tags, global_election_tags\n".to_owned())
    );
    let answer = gateway.post("/v1/write/metric", line(2).as_bytes());
    assert_eq!(answer.status, 200);
    dataway.await_points(2);
    let hosts: Vec<String> = dataway.points().iter().map(|point| point.tags["host"].clone()).collect();
    assert_eq!(hosts, ["before", "after"]);

    gateway.edit(|text| text.replace("after", "hup"));
    gateway.signal(Signal::HUP);
    gateway.await_line("INFO reloaded");
    gateway.post("/v1/write/metric", line(3).as_bytes());
    dataway.await_points(3);
    assert_eq!(dataway.points()[2].tags["host"], "hup");
    assert_eq!(gateway.tool(&["reload"]), (0, "nothing has changed\n".to_owned()));
}

/// G1, G4: a broken file, a port in use, a change that needs a new process: each leaves the old configuration whole.
#[test]
fn a_reload_that_cannot_be_applied_changes_nothing_and_says_why() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &format!("{}[global_host_tags]\nhost = \"old\"\n", dataway.table()));
    let good = std::fs::read_to_string(gateway.config_file()).expect("the configuration");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let new_tag = good.replace("\"old\"", "\"new\"");
    let cases = [
        (format!("{new_tag}\nnonsense = ["), "gateway.toml:"),
        (new_tag.replace("[global_host_tags]", "[global_host_tag]"), "global_host_tags"),
        (
            new_tag.replacen(
                "[http_api]\nlisten = \"127.0.0.1:0\"",
                &format!("[http_api]\nlisten = \"{taken}\""),
                1,
            ),
            "in use",
        ),
        (format!("{new_tag}\n[spool]\ncapacity = \"3GiB\"\n"), "spool: only a new process can change this"),
    ];
    for (text, reason) in cases {
        gateway.edit(|_| text);
        gateway.signal(Signal::HUP);
        let line = gateway.await_line("not reloaded");
        assert!(line.contains(reason), "{line}");
        let (status, printed) = gateway.tool(&["reload"]);
        assert!(status != 0 && printed.contains(reason), "{status} {printed}");
    }
    gateway.post("/v1/write/metric", line(1).as_bytes());
    dataway.await_points(1);
    assert_eq!(dataway.points()[0].tags["host"], "old");
}

/// G2: the old destination is dead; the reload ends in bounded time, and the new one gets what was spooled for the old.
#[test]
fn a_reload_moves_undelivered_data_to_the_new_destination() {
    let dead = Dataway::start();
    dead.always(Step::Close);
    let gateway = Gateway::start("", &dead.table());
    for n in 0..50 {
        assert_eq!(gateway.post("/v1/write/metric", line(n).as_bytes()).status, 200);
    }
    let alive = Dataway::start();
    gateway.edit(|text| text.replace(&dead.table(), &alive.table()));
    let begun = Instant::now();
    let (status, printed) = gateway.tool(&["reload"]);
    assert_eq!((status, printed.as_str()), (0, "applied: destination\n"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    await_all(&alive, &(0..50).collect());
    gateway.await_metric("kitgate_points_in_flight{category=\"metric\"}", 0.0);
}

/// G3: hundreds of reloads under load: nobody is refused, nothing is lost, nothing leaks.
#[test]
fn reloads_under_load_are_not_noticed() {
    const ROUNDS: usize = 60;
    let dataway = Dataway::start();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut gateway =
        Gateway::start("shards = 2", &format!("{}[global_host_tags]\nhost = \"h-0\"\n", dataway.table()));
    let load = Load::start(gateway.address(), 4);
    let mut idle = Client::connect(gateway.address());
    assert_eq!(idle.request("GET", "/v1/ping", &[], b"").status, 200);
    let descriptors = |gateway: &Gateway| {
        std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("its descriptors").count()
    };
    let mut before = 0;
    for round in 1..=ROUNDS {
        // Every second one opens or closes a listener, every one changes a tag, some the destination's settings.
        let listens = if round % 2 == 0 { String::new() } else { other.to_string() };
        let retry = 1000 + round / 10;
        gateway.edit(|text| {
            let kept: Vec<&str> = text
                .lines()
                .filter(|line| !line.starts_with("host =") && !line.starts_with("retry_delay"))
                .collect();
            let mut text = format!("{}\nhost = \"h-{round}\"\n", kept.join("\n"));
            text = text.replace("[dataway]", &format!("[dataway]\nretry_delay = \"{retry}ms\""));
            let at = text.find("[intake.datadog]").expect("the table");
            let end = text[at..].find("listen = ").expect("its key") + at;
            let stop = text[end..].find('\n').expect("its end") + end;
            text.replace_range(end..stop, &format!("listen = {listens:?}"));
            text
        });
        gateway.signal(Signal::HUP);
        gateway.await_line("INFO reloaded");
        load.goes_on();
        if round % 2 == 1 {
            assert_eq!(Client::connect(other).request("GET", "/v1/ping", &[], b"").status, 200);
        }
        if round == 10 {
            before = descriptors(&gateway);
        }
    }
    let sent = load.end();
    assert!(sent.len() > ROUNDS, "{}", sent.len());
    await_all(&dataway, &sent);
    // The connection that was there all the time still is.
    assert_eq!(idle.request("GET", "/v1/ping", &[], b"").status, 200);
    let after = descriptors(&gateway);
    assert!(after <= before + 8, "{before} descriptors after ten reloads, {after} after {ROUNDS}");
    std::net::TcpStream::connect(other).expect_err("the last reload closed it");
    assert!(gateway.stop().success());
}

/// G5: no request is refused and none goes unanswered while another process takes over, and there is one owner.
#[test]
fn an_upgrade_under_load_is_not_noticed() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("shards = 2", &dataway.table());
    let load = Load::start(gateway.address(), 6);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(300));
        let old = std::fs::read_to_string(gateway.data_dir().join("LOCK")).expect("the owner");
        assert_eq!(gateway.tool(&["upgrade"]), (0, "the new process serves\n".to_owned()));
        let new = std::fs::read_to_string(gateway.data_dir().join("LOCK")).expect("the owner");
        assert_ne!(old, new);
        gateway.await_successor(old.trim());
    }
    thread::sleep(Duration::from_millis(300));
    let sent = load.end();
    assert!(sent.len() > 100, "{}", sent.len());
    await_all(&dataway, &sent);
    // A change that needs a new process has got one.
    gateway.edit(|text| text.replace("shards = 2", "shards = 1"));
    let old = std::fs::read_to_string(gateway.data_dir().join("LOCK")).expect("the owner");
    assert_eq!(gateway.tool(&["upgrade"]), (0, "the new process serves\n".to_owned()));
    gateway.await_successor(old.trim());
    let mut client = gateway.client();
    for n in 1_000_000..1_000_050 {
        assert_eq!(client.request("POST", "/v1/write/metric", &[], line(n).as_bytes()).status, 200);
    }
    dataway.await_points(sent.len() + 50);
    gateway.stop();
}

/// G6: a successor that fails, before its turn or in it, leaves the old process serving.
#[test]
fn an_upgrade_that_fails_leaves_the_old_process_serving() {
    let (dataway, others) = (Dataway::start(), Dataway::start());
    let neighbour = Gateway::start("", &others.table());
    let gateway = Gateway::start("", &dataway.table());
    let load = Load::start(gateway.address(), 4);
    let good = std::fs::read_to_string(gateway.config_file()).expect("the configuration");

    gateway.edit(|text| format!("{text}\nnonsense = ["));
    let answer = control(&gateway, "{\"verb\":\"upgrade\"}");
    assert!(answer.contains("\"ok\":false") && answer.contains("cannot start"), "{answer}");

    // This one comes as far as taking the lock, and finds it taken: by then the old one has let go of everything.
    let (own, foreign) = (format!("{:?}", gateway.data_dir()), format!("{:?}", neighbour.data_dir()));
    gateway.edit(|_| good.replace(&own, &foreign));
    let answer = control(&gateway, "{\"verb\":\"upgrade\"}");
    assert!(answer.contains("\"ok\":false") && answer.contains("the old process goes on"), "{answer}");
    thread::sleep(Duration::from_millis(300));

    let sent = load.end();
    assert!(sent.len() > 50, "{}", sent.len());
    await_all(&dataway, &sent);
    assert_eq!(others.points().len(), 0);
}

/// G7: not ready, still serving, each answer the last of its connection; then the end. A client that follows finds no error.
#[test]
fn a_delayed_stop_lets_clients_go_in_their_own_time() {
    let dataway = Dataway::start();
    let mut gateway = Gateway::start("", &format!("{}[shutdown]\ndelay = \"1s\"\n", dataway.table()));
    let address = gateway.address();
    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/v1/write/metric", &[], line(1).as_bytes()).status, 200);
    gateway.signal(Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while Client::connect(address).request("GET", "/readyz", &[], b"").status == 200 {
        assert!(Instant::now() < deadline, "still ready");
        thread::sleep(Duration::from_millis(10));
    }
    let answer = client.request("POST", "/v1/write/metric", &[], line(2).as_bytes());
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")), "{answer:?}");
    assert!(gateway.wait().success());
    await_all(&dataway, &[1, 2].into());
}

/// A10: what was acknowledged and not delivered is there at the next start; the end says how much that is.
#[test]
fn a_stop_under_load_leaves_nothing_behind_unsaid() {
    let dead = Dataway::start();
    dead.always(Step::Close);
    let mut gateway = Gateway::start("", &format!("{}[shutdown]\nbudget = \"3s\"\n", dead.table()));
    for n in 0..20 {
        assert_eq!(gateway.post("/v1/write/metric", line(n).as_bytes()).status, 200);
    }
    let begun = Instant::now();
    assert!(gateway.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let last = gateway.log.last().expect("a last line");
    assert!(last.contains("20 spooled"), "{last}");
    dead.always(Step::Take);
    gateway.run();
    await_all(&dead, &(0..20).collect());
}
