//! The store on a cluster, against real servers.
//!
//! `WHORL_CLUSTERS` names them: `name=url` with `,` between, as `tests/real/run` sets it. Without it
//! these tests say that they were skipped.

use crate::store::contract;
use std::cell::Cell;
use std::time::Duration;
use url::Url;
use whorl::store::elastic::{Connection, ElasticStore, Options};

/// The servers to try, with their names.
pub(crate) fn clusters() -> Vec<(String, Url)> {
    let Ok(all) = std::env::var("WHORL_CLUSTERS") else {
        eprintln!("SKIPPED: WHORL_CLUSTERS names no cluster (tests/real/run starts some)");
        return Vec::new();
    };
    let parsed = all.split(',').filter(|part| !part.trim().is_empty());
    parsed
        .map(|part| {
            let (name, url) = part.trim().split_once('=').expect("name=url");
            (name.to_owned(), url.parse().expect("a URL"))
        })
        .collect()
}

/// A prefix for indexes that no other test uses.
pub(crate) fn prefix(what: &str) -> String {
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    format!("whorl-test-{what}-{:x}", time.as_nanos())
}

pub(crate) fn options(url: &Url, prefix: String) -> Options {
    Options {
        connection: Connection {
            urls: vec![url.clone()],
            ..Connection::default()
        },
        prefix,
        append_limit: Duration::ZERO,
        ..Options::default()
    }
}

#[test]
fn every_cluster_keeps_the_contract() {
    for (name, url) in clusters() {
        println!("{name} at {url}");
        let (base, count) = (prefix("contract"), Cell::new(0));
        contract::run_all(&|schema| {
            count.set(count.get() + 1);
            let options = Options {
                schema,
                ..options(&url, format!("{base}-{}", count.get()))
            };
            Box::new(ElasticStore::open(options).unwrap())
        });
    }
}
