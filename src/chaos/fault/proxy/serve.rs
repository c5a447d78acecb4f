//! The proxy itself.

use super::flow::{Flow, Went};
use super::head::Head;
use super::lot::{Ending, Lot, Urn};
use super::plan::Plan;
use crate::chaos::fault::FaultError;
use crate::chaos::fault::helper::Holding;
use crate::chaos::fault::record::Record;
use globset::{Glob, GlobMatcher};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How long a client that was answered may go on talking.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What all connections share.
struct Site {
    plan: Plan,
    glob: Option<GlobMatcher>,
    urn: Urn,
    record: Record,
}

/// What the child does.
pub(super) fn hold(holding: &mut Holding<'_>) -> Result<(), FaultError> {
    let plan = Plan::from_json(holding.plan);
    let about =
        json!({"fault": holding.fault, "id": holding.ground.id, "seed": holding.ground.seed});
    let io = FaultError::io(holding.ground.folder);
    let record = Record::open(
        holding.ground.folder,
        holding.ground.id,
        plan.record.as_deref(),
        about,
    );
    let glob = plan.effects.path.as_deref().map(Glob::new).transpose();
    let glob = glob.map_err(|error| FaultError::Target(error.to_string()))?;
    let site = Arc::new(Site {
        glob: glob.map(|glob| glob.compile_matcher()),
        urn: Urn::default(),
        record: record.map_err(io)?,
        plan,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(FaultError::io(holding.ground.folder))?;
    runtime.block_on(async {
        let listen = site.plan.listen;
        let listener = TcpListener::bind(listen).await;
        let listener = listener
            .map_err(|error| FaultError::Target(format!("cannot listen at {listen}: {error}")))?;
        holding.ready();
        // What is open when the time is over is closed with us.
        let _ = timeout(holding.left(), accept(listener, site)).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // No more files: some of them will be closed.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            // What one side does to the other ends up here, and is seen by the other side.
            let _ = client.set_nodelay(true);
            let _ = if site.plan.http {
                request(client, &site).await
            } else {
                connection(client, &site).await
            };
        });
    }
}

/// One connection of any protocol.
async fn connection(client: TcpStream, site: &Site) -> io::Result<()> {
    let lot = site.urn.draw(&site.plan.effects, "");
    site.note_slowness(&lot, lot.delay(&site.plan.effects, 0));
    match lot.early(&site.plan.effects) {
        Some(ending) => end(client, ending, &lot, site).await,
        None => pass(client, &[], Some(&lot), site).await,
    }
}

/// One request of HTTP, and its connection.
async fn request(mut client: TcpStream, site: &Site) -> io::Result<()> {
    let Some(head) = Head::read(&mut client).await? else {
        return Ok(());
    };
    if !site.means(&head) {
        return pass(client, &head.bytes, None, site).await;
    }
    let key = format!("{} {}", head.method, head.path);
    let lot = site.urn.draw(&site.plan.effects, &key);
    let delay = lot.delay(&site.plan.effects, 0);
    site.note_slowness(&lot, delay);
    sleep(delay).await;
    match lot.early(&site.plan.effects) {
        Some(ending) => end(client, ending, &lot, site).await,
        None => pass(client, &head.bytes, Some(&lot), site).await,
    }
}

impl Site {
    fn means(&self, head: &Head) -> bool {
        let effects = &self.plan.effects;
        (effects.method.is_empty() || effects.method.contains(&head.method))
            && self
                .glob
                .as_ref()
                .is_none_or(|glob| glob.is_match(&head.path))
    }

    fn note_slowness(&self, lot: &Lot, delay: Duration) {
        if lot.late {
            // Milliseconds of an hour at most.
            let value = json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            self.record.note("delay", &lot.key, lot.n, &value);
        }
        if let Some(rate) = self.plan.effects.rate {
            self.record.note("rate", &lot.key, lot.n, &json!(rate));
        }
    }

    fn note(&self, ending: Ending, lot: &Lot) {
        let effects = &self.plan.effects;
        let value = match ending {
            Ending::Status => json!(effects.status),
            Ending::Loss | Ending::Reset => json!(effects.at),
            Ending::Truncate => json!(effects.after),
        };
        self.record.note(ending.name(), &lot.key, lot.n, &value);
    }

    /// The answer that comes instead of another.
    fn answer(&self) -> String {
        let effects = &self.plan.effects;
        let status = effects.status.unwrap_or(503);
        let reason = axum::http::StatusCode::from_u16(status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        let kind = if effects.body.trim_start().starts_with(['{', '[']) {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        let wait = effects.retry_after.as_ref();
        let wait = wait.map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
        format!(
            "HTTP/1.1 {status} {}\r\n{wait}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
            reason.unwrap_or("Error"),
            effects.body.len(),
            effects.body
        )
    }
}

/// Ends what a client has begun.
async fn end(mut client: TcpStream, ending: Ending, lot: &Lot, site: &Site) -> io::Result<()> {
    site.note(ending, lot);
    match ending {
        Ending::Loss => swallow(&mut client).await,
        Ending::Reset => client.set_zero_linger(),
        Ending::Status => {
            client.write_all(site.answer().as_bytes()).await?;
            client.shutdown().await?;
            // Closed with something unread, it would be reset, and the answer lost.
            let _ = timeout(LAST_WORDS, swallow(&mut client)).await;
            Ok(())
        }
        Ending::Truncate => client.shutdown().await,
    }
}

/// Reads what a client says until it gives up.
async fn swallow(client: &mut TcpStream) -> io::Result<()> {
    let mut some = vec![0; 16 * 1024];
    while client.read(&mut some).await? > 0 {}
    Ok(())
}

/// Passes a connection on, with what was read of it already.
async fn pass(
    mut client: TcpStream,
    first: &[u8],
    lot: Option<&Lot>,
    site: &Site,
) -> io::Result<()> {
    let Ok(mut upstream) = TcpStream::connect(&site.plan.upstream).await else {
        // As near as a proxy comes to a connection that is refused.
        return client.set_zero_linger();
    };
    upstream.set_nodelay(true)?;
    upstream.write_all(first).await?;
    let went = both_ways(&mut client, &mut upstream, lot, site).await?;
    match (went, lot) {
        (Went::Cut(ending), Some(lot)) => end(client, ending, lot, site).await,
        _ => Ok(()),
    }
}

async fn both_ways(
    client: &mut TcpStream,
    upstream: &mut TcpStream,
    lot: Option<&Lot>,
    site: &Site,
) -> io::Result<Went> {
    let (mut from_client, mut to_client) = client.split();
    let (from_upstream, mut to_upstream) = upstream.split();
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_upstream).await?;
        to_upstream.shutdown().await
    };
    let down = async {
        let flow = Flow::new(&site.plan.effects, lot, site.plan.http);
        let went = flow.pass(from_upstream, &mut to_client).await?;
        if went == Went::Whole {
            to_client.shutdown().await?;
        }
        io::Result::Ok(went)
    };
    tokio::pin!(up, down);
    tokio::select! {
        went = &mut down => {
            let went = went?;
            if went == Went::Whole {
                // Behind an answer of HTTP there is nothing more to come.
                let patience = if site.plan.http { LAST_WORDS } else { Duration::MAX };
                let _ = timeout(patience, up).await;
            }
            Ok(went)
        }
        end = &mut up => {
            end?;
            down.await
        }
    }
}
