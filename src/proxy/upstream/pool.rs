//! Idle connections, by origin, the freshest first.
//!
//! A connection is here only between exchanges that both ended cleanly; anything else is closed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::super::body::RequestBody;
use super::origin::Origin;

/// The most idle connections to one origin that a worker keeps.
const MAX_IDLE: usize = 64;
/// How long an idle connection is kept: less than the 60 s and 75 s after which common servers close it.
const IDLE_LIFE: Duration = Duration::from_secs(50);

/// A connection: hyper's handle, and the task that moves its bytes. The task ends with it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    task: JoinHandle<()>,
}

impl Connection {
    pub(super) fn new(sender: SendRequest<RequestBody>, task: JoinHandle<()>) -> Self {
        Self { sender, task }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The idle connections of one worker.
pub(super) struct Pool {
    /// The oldest of each origin first.
    idle: RefCell<HashMap<Arc<Origin>, VecDeque<Idle>>>,
    /// Whether a task is closing what gets old.
    sweeping: Cell<bool>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now.duration_since(self.since) < IDLE_LIFE && self.connection.sender.is_ready()
    }
}

impl Pool {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), sweeping: Cell::new(false) })
    }

    /// The connection to `origin` that was used last, if one is still good.
    pub(super) fn take(&self, origin: &Arc<Origin>) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(origin)?;
        let now = Instant::now();
        while let Some(candidate) = connections.pop_back() {
            if candidate.is_usable(now) {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request, once hyper is done with the last one; drops it if it is closed.
    pub(super) fn put(self: Rc<Self>, origin: Arc<Origin>, mut connection: Connection) {
        if connection.sender.is_ready() {
            self.keep(origin, connection);
        } else if !connection.sender.is_closed() {
            let pool = Rc::downgrade(&self);
            rt::spawn(async move {
                let settled = tokio::time::timeout(IDLE_LIFE, connection.sender.ready()).await;
                if let (Ok(Ok(())), Some(pool)) = (settled, pool.upgrade()) {
                    pool.keep(origin, connection);
                }
            });
        }
    }

    fn keep(self: Rc<Self>, origin: Arc<Origin>, connection: Connection) {
        {
            let mut idle = self.idle.borrow_mut();
            let connections = idle.entry(origin).or_default();
            if connections.len() >= MAX_IDLE {
                connections.pop_front();
            }
            connections.push_back(Idle { connection, since: Instant::now() });
        }
        if !self.sweeping.replace(true) {
            rt::spawn(sweep(Rc::downgrade(&self)));
        }
    }

    /// Closes what is too old or no longer good; whether anything is left.
    fn purge(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, connections| {
            connections.retain(|idle| idle.is_usable(now));
            !connections.is_empty()
        });
        !idle.is_empty()
    }
}

/// Closes connections as they get old, until none is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_LIFE / 5).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.purge() {
            pool.sweeping.set(false);
            return;
        }
    }
}
