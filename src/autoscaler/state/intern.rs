//! Strings as small integers: label keys, label values, namespaces and names of every kind.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// An interned string. Two symbols of one [`Interner`] are equal exactly when their texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

impl Symbol {
    /// The symbol as an index into tables kept beside the interner.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A multiplicative hasher: several times faster than the default for short keys.
/// Not resistant to chosen collisions; these slow a look-up down and break nothing.
#[derive(Clone, Copy, Default)]
pub struct FastHasher(u64);

impl FastHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        for &byte in chunks.remainder() {
            self.mix(u64::from(byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}

/// A hash map with [`FastHasher`]. Never iterated where order could reach a result.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// The table of all strings in use, each with its integer reading where it has one.
///
/// A copy shares the table until one of the two learns a new string.
#[derive(Clone, Debug, Default)]
pub struct Interner(Arc<Table>);

#[derive(Clone, Debug, Default)]
struct Table {
    ids: FastMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    numbers: Vec<Option<i64>>,
    /// Those that are never dropped.
    pinned: Vec<bool>,
    /// Places that were given up, to be used again.
    free: Vec<u32>,
    pinning: bool,
}

impl Interner {
    /// The symbol of `text`, made when it is new.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(&id) = self.0.ids.get(text) {
            if self.0.pinning && !self.0.pinned[id as usize] {
                Arc::make_mut(&mut self.0).pinned[id as usize] = true;
            }
            return Symbol(id);
        }
        Symbol(Arc::make_mut(&mut self.0).add(text))
    }

    /// The symbol of `text`, if it was ever interned.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.0.ids.get(text).copied().map(Symbol)
    }

    /// The text of a symbol; empty for a symbol of another interner.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.0.texts.get(symbol.index()).map_or("", |text| text)
    }

    /// The text read as an integer, for the comparison operators.
    pub fn number(&self, symbol: Symbol) -> Option<i64> {
        self.0.numbers.get(symbol.index()).copied().flatten()
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.0.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.ids.is_empty()
    }

    /// Whether strings that are asked for from now on stay for good.
    pub fn pin(&mut self, pinning: bool) {
        if self.0.pinning != pinning {
            Arc::make_mut(&mut self.0).pinning = pinning;
        }
    }

    /// Drops every string that is neither pinned nor kept. Symbols of what stays do not change; those of what
    /// goes may mean something else later.
    pub fn sweep(&mut self, keep: impl Fn(Symbol) -> bool) {
        let table = Arc::make_mut(&mut self.0);
        let gone: Vec<Arc<str>> = table
            .ids
            .iter()
            .filter(|(_, id)| !table.pinned[**id as usize] && !keep(Symbol(**id)))
            .map(|(text, _)| Arc::clone(text))
            .collect();
        let nothing: Arc<str> = "".into();
        for text in gone {
            if let Some(id) = table.ids.remove(&text) {
                table.texts[id as usize] = Arc::clone(&nothing);
                table.numbers[id as usize] = None;
                table.free.push(id);
            }
        }
        // In one order, whatever the order of the map.
        table.free.sort_unstable_by(|a, b| b.cmp(a));
    }
}

impl Table {
    fn add(&mut self, text: &str) -> u32 {
        let shared: Arc<str> = text.into();
        let number = text.parse().ok();
        let id = if let Some(id) = self.free.pop() {
            let at = id as usize;
            (self.texts[at], self.numbers[at], self.pinned[at]) = (Arc::clone(&shared), number, self.pinning);
            id
        } else {
            self.texts.push(Arc::clone(&shared));
            self.numbers.push(number);
            self.pinned.push(self.pinning);
            u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
        };
        self.ids.insert(shared, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swept_makes_room_and_what_stays_keeps_its_symbol() {
        let mut strings = Interner::default();
        strings.pin(true);
        let pinned = strings.intern("m5.large");
        strings.pin(false);
        let (kept, gone) = (strings.intern("web"), strings.intern("batch-1"));
        let before = strings.clone();
        strings.sweep(|symbol| symbol == kept);
        assert_eq!((strings.text(pinned), strings.text(kept)), ("m5.large", "web"));
        assert_eq!((strings.find("batch-1"), strings.text(gone)), (None, ""));
        assert_eq!(strings.intern("42"), gone, "the place is used again");
        assert_eq!(strings.number(gone), Some(42));
        assert_eq!(before.text(gone), "batch-1", "a copy is not touched");
    }
}
