//! A destination that answers by script, and remembers what it was sent and when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::Sim;
use crate::config::secret::Endpoint;
use crate::http1::client::{Reply, ResponseReader};
use crate::sink::dataway::Dataway;
use crate::sink::{Accepts, Target};
use crate::upload::body::Unreadable;
use crate::upload::carrier::{HttpCarrier, Request, Transport, TransportError};
use crate::upload::env::Env;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Duration,
    pub target: String,
    pub head: String,
    pub body: Vec<u8>,
    /// Requests in flight, this one included.
    pub in_flight: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn id(&self) -> &str {
        self.header("X-Pkg-Id").unwrap()
    }
}

/// What the script says to a request.
pub enum Say {
    /// A status.
    Status(u16),
    /// A whole response.
    Raw(&'static str),
    /// The connection breaks.
    Break,
    /// No answer at all.
    Hang,
    /// No answer within the time-out of the transport.
    TimeOut,
    /// A status, but later.
    Late(Duration, u16),
}

/// What a transport's time-out is by default.
pub const TIME_OUT: Duration = Duration::from_secs(30);

type Script = dyn FnMut(&Seen, usize) -> Say;

#[derive(Clone)]
pub struct Scripted {
    sim: Sim,
    seen: Rc<RefCell<Vec<Seen>>>,
    latency: Duration,
    script: Rc<RefCell<Script>>,
    in_flight: Rc<Cell<usize>>,
}

struct InFlight<'a>(&'a Cell<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Scripted {
    /// `script` is given each request and how many came before it.
    pub fn new(sim: &Sim, latency: Duration, script: impl FnMut(&Seen, usize) -> Say + 'static) -> Scripted {
        let script = Rc::new(RefCell::new(script));
        Scripted { sim: sim.clone(), seen: Rc::default(), latency, script, in_flight: Rc::default() }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// A carrier to `urls`.
    pub fn carrier_accepting(&self, urls: &[&str], accepts: Accepts) -> HttpCarrier<Scripted, Sim> {
        let targets = urls.iter().map(|url| Target::new(Endpoint::parse(url).unwrap())).collect();
        let sink = Dataway::new(targets, accepts, "datakit-test".to_owned());
        HttpCarrier::new(Box::new(sink), self.clone(), self.sim.clone(), |_, _| Err(Unreadable))
    }
}

pub fn reply(raw: &str) -> Reply {
    let mut reader = ResponseReader::new(false);
    reader.read(raw.as_bytes()).unwrap();
    reader.into_reply().unwrap()
}

impl Transport for Scripted {
    async fn exchange(&self, request: Request<'_>) -> Result<Reply, TransportError> {
        self.in_flight.set(self.in_flight.get() + 1);
        let _in_flight = InFlight(&self.in_flight);
        let seen = Seen {
            at: self.sim.elapsed(),
            target: request.target.shown(),
            head: String::from_utf8(request.head.to_vec()).unwrap(),
            body: request.body.parts.concat(),
            in_flight: self.in_flight.get(),
        };
        assert_eq!(seen.header("Content-Length"), Some(seen.body.len().to_string().as_str()));
        let before = self.seen.borrow().len();
        self.seen.borrow_mut().push(seen.clone());
        let say = (self.script.borrow_mut())(&seen, before);
        self.sim.sleep(self.latency).await;
        match say {
            Say::Status(status) => Ok(reply(&format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))),
            Say::Raw(raw) => Ok(reply(raw)),
            Say::Break => Err(TransportError::Io(std::io::ErrorKind::ConnectionReset.into())),
            Say::Hang => std::future::pending().await,
            Say::TimeOut => {
                self.sim.sleep(TIME_OUT).await;
                Err(TransportError::Timeout)
            }
            Say::Late(by, status) => {
                self.sim.sleep(by).await;
                Ok(reply(&format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")))
            }
        }
    }
}
