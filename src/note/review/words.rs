//! What review notes say beside the text that they are given.

/// Above a note that is folded away.
pub(super) const FOLDED: &str = "About an older patchset";

/// In the place of what a service has no room for.
pub(super) fn cut(page: Option<&str>) -> String {
    match page {
        Some(page) => format!("The rest is left out here for its length: {page}"),
        None => "The rest is left out here for its length.".to_owned(),
    }
}
