//! Who may ask: TLS with an authority of one's own, users and their rights, keys and tokens.
//!
//! `WHORL_SECURE_CLUSTER` is a cluster with TLS (`tests/real/run` starts one), `WHORL_SECURE_CA` the
//! file of its authority, `WHORL_SECURE_ADMIN` and `WHORL_SECURE_READER` are `user:password`.

use super::{clusters, options, prefix};
use crate::proxy::Proxy;
use url::Url;
use whorl::event::{Build, Event};
use whorl::store::elastic::{Auth, ElasticStore, Layout, Options};
use whorl::store::{HealthState, LogStore, SearchRequest, StoreError};

struct Secure {
    url: Url,
    ca: String,
    admin: Auth,
    reader: Auth,
}

fn secure() -> Option<Secure> {
    let Ok(url) = std::env::var("WHORL_SECURE_CLUSTER") else {
        eprintln!("SKIPPED: WHORL_SECURE_CLUSTER names no cluster (tests/real/run starts one)");
        return None;
    };
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let user = |name: &str| {
        let text = variable(name);
        let (user, password) = text.split_once(':').expect("user:password");
        Auth::Basic(user.to_owned(), password.to_owned())
    };
    Some(Secure {
        url: url.parse().unwrap(),
        ca: std::fs::read_to_string(variable("WHORL_SECURE_CA")).unwrap(),
        admin: user("WHORL_SECURE_ADMIN"),
        reader: user("WHORL_SECURE_READER"),
    })
}

impl Secure {
    fn options(&self, auth: &Auth, prefix: &str) -> Options {
        let mut options = options(&self.url, prefix.to_owned());
        options.connection.auth = auth.clone();
        options.connection.ca = Some(self.ca.clone());
        options.connection.retries = 1;
        options
    }
}

fn append(store: &ElasticStore, uuid: &str) -> Result<u64, StoreError> {
    store.append(
        &Build::new(uuid),
        &mut [Event::from_message("word")].into_iter(),
    )
}

fn refusal(options: Options) -> StoreError {
    ElasticStore::open(options).expect_err("it must be refused")
}

#[test]
fn the_right_password_over_tls_works() {
    let Some(secure) = secure() else { return };
    let store = ElasticStore::open(secure.options(&secure.admin, &prefix("tls"))).unwrap();
    assert_eq!(append(&store, "b").unwrap(), 1);
    assert_eq!(store.events_of("b").unwrap().len(), 1);
    assert_eq!(store.health().state, HealthState::Ok);
}

#[test]
fn a_wrong_password_is_said_and_not_tried_again() {
    let Some(secure) = secure() else { return };
    let wrong = Auth::Basic("admin".into(), "Wrong-Secret-1".into());
    let error = refusal(secure.options(&wrong, "whorl-test-wrong"));
    assert!(
        matches!(error, StoreError::Refused { status: 401, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("401 Unauthorized"), "{text}");
    assert!(!text.contains("Wrong-Secret-1"), "{text}");
}

#[test]
fn an_unknown_authority_is_said() {
    let Some(secure) = secure() else { return };
    let mut options = secure.options(&secure.admin, "whorl-test-unknown");
    options.connection.ca = None;
    let text = refusal(options).to_string();
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[test]
fn plain_http_on_a_tls_port_is_said() {
    let Some(secure) = secure() else { return };
    let mut options = secure.options(&secure.admin, "whorl-test-plain");
    options.connection.urls[0].set_scheme("http").unwrap();
    let text = refusal(options).to_string();
    assert!(text.contains("does it speak https there?"), "{text}");
    println!("{text}");
}

#[test]
fn tls_on_a_plain_port_is_said() {
    let proxy = Proxy::guarded(None, "");
    let mut options = options(&proxy.url(), "whorl-test-tls".into());
    options.connection.urls[0].set_scheme("https").unwrap();
    options.connection.retries = 0;
    let text = refusal(options).to_string();
    assert!(text.contains("does it speak plain http there?"), "{text}");
    println!("{text}");
}

#[test]
fn a_reader_may_search_and_not_write() {
    let Some(secure) = secure() else { return };
    let name = prefix("reader");
    let admin = ElasticStore::open(secure.options(&secure.admin, &name)).unwrap();
    append(&admin, "b").unwrap();
    // As a reader of what somebody else fills: the same documents.
    let mut options = secure.options(&secure.reader, &name);
    options.layout = Some(Layout {
        indexes: vec![format!("{name}-*")],
        names: [("build_uuid".to_owned(), "whorl.build".to_owned())].into(),
        order: Vec::new(),
    });
    let reader = ElasticStore::open(options).unwrap();
    let request = SearchRequest {
        limit: 10,
        ..SearchRequest::default()
    };
    let found = reader.search(&request, jiff::Timestamp::now()).unwrap();
    assert_eq!(found.total, 1);
    assert_eq!(reader.events_of("b").unwrap()[0].message, "word");
    let error = append(&reader, "c").unwrap_err().to_string();
    assert!(error.contains("only reads them"), "{error}");
    // As one that should fill: it says at the start which right is missing.
    let error = refusal(secure.options(&secure.reader, &name));
    assert!(
        matches!(error, StoreError::Refused { status: 403, .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("_index_template") && text.contains("no permissions"),
        "{text}"
    );
    // A right that is lost while it runs.
    assert_eq!(admin.events_of("b").unwrap().len(), 1);
}

/// No server with API keys can be had: a strict fake in front of a real one, or of nothing.
#[test]
fn keys_and_tokens_are_sent_exactly() {
    let target = clusters().into_iter().next().map(|(_, url)| url);
    let given = [
        (Auth::ApiKey("aWQ6a2V5".into()), "ApiKey aWQ6a2V5"),
        (Auth::Bearer("tok.en-1".into()), "Bearer tok.en-1"),
        (
            Auth::Basic("me".into(), "pä:ss".into()),
            "Basic bWU6cMOkOnNz",
        ),
    ];
    for (auth, header) in given {
        let guard = Proxy::guarded(target.as_ref(), header);
        let with = |auth: &Auth| {
            let mut options = options(&guard.url(), prefix("key"));
            options.connection.auth = auth.clone();
            options
        };
        let store = ElasticStore::open(with(&auth)).unwrap();
        if target.is_some() {
            append(&store, "b").unwrap();
            assert_eq!(store.events_of("b").unwrap().len(), 1);
        }
        let wrong = [
            Auth::None,
            Auth::ApiKey("aWQ6a2V6".into()),
            Auth::Bearer("token-1".into()),
            Auth::Basic("me".into(), "pass".into()),
        ];
        for auth in wrong {
            let before = guard.count("").requests;
            let error = refusal(with(&auth));
            assert!(
                matches!(error, StoreError::Refused { status: 401, .. }),
                "{error}"
            );
            assert!(
                error.to_string().contains("unable to authenticate"),
                "{error}"
            );
            assert_eq!(guard.count("").requests, before + 1, "asked once");
        }
    }
}
