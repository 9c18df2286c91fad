//! What a reload changes on a running shard: listeners, deadlines, the destination. What requests go by is swapped for all
//! shards at once (see `common`); everything that can fail has been done before, so that a reload holds as a whole or not
//! at all.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Address, HttpSettings, LISTENERS, LimitSettings, Settings};
use crate::http1::HeadLimits;
use crate::net::conn::ConnContext;
use crate::net::{Closing, ConnLimits, accept};
use crate::rt::net::Listener;
use crate::rt::spawn;
use crate::upload::Uploads;

use super::Common;
use super::common::Live;
use super::ingest::Ingest;
use super::uploads::HomeLog;

/// For uploads in flight towards the old destination to be answered. What is not goes to the new one, under the same id.
const UPLOAD_BUDGET: Duration = Duration::from_secs(2);

/// A bound socket.
pub struct Opened {
    pub name: &'static str,
    /// As configured: port 0 stays 0.
    pub configured: Address,
    pub socket: OwnedFd,
}

/// What a shard is told.
pub struct Change {
    pub before: Arc<Live>,
    pub live: Arc<Live>,
    pub open: Vec<Opened>,
    pub close: Vec<(&'static str, Address)>,
    /// Told when all of it holds.
    pub done: flume::Sender<io::Result<()>>,
}

/// The deadlines of connections.
pub fn conn_limits(limits: &LimitSettings) -> ConnLimits {
    ConnLimits {
        head: HeadLimits::default(),
        head_timeout: limits.head_timeout,
        body_timeout: limits.body_timeout,
        write_timeout: limits.write_timeout,
        idle_timeout: limits.idle_timeout,
    }
}

/// Hops whose word in front of a connection is believed.
pub fn proxies(http: &HttpSettings) -> Rc<[IpNet]> {
    if http.proxy_protocol { http.trusted_proxies.clone().into() } else { Rc::new([]) }
}

/// What of a shard changes.
pub struct Front {
    pub index: usize,
    pub common: Arc<Common>,
    pub service: Rc<Ingest>,
    pub context: Rc<ConnContext>,
    pub homes: Vec<Rc<HomeLog>>,
    pub uploads: RefCell<Rc<Uploads>>,
    listening: RefCell<Vec<(&'static str, Address, Rc<Closing>)>>,
}

impl Front {
    pub fn new(
        index: usize,
        common: Arc<Common>,
        service: Rc<Ingest>,
        context: Rc<ConnContext>,
        homes: Vec<Rc<HomeLog>>,
    ) -> Rc<Front> {
        let uploads = start_uploads(&common, index, &homes);
        Rc::new(Front {
            index,
            common,
            service,
            context,
            homes,
            uploads: RefCell::new(uploads),
            listening: RefCell::default(),
        })
    }

    /// Accepts connections on a socket.
    pub fn open(&self, opened: Opened) -> io::Result<()> {
        // Who reaches a socket in the file system is on this machine already.
        let secure = opened.name == LISTENERS[0] && matches!(opened.configured, Address::Tcp(_));
        let listener = Listener::new(opened.socket)?;
        let closing = Rc::<Closing>::default();
        self.listening.borrow_mut().push((opened.name, opened.configured, Rc::clone(&closing)));
        let (service, context) = (Rc::clone(&self.service), Rc::clone(&self.context));
        spawn(async move {
            accept(listener, opened.name, secure, service, context, Rc::clone(&closing)).await;
            closing.is_over();
        });
        Ok(())
    }

    /// Closes the sockets of an address, and waits until they are: the next reload may want it again.
    async fn close(&self, listener: &(&'static str, Address)) {
        let mut closings = Vec::new();
        self.listening.borrow_mut().retain(|(name, configured, closing)| {
            let stays = *name != listener.0 || *configured != listener.1;
            if !stays {
                closing.say();
                closings.push(Rc::clone(closing));
            }
            stays
        });
        for closing in closings {
            closing.over().await;
        }
    }

    /// Carries out changes, one after another, for ever.
    pub async fn run(self: Rc<Self>, changes: flume::Receiver<Change>) {
        while let Ok(change) = changes.recv_async().await {
            let Change { before, live, open, close, done } = change;
            let result = self.apply(&before.settings, &live.settings, open, &close).await;
            let _ = done.send(result);
        }
    }

    async fn apply(
        &self,
        before: &Settings,
        settings: &Settings,
        open: Vec<Opened>,
        close: &[(&'static str, Address)],
    ) -> io::Result<()> {
        let mut result = Ok(());
        for opened in open {
            // Bound already; what is left to fail is the kernel's memory. The rest is applied all the same.
            if let Err(error) = self.open(opened) {
                result = Err(error);
            }
        }
        for listener in close {
            self.close(listener).await;
        }
        self.context.limits.set(conn_limits(&settings.limits));
        *self.context.proxies.borrow_mut() = proxies(&settings.http);
        self.context.gate.set_limit(settings.limits.connections_max);
        if before.destination != settings.destination || before.hostname != settings.hostname {
            self.service.core.lanes.set_compression(settings.destination.compression());
            let old = Rc::clone(&self.uploads.borrow());
            old.stop(UPLOAD_BUDGET).await;
            // A stop of the gateway that came meanwhile has stopped the old ones, and wants no new ones.
            if !self.common.is_stopping() {
                *self.uploads.borrow_mut() = start_uploads(&self.common, self.index, &self.homes);
            }
        }
        result
    }
}

fn start_uploads(common: &Common, index: usize, homes: &[Rc<HomeLog>]) -> Rc<Uploads> {
    let live = common.live();
    let uploads = Rc::new(Uploads::start(live.upload.clone(), common.seed(index)));
    for home in homes {
        home.serve(&uploads, live.upload.window_raw_bytes());
    }
    uploads
}
