//! A small dense simplex for programs of the form: maximise `b·p` subject to `A·p ≤ c`, `p ≥ 0`,
//! with `c ≥ 0`, so that `p = 0` is where it starts and every later point is feasible too.
//!
//! The programs here have tens of columns and hundreds of rows and are solved in microseconds,
//! some thousand times per second, which is why no general solver is used.

/// The program; `rows` holds `A` row by row.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// What one unit of each variable is worth.
    pub objective: Vec<f64>,
    /// Coefficients, `objective.len()` per row.
    pub rows: Vec<f64>,
    /// Right-hand sides, none negative.
    pub bounds: Vec<f64>,
}

const TINY: f64 = 1e-11;
const SMALLEST_PIVOT: f64 = 1e-9;

impl Program {
    /// Adds a row.
    pub fn constrain(&mut self, coefficients: &[f64], bound: f64) {
        self.rows.extend_from_slice(coefficients);
        self.bounds.push(bound.max(0.0));
    }

    /// A feasible point, the best one unless `most_pivots` ends the search earlier.
    pub fn maximise(&self, most_pivots: usize) -> Vec<f64> {
        let columns = self.objective.len();
        let mut table = Table {
            columns,
            entries: self.rows.clone(),
            bounds: self.bounds.clone(),
            profits: self.objective.clone(),
            basis: (columns..columns + self.bounds.len()).collect(),
            nonbasis: (0..columns).collect(),
        };
        let mut stalled = 0;
        for _ in 0..most_pivots {
            // After many steps without gain, the lowest-index rule makes sure that it ends.
            let Some(entering) = table.entering(stalled > 50) else {
                break;
            };
            let Some(leaving) = table.leaving(entering, stalled > 50) else {
                break;
            };
            let gain = table.bounds[leaving];
            table.pivot(leaving, entering);
            stalled = if gain > TINY { 0 } else { stalled + 1 };
        }
        table.point()
    }
}

/// The condensed tableau: one column per variable outside the basis.
struct Table {
    columns: usize,
    entries: Vec<f64>,
    bounds: Vec<f64>,
    profits: Vec<f64>,
    basis: Vec<usize>,
    nonbasis: Vec<usize>,
}

impl Table {
    fn entering(&self, lowest_index: bool) -> Option<usize> {
        let gainful = (0..self.columns).filter(|column| self.profits[*column] > 1e-10);
        if lowest_index {
            gainful.min_by_key(|column| self.nonbasis[*column])
        } else {
            gainful.max_by(|a, b| self.profits[*a].total_cmp(&self.profits[*b]).then(b.cmp(a)))
        }
    }

    /// The row that binds first. Of rows that bind together the one with the largest coefficient is
    /// taken, for the sake of precision, or the lowest index when the search has stalled.
    fn leaving(&self, entering: usize, lowest_index: bool) -> Option<usize> {
        let mut best: Option<(usize, f64, f64)> = None;
        for (row, bound) in self.bounds.iter().enumerate() {
            let coefficient = self.entries[row * self.columns + entering];
            if coefficient <= SMALLEST_PIVOT {
                continue;
            }
            let ratio = bound / coefficient;
            let better = best.is_none_or(|(held, least, largest)| {
                let slack = least.abs() * 1e-9 + TINY;
                let tied = if lowest_index { self.basis[row] < self.basis[held] } else { coefficient > largest };
                ratio < least - slack || (ratio < least + slack && tied)
            });
            if better {
                best = Some((row, ratio, coefficient));
            }
        }
        best.map(|(row, _, _)| row)
    }

    fn pivot(&mut self, leaving: usize, entering: usize) {
        let columns = self.columns;
        let at = leaving * columns;
        let pivot = self.entries[at + entering];
        let inverse = 1.0 / pivot;
        for column in 0..columns {
            self.entries[at + column] *= inverse;
        }
        self.entries[at + entering] = inverse;
        self.bounds[leaving] *= inverse;
        let (pivot_row, pivot_bound) = (self.entries[at..at + columns].to_vec(), self.bounds[leaving]);
        for row in 0..self.bounds.len() {
            let factor = self.entries[row * columns + entering];
            if row == leaving || factor == 0.0 {
                continue;
            }
            let line = &mut self.entries[row * columns..(row + 1) * columns];
            for (entry, from) in line.iter_mut().zip(&pivot_row) {
                *entry -= factor * from;
            }
            line[entering] = -factor * inverse;
            self.bounds[row] = (self.bounds[row] - factor * pivot_bound).max(0.0);
        }
        let factor = self.profits[entering];
        for (profit, from) in self.profits.iter_mut().zip(&pivot_row) {
            *profit -= factor * from;
        }
        self.profits[entering] = -factor * inverse;
        std::mem::swap(&mut self.basis[leaving], &mut self.nonbasis[entering]);
    }

    fn point(&self) -> Vec<f64> {
        let mut point = vec![0.0; self.columns];
        for (row, variable) in self.basis.iter().enumerate() {
            if *variable < self.columns {
                point[*variable] = self.bounds[row];
            }
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(program: &Program, point: &[f64]) -> f64 {
        program.objective.iter().zip(point).map(|(b, p)| b * p).sum()
    }

    #[test]
    fn textbook_program_reaches_its_known_optimum() {
        let mut program = Program { objective: vec![3.0, 5.0], ..Program::default() };
        program.constrain(&[1.0, 0.0], 4.0);
        program.constrain(&[0.0, 2.0], 12.0);
        program.constrain(&[3.0, 2.0], 18.0);
        let point = program.maximise(100);
        assert!((worth(&program, &point) - 36.0).abs() < 1e-9, "{point:?}");
    }

    #[test]
    fn degenerate_rows_do_not_cycle() {
        // A program on which the largest-gain rule alone goes round for ever.
        let mut program = Program { objective: vec![10.0, -57.0, -9.0, -24.0], ..Program::default() };
        program.constrain(&[0.5, -5.5, -2.5, 9.0], 0.0);
        program.constrain(&[0.5, -1.5, -0.5, 1.0], 0.0);
        program.constrain(&[1.0, 0.0, 0.0, 0.0], 1.0);
        let point = program.maximise(10_000);
        assert!((worth(&program, &point) - 1.0).abs() < 1e-9, "{point:?}");
    }

    #[test]
    fn stopping_early_still_gives_a_feasible_point() {
        let mut program = Program { objective: vec![1.0; 6], ..Program::default() };
        for row in 0..20 {
            let coefficients: Vec<f64> = (0..6).map(|column| f64::from((row * 7 + column * 3) % 5 + 1)).collect();
            program.constrain(&coefficients, f64::from(row + 1));
        }
        for pivots in 0..5 {
            let point = program.maximise(pivots);
            for (row, bound) in program.bounds.iter().enumerate() {
                let used: f64 = program.rows[row * 6..row * 6 + 6].iter().zip(&point).map(|(a, p)| a * p).sum();
                assert!(used <= bound + 1e-9);
            }
        }
    }
}
