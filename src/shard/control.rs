//! Orders from outside the shards, carried out by the shard that a category is at home on: what tools have done to
//! spools. On a stopped gateway a thread of the tool's own opens the logs and takes the same orders.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use crate::admin::spools::Spools;
use crate::config::SpoolSettings;
use crate::point::Category;
use crate::rt::shard::{ShardHandle, allowed_cores};
use crate::rt::{shard as executor, time};
use crate::spool::{Block, CommitError, DirectDisk, Log, LogStats, Owner, fresh_id};

use super::placement::home_of;
use super::uploads::log_config;

/// Orders that wait at a shard. They come one by one from few tools.
const ORDERS_MAX: usize = 16;

/// Something to be done to a category's log.
pub enum Order {
    Commit { category: Category, blocks: Vec<Block>, reply: Reply<()> },
    DropBefore { category: Category, seq: u64, reply: Reply<u64> },
    Stats { category: Category, reply: Reply<LogStats> },
}

/// Where the result of an order goes.
pub type Reply<T> = flume::Sender<Result<T, String>>;

impl Order {
    fn category(&self) -> Category {
        match self {
            Order::Commit { category, .. }
            | Order::DropBefore { category, .. }
            | Order::Stats { category, .. } => *category,
        }
    }

    fn refuse(self, text: &str) {
        // Whoever has gone away wants no answer.
        let _ = match self {
            Order::Commit { reply, .. } => reply.send(Err(text.to_owned())).is_ok(),
            Order::DropBefore { reply, .. } => reply.send(Err(text.to_owned())).is_ok(),
            Order::Stats { reply, .. } => reply.send(Err(text.to_owned())).is_ok(),
        };
    }
}

/// A log that takes orders.
pub trait Held {
    fn category(&self) -> Category;
    fn log(&self) -> &Log<DirectDisk>;

    /// A commit by order has ended.
    fn ordered(&self, blocks: &[Block], started: time::Instant, outcome: &Result<Range<u64>, CommitError>);
}

/// The giving end, for threads outside the shards: blocks until an order is carried out.
#[derive(Clone)]
pub struct Orders {
    shards: Vec<flume::Sender<Order>>,
}

impl Orders {
    /// The giving end, and the taking end of each shard.
    pub fn wire(shards: usize) -> (Orders, Vec<flume::Receiver<Order>>) {
        let (senders, receivers) = (0..shards).map(|_| flume::bounded(ORDERS_MAX)).unzip();
        (Orders { shards: senders }, receivers)
    }

    fn ask<T>(&self, category: Category, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, String> {
        let gone = || "the gateway is stopping".to_owned();
        let (reply, answer) = flume::bounded(1);
        let home = self.shards.get(home_of(category, self.shards.len())).ok_or_else(gone)?;
        home.send(order(reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Spools for Orders {
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String> {
        self.ask(category, |reply| Order::Commit { category, blocks, reply })
    }

    fn drop_before(&mut self, category: Category, seq: u64) -> Result<u64, String> {
        self.ask(category, |reply| Order::DropBefore { category, seq, reply })
    }

    fn stats(&mut self, category: Category) -> Result<LogStats, String> {
        self.ask(category, |reply| Order::Stats { category, reply })
    }
}

/// Carries out orders for the logs held here until the giving end is gone.
pub async fn serve<H: Held>(orders: flume::Receiver<Order>, held: Vec<Rc<H>>) {
    while let Ok(order) = orders.recv_async().await {
        let Some(held) = held.iter().find(|held| held.category() == order.category()) else {
            order.refuse("this category is not at home here");
            continue;
        };
        execute(&**held, order).await;
    }
}

async fn execute<H: Held>(held: &H, order: Order) {
    match order {
        Order::Commit { blocks, reply, .. } => {
            let started = time::Instant::now();
            let outcome = held.log().commit(&blocks).await;
            held.ordered(&blocks, started, &outcome);
            let _ = reply.send(outcome.map(|_| ()).map_err(|error| error.reason.to_string()));
        }
        Order::DropBefore { seq, reply, .. } => {
            let dropped = held.log().drop_before(seq).await;
            let _ = reply.send(dropped.map_err(|error| error.to_string()));
        }
        Order::Stats { reply, .. } => {
            let _ = reply.send(Ok(held.log().stats()));
        }
    }
}

/// The logs of a data directory on which no gateway runs, opened for a tool. Dropped, they are closed in order.
pub struct Offline {
    orders: Option<Orders>,
    thread: Option<ShardHandle<io::Result<()>>>,
    _owner: Owner,
}

struct Plain {
    category: Category,
    log: Log<DirectDisk>,
}

impl Held for Plain {
    fn category(&self) -> Category {
        self.category
    }

    fn log(&self) -> &Log<DirectDisk> {
        &self.log
    }

    fn ordered(&self, _: &[Block], _: time::Instant, _: &Result<Range<u64>, CommitError>) {}
}

impl Offline {
    /// Takes the directory and opens its logs.
    pub fn open(data_dir: &Path, settings: &SpoolSettings) -> Result<Offline, String> {
        let owner = Owner::take(data_dir).map_err(|error| error.to_string())?;
        let (orders, mut ends) = Orders::wire(1);
        let end = ends.pop().ok_or("BUG: no end for the one shard")?;
        let (settings, core) = (settings.clone(), allowed_cores().first().copied().unwrap_or(0));
        let (opened, ready) = flume::bounded(1);
        let body = move || async move {
            let mut held = Vec::new();
            for category in Category::ALL {
                match Plain::open(category, &settings).await {
                    Ok(plain) => held.push(Rc::new(plain)),
                    Err(error) => {
                        let _ = opened.send(Err(format!("{}: {error}", category.name())));
                        return Ok(());
                    }
                }
            }
            let _ = opened.send(Ok(()));
            serve(end, held.clone()).await;
            for plain in held {
                plain.log.flush().await?;
            }
            Ok(())
        };
        let thread = executor::start("spools", core, body).map_err(|error| error.to_string())?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Offline { orders: Some(orders), thread: Some(thread), _owner: owner }),
            Ok(Err(text)) => Err(text),
            Err(_) => Err(thread.join().err().map_or_else(|| "no executor".to_owned(), |e| e.to_string())),
        }
    }

    fn orders(&mut self) -> Result<&mut Orders, String> {
        self.orders.as_mut().ok_or_else(|| "BUG: used after drop".to_owned())
    }
}

impl Plain {
    async fn open(category: Category, settings: &SpoolSettings) -> io::Result<Plain> {
        let disk = DirectDisk::open(&settings.dir(category.name())).await?;
        let opened = Log::open(disk, category as u8, fresh_id()?, log_config(settings, category)).await;
        let (log, _) = opened.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Plain { category, log })
    }
}

impl Spools for Offline {
    fn commit(&mut self, category: Category, blocks: Vec<Block>) -> Result<(), String> {
        self.orders()?.commit(category, blocks)
    }

    fn drop_before(&mut self, category: Category, seq: u64) -> Result<u64, String> {
        self.orders()?.drop_before(category, seq)
    }

    fn stats(&mut self, category: Category) -> Result<LogStats, String> {
        self.orders()?.stats(category)
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // The thread ends with the last giver of orders.
        self.orders = None;
        if let Some(Err(error)) = self.thread.take().map(|thread| thread.join().and_then(|result| result)) {
            tracing::error!(%error, "the spools could not be closed in order; the next start recovers them");
        }
    }
}
