//! Which calls fail on purpose, and how.
//!
//! In: a seed, rates, the sites that may fail with the errors that they may raise. Out: for each call,
//! whether it fails, with what, and whether before or after it was done. Invariants: that is a pure
//! function of the seed, the site, the key of the call and how many calls with that key there were, so
//! that it is the same with any number of threads; a site raises only what its table has; each fault is
//! written down before anybody sees it. Where nothing is to fail, there is no plan and nothing is asked.

pub mod http;
mod plan;
mod rates;
mod record;
mod site;
mod spot;

pub use plan::{Plan, Tally};
pub use rates::{BadRate, Rates};
pub use record::{Fault, Record};
pub use site::{Kind, Phase, Site};
pub use spot::{Mishap, Spot};

/// What is in the text of every error that was raised on purpose.
pub const MARK: &str = "made to fail on purpose";
