//! Dense amounts of the few resources that one problem is about.

use crate::state::resources::{Amounts, ResourceId};

/// The most different resources that the pods of one problem may ask for together.
pub const MAX_DIMENSIONS: usize = 12;

/// Amounts by dimension; entries beyond the dimensions in use are zero.
pub type Vector = [i64; MAX_DIMENSIONS];

/// The zero vector.
pub const ZERO: Vector = [0; MAX_DIMENSIONS];

/// Amounts as a vector over `dimensions`.
#[inline]
pub fn vector(dimensions: &[ResourceId], amounts: &Amounts) -> Vector {
    let mut out = ZERO;
    for (slot, id) in out.iter_mut().zip(dimensions) {
        *slot = amounts.get(*id);
    }
    out
}

/// Whether every entry of `part` is at most that of `whole`.
#[inline]
pub fn fits(part: &Vector, whole: &Vector, dimensions: usize) -> bool {
    part[..dimensions].iter().zip(&whole[..dimensions]).all(|(p, w)| *p <= 0 || p <= w)
}

/// How often `part` goes into `whole`; `u32::MAX` for a part that takes nothing.
#[inline]
pub fn times(part: &Vector, whole: &Vector, dimensions: usize) -> u32 {
    let mut most = i64::from(u32::MAX);
    for d in 0..dimensions {
        if part[d] > 0 {
            most = most.min(whole[d].max(0) / part[d]);
        }
    }
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Adds `count` times `part`.
#[inline]
pub fn add(sum: &mut Vector, part: &Vector, count: u32, dimensions: usize) {
    for d in 0..dimensions {
        sum[d] = sum[d].saturating_add(part[d].saturating_mul(i64::from(count)));
    }
}

/// Takes `count` times `part` away.
#[inline]
pub fn subtract(sum: &mut Vector, part: &Vector, count: u32, dimensions: usize) {
    for d in 0..dimensions {
        sum[d] = sum[d].saturating_sub(part[d].saturating_mul(i64::from(count)));
    }
}
