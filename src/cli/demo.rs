//! `whorl demo`: the real service on recorded builds.

#![expect(
    clippy::print_stdout,
    reason = "the demo says where it is and what to try"
)]

mod feed;
mod recordings;

use super::serve::{serve, start_log};
use crate::config::{Config, Log, Period};
use anyhow::{Context, bail};
use feed::Sender;
use recordings::Recording;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Recordings that are not loaded at the start but fed one by one.
const KEPT_BACK: usize = 20;
/// How long a stopping demo may take: nobody needs its last verdict.
const DRAIN: Period = Period::seconds(6);
/// How long the runtime may take to end what it does on files.
const END: Duration = Duration::from_secs(10);

/// Arguments of `whorl demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder with the recorded builds [default: `fixtures` here, else in the project]
    #[arg(long)]
    fixtures: Option<PathBuf>,
    /// Folder of fingerprints [default: `queries` here, else in the project]
    #[arg(long)]
    queries: Option<PathBuf>,
    /// Time between two new builds, such as 500ms or 5s
    #[arg(long, default_value = "5s")]
    every: Period,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let fixtures = folder(args.fixtures.as_deref(), "fixtures");
    let queries = folder(args.queries.as_deref(), "queries");
    let mut recorded = recordings::read(&fixtures)?;
    let kept_back = recorded.split_off(recorded.len() - KEPT_BACK.min(recorded.len() / 2));
    let data = tempfile::Builder::new().prefix("whorl-demo-").tempdir()?;
    let config = Config {
        listen: free(args.listen)?,
        data_dir: data.path().to_owned(),
        fingerprints: vec![queries.clone()],
        drain: DRAIN,
        log: Log {
            level: "warn".into(),
            ..Log::default()
        },
        ..Config::default()
    };
    start_log(&config.log)?;
    let demo = Demo {
        recorded,
        kept_back,
        fixtures,
        queries,
        every: args.every.0,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(demo.run(config));
    // The folder may only go when nothing writes to it any more.
    runtime.shutdown_timeout(END);
    let folder = data.path().display().to_string();
    data.close().with_context(|| format!("removing {folder}"))?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// The folder that was named, or the one that lies here, or the project's own.
fn folder(named: Option<&Path>, name: &str) -> PathBuf {
    if let Some(named) = named {
        return named.to_owned();
    }
    if Path::new(name).is_dir() {
        return PathBuf::from(name);
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Asks for the port before anything else is done: links in notes need the real number, and a taken
/// port is told at once.
fn free(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    match TcpListener::bind(listen) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "another program listens on {listen}; use `--listen {}:0` for any free port",
            listen.ip()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {listen}")),
    }
}

/// What the demo shows.
struct Demo {
    recorded: Vec<Recording>,
    kept_back: Vec<Recording>,
    fixtures: PathBuf,
    queries: PathBuf,
    every: Duration,
}

impl Demo {
    /// Serves until a signal, and feeds the service meanwhile.
    async fn run(self, config: Config) -> anyhow::Result<()> {
        let (ready, address) = oneshot::channel();
        let served = serve(config, |address| {
            // The receiver lives as long as this future.
            let _ = ready.send(address);
        });
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let fed = async {
            // A service that did not start says so itself.
            let Ok(address) = address.await else {
                return Ok(());
            };
            // A service that stops refuses new builds, which is no failure.
            tokio::select! {
                biased;
                _ = term.recv() => Ok(()),
                _ = int.recv() => Ok(()),
                fed = self.feed(address) => fed,
            }
        };
        tokio::pin!(served);
        tokio::select! {
            biased;
            served = &mut served => return served.map(|_| ()),
            fed = fed => fed?,
        }
        served.await?;
        println!("stopped");
        Ok(())
    }

    /// Loads the past, then feeds new builds for ever.
    async fn feed(&self, address: SocketAddr) -> anyhow::Result<()> {
        println!("whorl runs at http://{address}/");
        println!("loading {} recorded builds …", self.recorded.len());
        let sender = Sender::new(address)?;
        sender.load(&self.recorded).await?;
        self.tell(address);
        sender.feed(&self.kept_back, self.every).await
    }

    fn tell(&self, address: SocketAddr) {
        let queries = self.queries.display();
        let example = self.recorded.last().map(Recording::logs);
        let example = example.unwrap_or_else(|| self.fixtures.clone());
        // `classify` finds a folder of this name by itself.
        let named = if self.queries == Path::new("queries") {
            String::new()
        } else {
            format!(" --queries {queries}")
        };
        println!(
            "{} builds of the last ten days are loaded; every {:?} a new one comes in.\n\n\
             Three things to try:\n\
             \x20 1. Open http://{address}/ and follow a bug to its evidence.\n\
             \x20 2. cargo run --release -- classify {}{named}\n\
             \x20 3. Edit a file in {queries}/ or add one for a build of http://{address}/unexplained;\n\
             \x20    it counts within seconds, for stored builds too.\n\n\
             Ctrl-C stops the demo and removes its data.",
            self.recorded.len(),
            self.every,
            example.display(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let message = free(address).unwrap_err().to_string();
        assert!(message.contains(&address.to_string()), "{message}");
        assert!(message.contains("--listen 127.0.0.1:0"), "{message}");
    }
}
