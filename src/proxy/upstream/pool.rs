//! Idle connections, by origin and by how they were made, the freshest first.
//!
//! A connection is here only between exchanges that both ended cleanly; anything else is closed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use tokio::time::Instant;

use super::http1::Connection;
use super::origin::Origin;
use super::unread::Reading;

/// The most idle connections of one key that a worker keeps.
const MAX_IDLE: usize = 64;
/// How often old ones are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What a connection must have in common with a request that takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// Where it leads.
    pub(super) origin: Arc<Origin>,
    /// Under which reading of which certificates it was made; 0 without TLS.
    pub(super) reading: u64,
}

/// The idle connections of one worker.
pub(super) struct Pool {
    /// The oldest of each key first.
    idle: RefCell<HashMap<PoolKey, VecDeque<Idle>>>,
    /// Responses that take long to be read.
    read: RefCell<Vec<Weak<Reading>>>,
    /// Whether a task is closing what gets old.
    sweeping: Cell<bool>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.connection.is_silent()
    }
}

impl Pool {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), read: RefCell::default(), sweeping: Cell::new(false) })
    }

    /// The connection of that key that was used last, if one is still good.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(key)?;
        let now = Instant::now();
        while let Some(mut candidate) = connections.pop_back() {
            if candidate.is_usable(now) {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request, `life` at most.
    pub(super) fn put(self: Rc<Self>, key: PoolKey, connection: Connection, life: Duration) {
        {
            let mut idle = self.idle.borrow_mut();
            let connections = idle.entry(key).or_default();
            if connections.len() >= MAX_IDLE {
                connections.pop_front();
            }
            connections.push_back(Idle { connection, until: Instant::now() + life });
        }
        self.begin_sweeping();
    }

    /// Closes the connection of a response that nobody reads on.
    pub(super) fn look_at(self: Rc<Self>, reading: Weak<Reading>) {
        self.read.borrow_mut().push(reading);
        self.begin_sweeping();
    }

    fn begin_sweeping(self: &Rc<Self>) {
        if !self.sweeping.replace(true) {
            rt::spawn(sweep(Rc::downgrade(self)));
        }
    }

    /// Closes what is too old or no longer good; whether anything is left.
    fn purge(&self) -> bool {
        let now = Instant::now();
        // Taken out: what is closed may come back here.
        let mut read = self.read.take();
        read.retain(|reading| reading.upgrade().is_some_and(|reading| reading.is_read(now)));
        let is_read = !read.is_empty();
        self.read.borrow_mut().append(&mut read);
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, connections| {
            connections.retain_mut(|idle| idle.is_usable(now));
            !connections.is_empty()
        });
        is_read || !idle.is_empty()
    }
}

/// Closes connections as they get old, until none is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.purge() {
            pool.sweeping.set(false);
            return;
        }
    }
}
