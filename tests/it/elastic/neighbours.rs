//! Services that share a cluster: indexes of names that begin alike, and those who only read.

use super::{clusters, options, prefix};
use whorl::event::{Build, Event};
use whorl::store::elastic::{ElasticStore, Options};
use whorl::store::{LogStore, SearchRequest, StoreError};

fn build(uuid: &str) -> Build {
    Build {
        finished: Some("2026-11-30T00:00:00Z".parse().unwrap()),
        ..Build::new(uuid)
    }
}

fn append(store: &ElasticStore, uuid: &str, count: usize) {
    let mut events = vec![Event::from_message("word"); count].into_iter();
    assert_eq!(
        store.append(&build(uuid), &mut events).unwrap(),
        count as u64
    );
}

fn total(store: &ElasticStore) -> u64 {
    let all = SearchRequest::default();
    store.search(&all, jiff::Timestamp::now()).unwrap().total
}

#[test]
fn a_longer_prefix_is_another_service() {
    for (name, url) in clusters() {
        let short = prefix("near");
        let one = ElasticStore::open(options(&url, short.clone())).unwrap();
        let other = ElasticStore::open(options(&url, format!("{short}-x"))).unwrap();
        append(&one, "b", 3);
        append(&other, "b", 5);
        // Younger than the first index, so that it is not dropped for its age.
        let (first, second) = (total(&one), total(&other));
        assert_eq!((first, second), (3, 5), "{name}");
        assert_eq!(one.health().documents, 3);
        assert_eq!(one.events_of("b").unwrap().len(), 3);
        assert_eq!(other.events_of("b").unwrap().len(), 5);
        assert_eq!(
            one.presence(&["b".into()], None).unwrap()[0].events,
            3,
            "{name}"
        );
        let later = "2026-12-30T00:00:00Z".parse().unwrap();
        assert_eq!(one.delete_before(later).unwrap(), 3);
        assert_eq!((total(&one), total(&other)), (0, 5), "{name}");
    }
}

/// Every name of an index, template or note of the prefix that the cluster has.
fn names(url: &url::Url, prefix: &str) -> String {
    let client = reqwest::blocking::Client::new();
    let get = |path: String| {
        let answer = client.get(url.join(&path).unwrap()).send().unwrap();
        answer.text().unwrap()
    };
    let indexes = get(format!("_cat/indices/{prefix}*?h=index"));
    let template = get(format!("_index_template/{prefix}"));
    assert!(
        template.contains("not found") || template.contains("index_patterns"),
        "{template}"
    );
    let known = if template.contains("index_patterns") {
        "template"
    } else {
        ""
    };
    format!("{indexes}{known}")
}

#[test]
fn who_only_reads_changes_nothing_and_sees_no_half_build() {
    for (name, url) in clusters() {
        let prefix = prefix("reader");
        let reading = || {
            ElasticStore::open(Options {
                read_only: true,
                ..options(&url, prefix.clone())
            })
            .unwrap()
        };
        let reader = reading();
        assert_eq!(total(&reader), 0, "{name}");
        assert_eq!(names(&url, &prefix), "", "{name}");
        let mut none = std::iter::empty();
        let refused = reader.append(&build("b"), &mut none).unwrap_err();
        assert!(matches!(refused, StoreError::Setup(_)), "{refused}");
        let writer = ElasticStore::open(options(&url, prefix.clone())).unwrap();
        append(&writer, "b", 3);
        // What a reader begins to read in the middle of an append.
        let mut during = (0, 0, 0);
        let mut events = (0..5_000).map(|n| {
            if n == 4_999 {
                let client = reqwest::blocking::Client::new();
                let refresh = format!("{prefix}-*/_refresh");
                client.post(url.join(&refresh).unwrap()).send().unwrap();
                let reader = reading();
                let found = reader.presence(&["b".into()], None).unwrap();
                let raw = format!("{prefix}-*/_count");
                let raw = client.get(url.join(&raw).unwrap()).send().unwrap();
                let raw: serde_json::Value = serde_json::from_str(&raw.text().unwrap()).unwrap();
                during = (
                    total(&reader),
                    found[0].events,
                    raw["count"].as_u64().unwrap(),
                );
            }
            Event::from_message("new")
        });
        writer.append(&build("b"), &mut events).unwrap();
        drop(events);
        assert_eq!((during.0, during.1), (3, 3), "{name}");
        assert!(during.2 > 3, "{name}: the half was there: {during:?}");
        assert_eq!(total(&reading()), 5_000, "{name}");
    }
}
