//! Notes on code review: Gerrit, GitHub, GitLab.
//!
//! In: a note whose text is all that should stand on the change, in plain words ([`Markup::Plain`]):
//! each target makes its own markup of it. Out: exactly one note for a topic,
//! found again by the marker in its last line and by its author, so that an answer that was lost
//! leads to no second one. Invariants: nothing is said on a patchset that is not the newest; log
//! text cannot mention people, close issues, give commands or look like a marker; redirects are not
//! followed; answers are bounded; no error holds a secret.
//!
//! [`Markup::Plain`]: crate::note::Markup::Plain

mod app;
mod check;
mod gerrit;
mod github;
mod gitlab;
mod http;
mod markdown;
mod marker;
mod plain;
mod wanted;
mod words;

pub use app::App;
pub use gerrit::{Gerrit, GerritSettings, Notify, Vote};
pub use github::{GitHub, GitHubAuth, GitHubSettings};
pub use gitlab::{GitLab, GitLabSettings};
pub use http::SetUpError;
