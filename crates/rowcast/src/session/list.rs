//! A session's subscriptions, by their keys. Most sessions have one or two: a vector is the smallest map.

use crate::hub::SubscriptionKey;

/// Keys only grow, so that a new one goes to the end.
#[derive(Debug)]
pub(super) struct List<T>(Vec<(SubscriptionKey, T)>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    fn find(&self, key: SubscriptionKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key)
    }

    pub(super) fn insert(&mut self, key: SubscriptionKey, value: T) {
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        match self.find(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub(super) fn remove(&mut self, key: &SubscriptionKey) -> Option<T> {
        self.find(*key).ok().map(|at| self.0.remove(at).1)
    }

    pub(super) fn get(&self, key: &SubscriptionKey) -> Option<&T> {
        self.find(*key).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, key: &SubscriptionKey) -> Option<&mut T> {
        self.find(*key).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SubscriptionKey, &T)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &SubscriptionKey> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let mut list = List::default();
        for key in 0..5 {
            list.insert(SubscriptionKey(key), key * 10);
        }
        assert_eq!(list.remove(&SubscriptionKey(2)), Some(20));
        assert_eq!((list.get(&SubscriptionKey(2)), list.get(&SubscriptionKey(4))), (None, Some(&40)));
        assert_eq!(list.keys().map(|key| key.0).collect::<Vec<_>>(), [0, 1, 3, 4]);
    }
}
