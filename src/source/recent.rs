//! The last things, by key: bounded, the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// At most so many things.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    all: HashMap<K, V>,
    order: VecDeque<K>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.all.get(key)
    }

    /// Remembers something; what was there under the same key is replaced.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.all.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.all.remove(&oldest);
            }
        }
    }

    pub(super) fn forget(&mut self, key: &K) {
        if self.all.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::new(2);
        for n in 0..1_000 {
            recent.put(n, n);
        }
        recent.put(998, 7);
        assert_eq!(recent.get(&997), None);
        assert_eq!(recent.get(&998), Some(&7));
        assert_eq!((recent.all.len(), recent.order.len()), (2, 2));
        recent.forget(&998);
        recent.put(1_000, 1);
        assert_eq!((recent.get(&998), recent.get(&999)), (None, Some(&999)));
    }
}
