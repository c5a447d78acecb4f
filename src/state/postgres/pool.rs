//! A bounded number of connections.

use super::ServerError;
use super::address::Address;
use super::link::{Link, within};
use super::{chain, tls};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

/// Connections at most.
const MOST: usize = 8;
/// How long a caller waits for one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long making one may take.
const CONNECT: Duration = Duration::from_secs(10);
/// What every connection is told first: what we do not wait for any longer the server does not go on
/// with, and a process that hangs in the middle, or whose machine is gone, keeps others waiting for
/// less time than a lease lasts.
const SETTINGS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '20s';
    SET idle_in_transaction_session_timeout = '10s'";

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Pool {
    address: Address,
    tls: tls::Connector,
    /// Drives the connections; `None` only while it is being dropped.
    runtime: Option<Runtime>,
    links: Mutex<Links>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Links {
    idle: Vec<Link>,
    used: usize,
}

impl Drop for Pool {
    fn drop(&mut self) {
        held(&self.links).idle.clear();
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed where an async caller drops the state.
            runtime.shutdown_background();
        }
    }
}

impl Pool {
    /// Nothing is connected before [`Pool::take`].
    pub(super) fn new(address: Address) -> Result<Self, ServerError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("whorl-postgres")
            .enable_all()
            .build()
            .map_err(ServerError::Runtime)?;
        Ok(Self {
            tls: tls::connector(&address)?,
            address,
            runtime: Some(runtime),
            links: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// Server and database, without secrets.
    pub(super) fn place(&self) -> &str {
        &self.address.place
    }

    /// A connection of the caller's own, kept or new.
    pub(super) fn take(&self) -> Result<Link, ServerError> {
        let until = Instant::now() + PATIENCE;
        let mut links = held(&self.links);
        while links.used >= MOST {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ServerError::Busy(MOST));
            }
            let waited = self.freed.wait_timeout(links, left);
            links = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        links.used += 1;
        while let Some(link) = links.idle.pop() {
            if !link.broken() {
                return Ok(link);
            }
        }
        drop(links);
        self.connect().inspect_err(|_| self.less(None))
    }

    /// Takes a connection back.
    pub(super) fn give(&self, link: Link) {
        self.less(Some(link));
    }

    /// Closes a connection that was lost, and those that nobody uses with it.
    pub(super) fn forget(&self, link: Link) {
        drop(link);
        held(&self.links).idle.clear();
        self.less(None);
    }

    fn less(&self, back: Option<Link>) {
        let mut links = held(&self.links);
        links.used -= 1;
        links.idle.extend(back);
        drop(links);
        self.freed.notify_one();
    }

    fn connect(&self) -> Result<Link, ServerError> {
        let Some(runtime) = &self.runtime else {
            return Err(self.refused("the state is being closed"));
        };
        let handle = runtime.handle().clone();
        let made = within(&handle, CONNECT, self.dial(&handle));
        let (client, task) = made.map_err(|late| self.refused(&late.to_string()))??;
        let link = Link::new(client, task, handle);
        link.batch(SETTINGS)
            .map_err(|error| self.refused(&error.to_string()))?;
        Ok(link)
    }

    async fn dial(
        &self,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Client, tokio::task::JoinHandle<()>), ServerError> {
        let refused = |error: tokio_postgres::Error| self.refused(&told(&error));
        let config = &self.address.config;
        let (client, connection) = config.connect(self.tls.clone()).await.map_err(refused)?;
        let task = runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = chain(&error), "a connection to the state was lost");
            }
        });
        Ok((client, task))
    }

    fn refused(&self, why: &str) -> ServerError {
        ServerError::Connect {
            place: self.address.place.clone(),
            why: why.to_owned(),
        }
    }
}

/// Why the server does not let us in, and what to do when it is the password.
fn told(error: &tokio_postgres::Error) -> String {
    let why = chain(error);
    // Class 28: invalid authorization. Without a password the client itself says so.
    let code = error
        .code()
        .is_some_and(|code| code.code().starts_with("28"));
    if code || why.contains("password missing") {
        return format!(
            "{why}: check user and password in `state.url` (there `@`, `:` and `/` of a password \
             are written %40, %3A and %2F)"
        );
    }
    why
}

/// Nothing is left half done by a panic while the lock is held.
fn held(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}
