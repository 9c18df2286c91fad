//! Go programs are asked for their profiles (`[intake.profiling.go.<name>]`), each by a thread of its own: one answer after the
//! other, every ten seconds or more. What comes of it is handed in as if a profiler had sent it.
//!
//! What goes wrong there is nobody's trouble here: it is said once for each cause, counted, and tried again in the next
//! round. A program that does not answer is waited for as long as DataKit does; an answer is read up to the bound of a
//! profile that is sent, and looked at before it is passed on. What is not taken for want of room is not lost where it adds
//! up: the next difference goes back to the last that was taken.

mod round;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::config::GoPull;
use crate::metrics::pulls::{PullResult, PullStats};

use super::forward;

pub use round::Pulled;
use round::{Bases, Cause, Part, Piece, Trouble, form, parts};

/// For an answer to be there as a whole: a CPU profile takes ten seconds (as DataKit).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the end of all waits for the threads. One in the middle of a question goes down with the process.
const STOP_TIMEOUT: Duration = Duration::from_millis(800);

/// Takes a form; false: there is no room for it.
pub type HandIn = Box<dyn Fn(Pulled) -> bool + Send>;

/// What does not depend on the program.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// In `X-Datakit-Version`.
    pub version: String,
    /// An answer's bound: that of a profile which is sent.
    pub body_bytes_max: usize,
    /// For an answer to be there as a whole: [`ANSWER_TIMEOUT`], short of tests.
    pub answer_timeout: Duration,
    pub stats: Arc<PullStats>,
}

/// A thread that asks a program. Dropped, it ends by itself, at once or after the answer it waits for.
#[derive(Debug)]
pub struct Puller {
    stop: flume::Sender<()>,
    ended: flume::Receiver<()>,
}

/// Starts to ask a program; the first time at once.
pub fn start(target: GoPull, options: PullOptions, hand_in: HandIn) -> io::Result<Puller> {
    let (stop, stopped) = flume::bounded(0);
    let (end, ended) = flume::bounded::<()>(0);
    let name = format!("pprof-{}", target.name);
    std::thread::Builder::new().name(name).spawn(move || {
        // Its end is what the other side notices.
        let _end = end;
        Asker::new(target, options, hand_in, stopped).run();
    })?;
    Ok(Puller { stop, ended })
}

/// Tells all to stop and waits for them, a second at most.
pub fn stop(pullers: Vec<Puller>) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    let ended: Vec<flume::Receiver<()>> = pullers
        .into_iter()
        .map(|puller| {
            drop(puller.stop);
            puller.ended
        })
        .collect();
    for ended in ended {
        let _ = ended.recv_deadline(deadline);
    }
}

/// What a thread has.
struct Asker {
    target: GoPull,
    options: PullOptions,
    hand_in: HandIn,
    stopped: flume::Receiver<()>,
    bases: Bases,
    /// What has been said and still is so.
    said: HashSet<(&'static str, Cause)>,
}

impl Asker {
    fn new(target: GoPull, options: PullOptions, hand_in: HandIn, stopped: flume::Receiver<()>) -> Asker {
        Asker { target, options, hand_in, stopped, bases: Bases::default(), said: HashSet::new() }
    }

    /// Until it is told to stop.
    fn run(mut self) {
        let mut next = Instant::now();
        while !self.is_stopped() {
            self.round();
            // At a steady pace; rounds that one which took long has run into are left out.
            let now = Instant::now();
            while next <= now {
                next += self.target.interval;
            }
            if self.stopped.recv_deadline(next) != Err(flume::RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() != Err(flume::TryRecvError::Empty)
    }

    fn round(&mut self) {
        // Made anew each time, so that certificates that were renewed are used.
        let agent = match agent(&self.target, self.options.answer_timeout) {
            Ok(agent) => agent,
            Err(error) => {
                for part in parts(&self.target) {
                    self.failed(part, Trouble::new(Cause::Unreachable, error.clone()));
                }
                return;
            }
        };
        let mut deltas = Vec::new();
        for part in parts(&self.target) {
            let start_ns = now_ns();
            let answer = ask(&agent, &self.target, part, self.options.body_bytes_max);
            if self.is_stopped() {
                return;
            }
            let piece = answer.and_then(|body| self.bases.piece(part, body, start_ns, now_ns()));
            match piece {
                Ok(None) => {
                    self.well(part);
                    self.options.stats.count(PullResult::First);
                }
                Ok(Some(piece)) if piece.is_delta() => deltas.push(piece),
                Ok(Some(piece)) => self.give(vec![piece]),
                Err(trouble) => self.failed(part, trouble),
            }
        }
        // What adds up goes together.
        if !deltas.is_empty() {
            self.give(deltas);
        }
    }

    fn give(&mut self, pieces: Vec<Piece>) {
        let pulled = form(&self.target, &pieces, &boundary(), &self.options.version);
        let taken = (self.hand_in)(pulled);
        for piece in &pieces {
            if taken {
                self.well(piece.part);
                self.options.stats.count(PullResult::Taken);
            } else {
                self.say(piece.part, Trouble::new(Cause::Refused, "there is no room for it"));
                self.options.stats.count(PullResult::Refused);
            }
        }
        if taken {
            self.bases.taken(pieces);
        }
    }

    fn failed(&mut self, part: &'static Part, trouble: Trouble) {
        self.options.stats.count(PullResult::Failed);
        self.say(part, trouble);
    }

    /// Once for each cause, until it is well again.
    fn say(&mut self, part: &'static Part, trouble: Trouble) {
        if self.said.insert((part.word, trouble.cause)) {
            let (program, profile) = (self.target.name.as_str(), part.word);
            tracing::warn!(program, profile, error = trouble.text, "no profile of a Go program");
        }
    }

    fn well(&mut self, part: &'static Part) {
        let before = self.said.len();
        self.said.retain(|(word, _)| *word != part.word);
        if self.said.len() < before {
            let (program, profile) = (self.target.name.as_str(), part.word);
            tracing::info!(program, profile, "profiles of a Go program come again");
        }
    }
}

/// Asks for one profile. Blocks, as long as an answer may take.
fn ask(agent: &Agent, target: &GoPull, part: &Part, body_bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let scheme = if target.url.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", target.url.authority(), part.target);
    let mut response = agent.get(&url).call().map_err(|error| trouble(&error))?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(body_bytes_max as u64);
    if status != 200 {
        // A few words, as that a CPU profile is being taken already.
        let words = body.limit(EXCERPT_BYTES_MAX).read_to_vec().unwrap_or_default();
        let words = forward::excerpt(&words).map(|words| format!(": {words}")).unwrap_or_default();
        return Err(Trouble::new(Cause::Status(status), format!("it answers {status}{words}")));
    }
    body.read_to_vec().map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => {
            Trouble::new(Cause::TooLarge, format!("its answer is larger than {body_bytes_max} bytes"))
        }
        error => trouble(&error),
    })
}

/// Of a refusal, for the log.
const EXCERPT_BYTES_MAX: u64 = 512;

fn trouble(error: &ureq::Error) -> Trouble {
    match error {
        ureq::Error::Timeout(_) => Trouble::new(Cause::Timeout, "it does not answer in time"),
        error => Trouble::new(Cause::Unreachable, error.to_string()),
    }
}

fn agent(target: &GoPull, answer_timeout: Duration) -> Result<Agent, String> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(answer_timeout));
    if target.url.tls {
        config = config.tls_config(tls(target)?);
    }
    Ok(config.build().new_agent())
}

fn tls(target: &GoPull) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let authority = target.tls_ca.as_ref().filter(|_| target.tls_open);
    config = config.root_certs(match authority {
        Some(path) => RootCerts::new_with_certs(&certificates(path)?),
        None => forward::roots(),
    });
    if let Some((cert, key)) = target.tls_cert.as_ref().filter(|_| target.tls_open) {
        let bad = |error: String| format!("{}: {error}", key.display());
        let pem = std::fs::read(key).map_err(|error| bad(error.to_string()))?;
        let key = PrivateKey::from_pem(&pem).map_err(|error| bad(error.to_string()))?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&certificates(cert)?, key)));
    }
    Ok(config.disable_verification(target.tls_open && target.insecure_skip_verify).build())
}

/// The certificates in a file.
fn certificates(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, String> {
    let bad = |error: String| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(bad("there is no certificate in it".to_owned())) } else { Ok(found) }
}

/// Between the parts of a form: what is in them does not hold it, but by a chance nobody will see.
fn boundary() -> String {
    let mut bytes = [0; 30];
    // Without random numbers the form would still be one.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
