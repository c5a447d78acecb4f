//! Drivers that fail on purpose: our own backends, wrapped in ones that raise the errors which the
//! backend may raise, as a [`Plan`] says.
//!
//! In: the part `chaos` of the configuration. Out: the same stores, targets, trackers and sources, of
//! which calls fail. Invariants: a call that does not fail goes through unchanged; nothing is wrapped
//! where chaos is off; nothing fails without `allow-chaos: true`.

mod option;
mod source;
mod store;
mod target;
mod tracker;

pub use option::{BadOption, apply};
pub use source::ChaoticSource;
pub use store::Chaotic;
pub use target::ChaoticTarget;
pub use tracker::ChaoticTracker;

use crate::chance::{Plan, Rates, Record, Site, http};
use crate::chaos::validate::nearest;
use crate::config::Chaos;
use crate::{note, source as sources, state, store as stores, tracker as trackers};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the record of one run; after that faults are only counted.
const RECORD: u64 = 64 << 20;

/// Why nothing can be made to fail.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A rate for what does not exist.
    #[error("chaos.rates: {name}: there is no such site; {hint}")]
    Site {
        /// The name.
        name: String,
        /// The name that is most like it, or all names.
        hint: String,
    },
    /// A rate that cannot be.
    #[error("chaos: {0}")]
    Rate(#[from] crate::chance::BadRate),
    /// What fails could not be written down.
    #[error("chaos: {path}: {source}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The rows of all tables. Those of the state are its methods.
pub fn sites() -> impl Iterator<Item = &'static Site> {
    let tables = [
        stores::faults::SITES,
        note::faults::SITES,
        trackers::faults::SITES,
        sources::faults::SITES,
        http::SITES,
    ];
    tables.into_iter().flatten()
}

/// The plan of this run, if chaos is on. What fails is written down in a file of this run in `folder`.
pub fn plan(config: &Chaos, folder: &Path) -> Result<Option<Arc<Plan>>, DriverError> {
    let Some(seed) = config.seed.filter(|_| config.allow_chaos) else {
        return Ok(None);
    };
    let rates = Rates::new(config.rate, config.rates.clone())?;
    for name in rates.names() {
        known(name)?;
    }
    let run = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
    let path = folder.join(format!("faults-{run}.jsonl"));
    let failed = |source| DriverError::Record {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let record = Record::to(&path, RECORD).map_err(failed)?;
    let plan = Plan::new(seed, rates, &run, record);
    tracing::warn!(seed, rate = config.rate, record = %path.display(), "{}", warning(&plan));
    Ok(Some(Arc::new(plan)))
}

/// What people are told while chaos is on.
pub fn warning(plan: &Plan) -> String {
    format!(
        "Chaos is on (seed {}): calls of this service fail on purpose. Take `chaos.seed` out of the configuration and `--chaos` off the command line to end it.",
        plan.seed()
    )
}

/// A name is good when some site has it or is below it.
fn known(name: &str) -> Result<(), DriverError> {
    let below = |site: &str| {
        let rest = site.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let names = || sites().map(|site| site.name);
    let methods = state::METHODS.iter();
    let of_state: Vec<String> = methods.map(|m| format!("{}.{m}", state::FAULTS)).collect();
    let of_state = || of_state.iter().map(String::as_str);
    if names().chain(of_state()).any(below) {
        return Ok(());
    }
    let rooms = names()
        .chain(of_state())
        .filter_map(|site| site.split('.').next());
    let hint = match nearest(name, names().chain(of_state()).chain(rooms)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if name.split('.').next() == Some(state::FAULTS) => {
            format!("there are {}", of_state().collect::<Vec<_>>().join(", "))
        }
        None => format!(
            "there are {}, {}.METHOD",
            names().collect::<Vec<_>>().join(", "),
            state::FAULTS
        ),
    };
    Err(DriverError::Site {
        name: name.to_owned(),
        hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_error_of_every_table_is_one_of_its_own() {
        let mut seen = BTreeSet::new();
        for site in sites() {
            assert!(seen.insert(site.name), "{} twice", site.name);
            let texts: BTreeSet<String> = site
                .kinds
                .iter()
                .map(|kind| match site.name.split('.').next() {
                    Some("store") => format!("{:?}", stores::faults::error(kind.name)),
                    Some("note") => format!("{:?}", note::faults::refusal(kind.name)),
                    Some("tracker") => format!("{:?}", trackers::faults::error(kind.name)),
                    Some("source") => sources::faults::error(kind.name),
                    _ => kind.name.to_owned(),
                })
                .collect();
            assert_eq!(texts.len(), site.kinds.len(), "{}", site.name);
        }
    }

    #[test]
    fn names_that_are_nobodys_are_refused_with_what_was_meant() {
        for good in ["store", "state", "state.job", "http", "note.say"] {
            assert!(known(good).is_ok(), "{good}");
        }
        for (bad, wanted) in [
            ("stor", "did you mean `store`?"),
            ("state.put_biuld", "did you mean `state.put_build`?"),
            ("state.complet", "did you mean `state.complete`?"),
            ("store.apend", "did you mean `store.append`?"),
            ("state.nothing_like_it_at_all", "there are state.announce, "),
            ("weather", "there are store.append, "),
        ] {
            let error = known(bad).unwrap_err().to_string();
            assert!(error.contains(wanted), "{bad}: {error}");
        }
    }
}
