//! Opening: what must be so in a cluster before our own indexes can be used.
//!
//! A cluster may be away when we start. So a store can be made without asking anything, and made
//! ready when the cluster answers; until then it neither reads nor writes indexes of our own, because
//! it does not know what broken appends have left there.

use super::call::Request;
use super::client::{Client, Traffic};
use super::request::Form;
use super::{ElasticStore, HEALTH_LIMIT, Options, mapping};
use crate::query::FieldKind;
use crate::store::StoreError;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

impl ElasticStore {
    /// Makes a store without asking the cluster anything.
    pub fn new(options: Options) -> Result<Self, StoreError> {
        let own = options.layout.is_none();
        let splits_words = own && options.schema.kind("message") == FieldKind::Text;
        Ok(Self {
            client: Client::new(&options.connection)?,
            form: options.layout.clone().map_or(Form::Own, Form::Foreign),
            options,
            hidden: Mutex::default(),
            adopted: Mutex::default(),
            doubtful: Mutex::default(),
            known: Mutex::default(),
            prepared: AtomicBool::new(false),
            splits_words: AtomicBool::new(splits_words),
            preparing: Mutex::default(),
        })
    }

    /// Prepares the cluster for our indexes and clears what a broken append left; a store that only
    /// reads changes nothing there.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let store = Self::new(options)?;
        store.prepare()?;
        Ok(store)
    }

    /// What [`ElasticStore::open`] does, for a store that was made without asking.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let one_at_a_time = self.preparing.lock();
        let _held = one_at_a_time.unwrap_or_else(PoisonError::into_inner);
        if self.is_prepared() {
            return Ok(());
        }
        match (&self.form, self.options.read_only) {
            (Form::Foreign(_), _) => {}
            (Form::Own, true) => self.hide_others()?,
            (Form::Own, false) => {
                self.put_template()?;
                self.recover(self.options.append_limit)?;
            }
        }
        self.prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// True once the cluster was made ready.
    pub fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    /// Asks each address once, and shortly, whether our searches can be answered: for those who
    /// cannot wait for all repetitions.
    pub fn knock(&self) -> Result<(), StoreError> {
        let request = Request::post(format!("{}/_search", self.pattern()))
            .with("ignore_unavailable", true)
            .with("allow_no_indices", true)
            .json(&json!({"size": 0, "terminate_after": 1, "track_total_hits": false}))
            .once(HEALTH_LIMIT);
        let mut answer = self.client.call(&request);
        for _ in 1..self.options.connection.urls.len() {
            if !answer.as_ref().is_err_and(StoreError::is_passing) {
                break;
            }
            answer = self.client.call(&request);
        }
        answer.map(|_| ())
    }

    /// What went over the wire since the start.
    pub fn traffic(&self) -> Traffic {
        self.client.traffic()
    }

    /// Why nothing is sent at the moment, when the cluster is left alone after failures in a row.
    pub fn left_alone(&self) -> Option<String> {
        self.client.trouble()
    }

    /// Refuses to use indexes of our own before it is known what is in them.
    pub(super) fn ready(&self) -> Result<(), StoreError> {
        if self.is_prepared() || self.is_foreign() {
            return Ok(());
        }
        Err(StoreError::Unavailable(
            "the cluster has not answered yet".into(),
        ))
    }

    fn put_template(&self) -> Result<(), StoreError> {
        let body = json!({
            "index_patterns": self.own_patterns(),
            "priority": 200,
            "template": mapping::own_index(&self.options.schema, self.options.shards),
        });
        let path = format!("_index_template/{}", self.options.prefix);
        self.client.call(&Request::put(path).json(&body))?;
        Ok(())
    }
}
