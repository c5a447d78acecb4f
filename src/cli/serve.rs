//! `whorl serve`.

use crate::chaos::driver;
use crate::classify::engine::Engine;
use crate::config::{Config, Log, LogFormat};
use crate::fingerprint::{ReloadOutcome, Severity};
use crate::web::{Local, Service};
use anyhow::Context;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Arguments of `whorl serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file; without one the defaults hold
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address and port, in place of the configured one
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Calls of the service fail on purpose, `seed=7,rate=0.05,store.append=0.2`; only where the
    /// configuration says `chaos: {allow-chaos: true}`
    #[arg(long, value_name = "seed=N,…")]
    chaos: Option<String>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut config = match &args.config {
        Some(file) => super::config::load(file)?,
        None => Config::default(),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    if let Some(option) = &args.chaos {
        driver::apply(option, &mut config.chaos)?;
    }
    start_log(&config.log)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let clean = runtime.block_on(serve(config, |_| {}))?;
    // What did not end in time stays pending and is done at the next start.
    runtime.shutdown_background();
    if !clean {
        tracing::warn!("not everything was finished in time; the rest is done at the next start");
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal says stop; `ready` learns the address.
pub(super) async fn serve(config: Config, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<bool> {
    let mut engine = None;
    let service = Service::open(config, |config, spool, state, voices| {
        // Opening reads files and may ask a cluster: that blocks.
        let local =
            tokio::task::block_in_place(|| Local::open(config, spool, state.clone(), voices))?;
        let local = Arc::new(local);
        engine = Some(local.clone());
        Ok(local)
    });
    let service = service.await?;
    let engine = engine.context("no engine")?;
    let stop = service.stopper();
    let address = service.address()?;
    engine.library().watch(stop.clone(), say)?;
    signals(&engine, stop)?;
    // A cluster may have to be asked: that blocks.
    tokio::task::spawn_blocking(move || {
        for problem in engine.warnings() {
            tracing::warn!("{problem}");
        }
    });
    tracing::info!(%address, "listening");
    ready(address);
    Ok(service.run().await?)
}

fn say(outcome: &ReloadOutcome) {
    let set = &outcome.set;
    tracing::info!(
        changed = outcome.changed,
        version = set.version,
        fingerprints = set.fingerprints.len(),
        "fingerprints read again"
    );
    for problem in set
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
    {
        tracing::warn!(
            file = problem.file,
            line = problem.line,
            "{}",
            problem.message
        );
    }
    if !outcome.kept.is_empty() {
        let kept = outcome.kept.join(" ");
        tracing::warn!(
            kept,
            "the last good form of these fingerprints stays in force"
        );
    }
}

fn signals(engine: &Arc<Local>, stop: CancellationToken) -> anyhow::Result<()> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let (mut hangup, engine) = (signal(SignalKind::hangup())?, engine.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hangup.recv() => {
                    let library = engine.library().clone();
                    tokio::task::spawn_blocking(move || say(&library.reload()));
                }
            }
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

/// Our own log goes to standard error, in colour only for people who can see it.
pub(super) fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = level(log).context("log.level")?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A defect is told in the form of all other lines.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(place = panic.location().map(ToString::to_string), "{panic}");
    }));
    started.map_err(|error| anyhow::anyhow!("log: {error}"))
}

/// Which lines are written. The index warns of its own housekeeping, which no operator can use;
/// what goes wrong in it comes back to us as an error.
pub(super) fn level(log: &Log) -> anyhow::Result<EnvFilter> {
    let filter = EnvFilter::try_new(&log.level)?;
    if log.level.contains("tantivy") {
        return Ok(filter);
    }
    Ok(filter.add_directive("tantivy=error".parse()?))
}
