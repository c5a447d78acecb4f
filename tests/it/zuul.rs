//! Zuul as a source: its API by a fake as strict as the real one, its messages by a real broker.
//!
//! `tests/real/run mosquitto` starts the broker.

mod fake;
mod job_output;
mod mqtt;
mod poll;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whorl::source::{Desk, Source};
use whorl::state::State;

/// What must survive, and a desk before it.
pub(crate) struct Home {
    pub(crate) state: Arc<State>,
    pub(crate) desk: Arc<Desk>,
    /// Builds that were to be looked at at once.
    pub(crate) complete: Arc<Mutex<Vec<String>>>,
}

impl Home {
    pub(crate) fn open(folder: &Path) -> Self {
        let state = Arc::new(State::open(folder.join("state.db")).unwrap());
        let complete = Arc::new(Mutex::new(Vec::new()));
        let kept = complete.clone();
        let told = move |uuid: &str| kept.lock().unwrap().push(uuid.to_owned());
        let (desk, _) = Desk::new(
            state.clone(),
            true,
            Box::new(told),
            Box::new(|_| Vec::new()),
        );
        Self {
            state,
            desk: Arc::new(desk),
            complete,
        }
    }

    /// True when the build is known.
    pub(crate) fn has(&self, uuid: &str) -> bool {
        self.state.build(uuid).unwrap().is_some()
    }

    /// Builds that the source handed in, each time it did.
    pub(crate) fn announced(&self, source: &str) -> u64 {
        self.desk
            .statuses()
            .get(source)
            .map_or(0, |status| status.builds)
    }

    pub(crate) fn error(&self, source: &str) -> Option<String> {
        let statuses = self.desk.statuses();
        let status = statuses.get(source)?;
        status.error.clone().filter(|_| !status.connected)
    }

    pub(crate) fn not_understood(&self, source: &str) -> u64 {
        self.desk
            .statuses()
            .get(source)
            .map_or(0, |status| status.not_understood)
    }
}

/// A source at work; dropping it ends it as `kill -9` would.
pub(crate) struct AtWork {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl AtWork {
    pub(crate) fn start(source: impl Source + 'static, home: &Home) -> Self {
        let (stop, desk) = (CancellationToken::new(), home.desk.clone());
        let until = stop.clone();
        let task = tokio::spawn(async move { source.run(desk, until).await });
        Self { stop, task }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), &mut self.task).await;
        ended.expect("it does not stop").unwrap();
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until something holds, at most twenty seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The configuration of one source, written as in the file.
fn config(text: &str) -> whorl::config::ZuulSource {
    let text = format!("sources: {{zuul: [{{{text}}}]}}");
    let lookup = BTreeMap::from([("TOKEN", "hush-hush")]);
    let lookup = |name: &str| lookup.get(name).map(|value| (*value).to_owned());
    let config = whorl::config::Config::parse("whorl.yaml", &text, &lookup).unwrap();
    config.sources.zuul.into_iter().next().unwrap()
}
