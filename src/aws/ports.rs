//! A range of ports, written as people write it: `443`, `1024-65535`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The first and the last port of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports {
    /// The first one.
    pub from: i32,
    /// The last one.
    pub to: i32,
}

impl Ports {
    /// One port alone.
    pub fn one(port: i32) -> Self {
        Self { from: port, to: port }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => write!(formatter, "{}", self.from),
            false => write!(formatter, "{}-{}", self.from, self.to),
        }
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}

impl TryFrom<String> for Ports {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Ports {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // ICMP has types where the others have ports, and -1 stands for all of them.
        let (from, to) = match text.char_indices().skip(1).find(|(_, letter)| *letter == '-') {
            Some((at, _)) => (&text[..at], &text[at + 1..]),
            None => (text, text),
        };
        Ok(Self { from: from.parse()?, to: to.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for (ports, text) in [
            (Ports::one(443), "443"),
            (Ports { from: 1024, to: 65535 }, "1024-65535"),
            (Ports::one(-1), "-1"),
            (Ports { from: 8, to: -1 }, "8--1"),
        ] {
            assert_eq!(ports.to_string(), text);
            assert_eq!(text.parse(), Ok(ports));
        }
        assert!("http".parse::<Ports>().is_err());
    }
}
