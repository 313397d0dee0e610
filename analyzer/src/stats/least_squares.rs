//! Least squares for a handful of columns, by orthogonalising them one after the other.

/// Share of a column's length that has to stay after removing the earlier columns.  Less means
/// that the column is a mix of those, up to rounding, and it is left out.
const DEPENDENT: f64 = 1e-10;

/// Columns of a design matrix, made orthonormal as they are added (modified Gram-Schmidt).
///
/// Numerically this is a QR factorisation; for a few columns of similar scale its residuals are
/// as good as Householder's.  Callers centre the values and scale times to 0..1.
#[derive(Debug, Clone)]
pub struct Basis {
    n: usize,
    /// Orthonormal columns; a dependent one is all zero.
    q: Vec<Vec<f64>>,
    /// Column j of the triangular factor, j + 1 numbers each.
    r: Vec<Vec<f64>>,
}

/// A least-squares fit.
#[derive(Debug, Clone)]
pub struct LeastSquares {
    /// One coefficient per column, 0 for a column that depends on earlier ones.
    pub coefficients: Vec<f64>,
    /// Sum of squared residuals.
    pub sse: f64,
    /// Values minus fit.
    pub residuals: Vec<f64>,
}

impl Basis {
    /// No column yet, for `n` values.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self {
            n,
            q: Vec::new(),
            r: Vec::new(),
        }
    }

    /// A constant column and nothing else.
    #[must_use]
    pub fn constant(n: usize) -> Self {
        let mut basis = Self::new(n);
        basis.push(&vec![1.0; n]);
        basis
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.q.len()
    }

    /// Adds a column.  Missing values at its end count as 0.
    pub fn push(&mut self, column: &[f64]) {
        let mut rest = column.to_vec();
        rest.resize(self.n, 0.0);
        let length = dot(&rest, &rest).sqrt();
        let mut parts = Vec::with_capacity(self.q.len() + 1);
        for q in &self.q {
            let part = dot(q, &rest);
            subtract(&mut rest, q, part);
            parts.push(part);
        }
        let left = dot(&rest, &rest).sqrt();
        if left > DEPENDENT * length {
            let scale = 1.0 / left;
            for x in &mut rest {
                *x *= scale;
            }
            parts.push(left);
        } else {
            rest.fill(0.0);
            parts.push(0.0);
        }
        self.q.push(rest);
        self.r.push(parts);
    }

    /// The product of two columns as they are without what the columns so far explain of them, and
    /// the square of each.  The sums lose the digits that a column shares with those; they serve to
    /// choose among columns.
    pub(crate) fn products(&self, a: &[f64], b: &[f64]) -> (f64, f64, f64) {
        let (mut ab, mut aa, mut bb) = (dot(a, b), dot(a, a), dot(b, b));
        for q in &self.q {
            let (along_a, along_b) = (dot(q, a), dot(q, b));
            ab -= along_a * along_b;
            aa -= along_a * along_a;
            bb -= along_b * along_b;
        }
        (ab, aa, bb)
    }

    /// The square of a column as it is without what the columns so far explain of it, like
    /// [`Basis::products`].
    pub(crate) fn square(&self, a: &[f64]) -> f64 {
        let explained: f64 = self.q.iter().map(|q| dot(q, a).powi(2)).sum();
        dot(a, a) - explained
    }

    /// Forgets all but the first `columns` columns.
    pub fn truncate(&mut self, columns: usize) {
        self.q.truncate(columns);
        self.r.truncate(columns);
    }

    /// Fits `y` by all columns.
    ///
    /// Assumes nothing of the errors for the fit itself; standard errors of autocorrelated
    /// samples need an effective number of samples, which is left to the caller.
    /// Degenerate: more columns than values fit exactly; a dependent column gets coefficient 0.
    #[must_use]
    pub fn fit(&self, y: &[f64]) -> LeastSquares {
        self.fit_from(y.to_vec(), 0)
    }

    /// Fits values from which the first `done` columns were already removed.  The coefficients of
    /// these columns are then relative to what was removed.
    pub(crate) fn fit_from(&self, mut residuals: Vec<f64>, done: usize) -> LeastSquares {
        residuals.resize(self.n, 0.0);
        let mut along = vec![0.0; self.q.len()];
        for (a, q) in along.iter_mut().zip(&self.q).skip(done) {
            *a = dot(q, &residuals);
            subtract(&mut residuals, q, *a);
        }
        let mut coefficients = along;
        for j in (0..self.r.len()).rev() {
            let pivot = self.r[j][j];
            let value = if pivot > 0.0 {
                coefficients[j] / pivot
            } else {
                0.0
            };
            coefficients[j] = value;
            for (c, r) in coefficients[..j].iter_mut().zip(&self.r[j]) {
                *c -= value * r;
            }
        }
        LeastSquares {
            coefficients,
            sse: dot(&residuals, &residuals),
            residuals,
        }
    }

    /// The orthonormal columns; a dependent one is all zero.
    pub(crate) fn orthonormal(&self) -> &[Vec<f64>] {
        &self.q
    }

    /// The weights whose product with the values is the coefficient of the last column; `None`
    /// where that column depends on earlier ones.
    pub(crate) fn weights_of_last(&self) -> Option<Vec<f64>> {
        let (q, pivot) = self.q.last().zip(self.r.last()?.last())?;
        (*pivot > 0.0).then(|| q.iter().map(|x| x / pivot).collect())
    }

    /// The leverage of each value: the diagonal of the projection onto the columns.  The variance
    /// of the fit at value i is this times the residual variance.
    #[must_use]
    pub fn leverage(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        for q in &self.q {
            for (o, x) in out.iter_mut().zip(q) {
                *o += x * x;
            }
        }
        out
    }
}

/// The sum of products, of as many as the shorter slice has.  In four sums, as each addition would
/// wait for the one before in a single one.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (a[..n].chunks_exact(4), b[..n].chunks_exact(4));
    let rest: f64 = (a.remainder().iter().zip(b.remainder()))
        .map(|(x, y)| x * y)
        .sum();
    let mut sums = [0.0; 4];
    for (x, y) in a.zip(b) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

fn subtract(from: &mut [f64], direction: &[f64], times: f64) {
    for (f, d) in from.iter_mut().zip(direction) {
        *f -= times * d;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_through_four_points_matches_the_normal_equations() {
        // By hand: x = 0 1 2 3, y = 1 3 2 5: slope 1.1, intercept 1.1, SSE 2.7.
        let mut basis = Basis::constant(4);
        basis.push(&[0.0, 1.0, 2.0, 3.0]);
        let fit = basis.fit(&[1.0, 3.0, 2.0, 5.0]);
        assert!((fit.coefficients[0] - 1.1).abs() < 1e-12);
        assert!((fit.coefficients[1] - 1.1).abs() < 1e-12);
        assert!((fit.sse - 2.7).abs() < 1e-12);
        // The leverages of a line on 4 even points: .7 .3 .3 .7.
        assert!(
            (basis.leverage()[0] - 0.7).abs() < 1e-12 && (basis.leverage()[1] - 0.3).abs() < 1e-12
        );
    }

    #[test]
    fn a_dependent_column_is_left_out() {
        let mut basis = Basis::constant(3);
        basis.push(&[0.0, 1.0, 2.0]);
        basis.push(&[1.0, 3.0, 5.0]);
        let fit = basis.fit(&[2.0, 4.0, 6.0]);
        assert!(fit.sse < 1e-20 && fit.coefficients[2].abs() < 1e-12);
        assert!((fit.coefficients[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn no_values_fit_to_nothing() {
        let fit = Basis::constant(0).fit(&[]);
        assert!(fit.sse.abs() < 1e-300 && fit.residuals.is_empty());
    }
}
