//! Values that many share, kept once: what pods ask for, and which labels they have.

use super::intern::FastMap;
use std::hash::Hash;
use std::sync::Arc;

/// A table of values by number. Users are counted, and the place of a value that nobody uses any more is
/// given to the next. A copy is cheap: it shares the values.
#[derive(Clone, Debug)]
pub struct Alike<T> {
    values: Vec<Arc<T>>,
    users: Vec<u32>,
    ids: FastMap<Arc<T>, u32>,
    free: Vec<u32>,
}

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self { values: Vec::new(), users: Vec::new(), ids: FastMap::default(), free: Vec::new() }
    }
}

impl<T: Default + Eq + Hash> Alike<T> {
    /// The value of a number.
    pub fn get(&self, id: u32) -> &T {
        &self.values[id as usize]
    }

    /// How many numbers are in use or were.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there has never been a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of a value, made when it is new, with one more user.
    pub fn take(&mut self, value: T) -> u32 {
        if let Some(&id) = self.ids.get(&value) {
            self.users[id as usize] += 1;
            return id;
        }
        let value = Arc::new(value);
        let id = if let Some(id) = self.free.pop() {
            (self.values[id as usize], self.users[id as usize]) = (Arc::clone(&value), 1);
            id
        } else {
            self.values.push(Arc::clone(&value));
            self.users.push(1);
            u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
        };
        self.ids.insert(value, id);
        id
    }

    /// One user less. Without any, the value goes.
    pub fn give_back(&mut self, id: u32) {
        let Some(users) = self.users.get_mut(id as usize).filter(|users| **users > 0) else { return };
        *users -= 1;
        if *users == 0 {
            let value = std::mem::take(&mut self.values[id as usize]);
            self.ids.remove(&value);
            self.free.push(id);
        }
    }

    /// The values that somebody uses.
    pub fn in_use(&self) -> impl Iterator<Item = &T> {
        self.values.iter().zip(&self.users).filter(|(_, users)| **users > 0).map(|(value, _)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_it_has_users() {
        let mut table = Alike::<String>::default();
        let (web, again, other) = (table.take("web".into()), table.take("web".into()), table.take("other".into()));
        assert_eq!((web, again, other), (0, 0, 1));
        table.give_back(web);
        assert_eq!(table.get(web), "web");
        table.give_back(web);
        table.give_back(web);
        assert_eq!(table.in_use().collect::<Vec<_>>(), ["other"]);
        assert_eq!(table.take("new".into()), web, "the place is used again");
    }
}
