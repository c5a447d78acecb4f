//! A receiver of notes that refuses some, or takes them and says that it did not.

use crate::chance::{Plan, Spot, http};
use crate::note::faults::{SITES, refusal};
use crate::note::{Saying, Target};
use crate::state::Note;
use std::sync::Arc;

/// A target, wrapped.
#[derive(Debug)]
pub struct ChaoticTarget {
    inner: Arc<dyn Target>,
    say: Spot,
    requests: Spot,
    /// Which lane of the configuration it is: names of targets may be made of port numbers, which
    /// are others each time.
    number: usize,
}

impl ChaoticTarget {
    /// Wraps the target of lane number `number`.
    pub fn new(inner: Arc<dyn Target>, number: usize, plan: &Plan) -> Self {
        Self {
            inner,
            say: plan.spot(&SITES[0]),
            requests: plan.spot(&http::NOTES),
            number,
        }
    }
}

impl Target for ChaoticTarget {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(async move {
            let key = format!("{}:{}", self.number, note.topic);
            // Not even begun where it fails before.
            let said = async { self.inner.say(note).await };
            let said = http::within(self.requests.clone(), &key, said);
            self.say.around_async(&key, refusal, said).await
        })
    }
}
