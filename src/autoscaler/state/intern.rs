//! Strings as small integers: label keys, label values, namespaces and names of every kind.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
#[derive(Clone, Debug, Default)]
pub struct Interner {
    ids: FastMap<std::sync::Arc<str>, u32>,
    texts: Vec<std::sync::Arc<str>>,
    numbers: Vec<Option<i64>>,
}

impl Interner {
    /// The symbol of `text`, made when it is new.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(&id) = self.ids.get(text) {
            return Symbol(id);
        }
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let shared: std::sync::Arc<str> = text.into();
        self.ids.insert(shared.clone(), id);
        self.numbers.push(text.parse().ok());
        self.texts.push(shared);
        Symbol(id)
    }

    /// The symbol of `text`, if it was ever interned.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.ids.get(text).copied().map(Symbol)
    }

    /// The text of a symbol; empty for a symbol of another interner.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.index()).map_or("", |text| text)
    }

    /// The text read as an integer, for the comparison operators.
    pub fn number(&self, symbol: Symbol) -> Option<i64> {
        self.numbers.get(symbol.index()).copied().flatten()
    }
}
