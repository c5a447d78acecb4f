//! What an index has of each build, in little room.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Marks of builds by their names, of which no more than a hash is kept, with keys of our own: two builds that
/// share it would have to share their digest too to be taken for each other. Some 20 bytes for each.
#[derive(Debug, Default)]
pub(super) struct Marks {
    keys: RandomState,
    all: HashMap<u64, u64>,
}

impl Marks {
    pub(super) fn get(&self, uuid: &str) -> Option<u64> {
        self.all.get(&self.keys.hash_one(uuid)).copied()
    }

    pub(super) fn put(&mut self, uuid: &str, digest: u64) {
        self.all.insert(self.keys.hash_one(uuid), digest);
    }

    pub(super) fn remove(&mut self, uuid: &str) {
        self.all.remove(&self.keys.hash_one(uuid));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl<N: AsRef<str>> FromIterator<(N, u64)> for Marks {
    fn from_iter<I: IntoIterator<Item = (N, u64)>>(all: I) -> Self {
        let mut marks = Self::default();
        for (uuid, digest) in all {
            marks.put(uuid.as_ref(), digest);
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digest_of_each_name_is_kept() {
        let mut marks: Marks = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
        assert_eq!(
            (marks.get("a"), marks.get("b"), marks.len()),
            (Some(3), Some(2), 2)
        );
        marks.put("b", 4);
        marks.remove("a");
        assert_eq!(
            (marks.get("a"), marks.get("b"), marks.get("c")),
            (None, Some(4), None)
        );
        marks.clear();
        assert_eq!((marks.get("b"), marks.len()), (None, 0));
    }
}
