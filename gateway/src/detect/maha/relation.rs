//! Means, units and the shrunk correlation of places, and what each place is off from what the others foretell.

use super::super::linalg;

/// A place's unit is at least this share of what it is over all rows: a place that moved on one day only is not rigid.
const UNIT_SHARE_MIN: f64 = 0.1;

/// Sums over rows of standard units, from which any part of the rows can be taken away again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sums {
    dims: usize,
    rows: f64,
    first: Vec<f64>,
    /// Lower triangle, row by row in the full square.
    second: Vec<f64>,
}

impl Sums {
    pub(super) fn new(dims: usize) -> Self {
        Self { dims, rows: 0.0, first: vec![0.0; dims], second: vec![0.0; dims * dims] }
    }

    pub(super) fn add(&mut self, row: &[f64]) {
        self.rows += 1.0;
        for i in 0..self.dims {
            self.first[i] += row[i];
            for j in 0..=i {
                self.second[i * self.dims + j] += row[i] * row[j];
            }
        }
    }

    /// The sums over the rows that are not in `part`.
    pub(super) fn without(&self, part: &Self) -> Self {
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            dims: self.dims,
            rows: self.rows - part.rows,
            first: less(&self.first, &part.first),
            second: less(&self.second, &part.second),
        }
    }

    /// The relation that these rows show.
    pub(super) fn relation(&self) -> Relation {
        let (dims, rows) = (self.dims, self.rows.max(2.0));
        let mean: Vec<f64> = self.first.iter().map(|s| s / rows).collect();
        let covariance = |i: usize, j: usize| (self.second[i * dims + j] - rows * mean[i] * mean[j]) / (rows - 1.0);
        let unit: Vec<f64> = (0..dims).map(|i| covariance(i, i).max(0.0).sqrt().max(UNIT_SHARE_MIN)).collect();
        // The fewer rows for each place, the less a correlation is believed.
        let freedom = dims as f64 + 1.0;
        let believed = rows / (rows + freedom);
        let mut correlation = Vec::with_capacity(dims * (dims - 1) / 2);
        for i in 0..dims {
            for j in 0..i {
                correlation.push((believed * covariance(i, j) / (unit[i] * unit[j])) as f32);
            }
        }
        Relation { mean, unit, correlation }
    }
}

/// Mean and unit of each place and the correlations below the diagonal, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation {
    pub(super) mean: Vec<f64>,
    pub(super) unit: Vec<f64>,
    pub(super) correlation: Vec<f32>,
}

/// What the other places foretell of one, in standard units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Foretold {
    pub(super) value: f64,
    /// How exact that is: the standard deviation of what is left.
    pub(super) spread: f64,
    /// How far the place is off, in spreads.
    pub(super) off: f64,
}

/// Foretells each place from all others that are `present`. `units` are theirs, in the same order.
pub(super) fn foretell(correlation: &[f32], present: &[usize], units: &[f64]) -> Vec<Foretold> {
    let dims = present.len();
    let mut square = vec![0.0; dims * dims];
    for (i, &row) in present.iter().enumerate() {
        square[i * dims + i] = 1.0;
        for (j, &column) in present.iter().enumerate().take(i) {
            let r = f64::from(correlation[row * (row - 1) / 2 + column]);
            square[i * dims + j] = r;
            square[j * dims + i] = r;
        }
    }
    let Some(triangle) = linalg::cholesky(&square, dims) else {
        // Shrinking makes the matrix positive definite; a model from a damaged store foretells nothing.
        return vec![Foretold::default(); dims];
    };
    let precision = linalg::inverse(&triangle, dims);
    (0..dims)
        .map(|i| {
            let mut pull = 0.0;
            for j in 0..dims {
                pull += precision[i * dims + j] * units[j];
            }
            let own = precision[i * dims + i];
            Foretold { value: units[i] - pull / own, spread: 1.0 / own.sqrt(), off: pull / own.sqrt() }
        })
        .collect()
}
