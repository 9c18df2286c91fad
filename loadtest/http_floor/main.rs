//! HTTP alone: reads each request whole and answers 204, over the gateway's own socket path and parser, with nothing
//! behind it. What the rest of the gateway is measured against, and what is compared with nginx `return 204`.
//!
//!     http_floor [address] [core]        defaults: 127.0.0.1:9700 0

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use kitgate::http1::{DateCache, Head, HeadError, HeadLimits, Template, response};
use kitgate::net::buffers::Buffers;
use kitgate::net::conn::ConnContext;
use kitgate::net::{Admission, Answer, ConnLimits, Gate, Incoming, OwnedBody, Service, accept};
use kitgate::rt::net::{Driver, Listener, bind};
use kitgate::rt::{shard, time};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BODY_BYTES_MAX: usize = 64 << 20;
const CONNECTIONS_MAX: usize = 100_000;

struct NoContent {
    template: Template,
    date: RefCell<DateCache>,
}

impl NoContent {
    fn refuse(&self, status: u16, text: &str, out: &mut Vec<u8>) {
        let mut date = self.date.borrow_mut();
        response::write_refusal(status, text, date.at(time::wall_ns() / 1_000_000_000), out);
    }
}

impl Service for NoContent {
    type Pending = ();

    fn admit(&self, _: &Head<'_>, _: SocketAddr, _: &mut Vec<u8>) -> Admission {
        Admission::Accept { body_bytes_max: BODY_BYTES_MAX }
    }

    fn call(&self, request: Incoming<'_>, out: &mut Vec<u8>) -> Answer<()> {
        let mut date = self.date.borrow_mut();
        self.template.write(date.at(time::wall_ns() / 1_000_000_000), b"", request.connection, false, out);
        Answer::Done
    }

    fn attach(&self, (): &mut (), _: OwnedBody) {}

    fn poll_finish(&self, (): &mut (), _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<()> {
        Poll::Ready(())
    }

    fn answer_timeout(&self) -> Option<Duration> {
        None
    }

    fn give_up(&self, (): &mut (), _: &mut Vec<u8>) {}

    fn refuse_head(&self, error: HeadError, out: &mut Vec<u8>) {
        self.refuse(error.status(), error.text(), out);
    }

    fn refuse_body(&self, status: u16, text: &'static str, out: &mut Vec<u8>) {
        self.refuse(status, text, out);
    }

    fn refuse_connection(&self, out: &mut Vec<u8>) {
        self.refuse(503, "too many connections", out);
    }

    fn refused_entrance(&self) {}

    fn draining(&self) -> bool {
        false
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9700".to_owned());
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let core = arguments.next().map_or(Ok(0), |core| core.parse()).map_err(std::io::Error::other)?;
    let handle = shard::start("http-floor", core, move || async move {
        Driver::start()?;
        let listener = Listener::new(bind(address)?)?;
        println!("listening on http://{address}");
        let service =
            Rc::new(NoContent { template: Template::new(204, &[]), date: RefCell::new(DateCache::new()) });
        let minute = Duration::from_secs(60);
        let context = Rc::new(ConnContext {
            buffers: Buffers::new(),
            gate: Gate::new(Arc::new(AtomicUsize::new(0)), CONNECTIONS_MAX),
            proxies: RefCell::new(Rc::new([])),
            tls: Arc::default(),
            limits: std::cell::Cell::new(ConnLimits {
                head: HeadLimits::default(),
                head_timeout: minute,
                body_timeout: minute,
                write_timeout: minute,
                idle_timeout: 10 * minute,
            }),
        });
        accept(listener, "floor", false, service, context, Rc::default()).await;
        Ok(())
    })?;
    handle.join()?
}
