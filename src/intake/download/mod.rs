//! Downloading logs: many files of many hosts at once, each host within its own limits.
//!
//! In: addresses, which come from outside and are not trusted. Out: files, each whole or said to be
//! cut. Invariants: only hosts that are listed are asked, after each redirect too, and a name only at
//! an address that was looked at; two versions of a file are never put together; what is cut is never
//! taken for whole; a host that is slow or hangs delays no other; the bytes are kept as sent, and
//! decompressed by the rest of intake, whose limits then count.

mod address;
mod error;
mod hosts;
pub mod listing;
mod many;
mod part;
mod request;
mod send;
mod slots;
mod transfer;
mod wait;

pub use error::DownloadError;
pub use hosts::{HostPattern, Hosts, Lookup, Refusal};
pub use many::{Downloads, Wanted};
pub use request::{Answer, Budget, Cut, Fetched, Known, Request, Settings};

use hosts::Resolver;
use reqwest::Certificate;
use reqwest::redirect::Policy;
use slots::Slots;
use std::path::Path;
use std::sync::Arc;
use transfer::Transfer;

/// Downloads files. Cheap to clone; all clones share their limits.
#[derive(Debug, Clone)]
pub struct Downloader {
    core: Arc<Core>,
}

/// What all downloads share.
#[derive(Debug)]
struct Core {
    client: reqwest::Client,
    settings: Settings,
    slots: Slots,
}

impl Downloader {
    /// With these limits.
    pub fn new(settings: Settings) -> Result<Self, DownloadError> {
        let client = client(&settings)?;
        let slots = Slots::new(
            settings.parallel,
            settings.per_host,
            settings.waiting,
            settings.rest,
        );
        let core = Core {
            client,
            settings,
            slots,
        };
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// Downloads one file to `target`, where it stands only when it is whole. When this is dropped
    /// before its end nothing is left behind.
    pub async fn fetch(&self, request: &Request, target: &Path) -> Result<Answer, DownloadError> {
        Transfer::new(&self.core, request, target).run().await
    }

    /// The limits.
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }
}

fn client(settings: &Settings) -> Result<reqwest::Client, DownloadError> {
    let failed = |error: reqwest::Error| DownloadError::Client(error::chain(&error));
    let mut client = reqwest::Client::builder()
        .connect_timeout(settings.connect)
        // Each redirect is looked at here.
        .redirect(Policy::none())
        .referer(false)
        // The bytes are wanted as sent: parts, lengths and digests are of these.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .pool_max_idle_per_host(settings.per_host)
        .user_agent(concat!("whorl/", env!("CARGO_PKG_VERSION")));
    if !settings.system_proxy {
        // A proxy would resolve the names itself, where nobody looks at the addresses.
        client = client.no_proxy();
    }
    if !settings.system_proxy || !has_proxy() {
        let hosts = Arc::new(settings.hosts.clone());
        client = client.dns_resolver(Arc::new(Resolver(hosts)));
    }
    if let Some(pem) = &settings.ca {
        let all = Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?;
        if all.is_empty() {
            return Err(DownloadError::Client("no certificate in the PEM".into()));
        }
        for certificate in all {
            client = client.add_root_certificate(certificate);
        }
    }
    client.build().map_err(failed)
}

/// True when the environment names a proxy.
fn has_proxy() -> bool {
    let names = ["http_proxy", "https_proxy", "all_proxy"];
    names.iter().any(|name| {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        set(name) || set(&name.to_uppercase())
    })
}
