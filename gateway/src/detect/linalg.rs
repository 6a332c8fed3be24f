//! Small symmetric matrices in plain loops: no kernel picks another order of operations on another processor.
//!
//! Matrices are row by row in one slice.

/// Lower triangle `l` with `l lᵀ = a`; `None` if `a` is not positive definite.
pub(super) fn cholesky(a: &[f64], dims: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; dims * dims];
    for i in 0..dims {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * dims + k] * l[j * dims + k]).sum();
            let rest = a[i * dims + j] - dot;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                l[i * dims + i] = rest.sqrt();
            } else {
                l[i * dims + j] = rest / l[j * dims + j];
            }
        }
    }
    Some(l)
}

/// Inverse of the matrix that `l` is the Cholesky triangle of.
pub(super) fn inverse(l: &[f64], dims: usize) -> Vec<f64> {
    // Columns of the triangle's inverse first, then inv = l⁻ᵀ l⁻¹.
    let mut t = vec![0.0; dims * dims];
    for column in 0..dims {
        for i in column..dims {
            let dot: f64 = (column..i).map(|k| l[i * dims + k] * t[k * dims + column]).sum();
            let unit = if i == column { 1.0 } else { 0.0 };
            t[i * dims + column] = (unit - dot) / l[i * dims + i];
        }
    }
    let mut inverse = vec![0.0; dims * dims];
    for i in 0..dims {
        for j in 0..=i {
            let dot: f64 = (i..dims).map(|k| t[k * dims + i] * t[k * dims + j]).sum();
            inverse[i * dims + j] = dot;
            inverse[j * dims + i] = dot;
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_the_unit_matrix() {
        let a = [4.0, 2.0, 0.6, 2.0, 3.0, 0.4, 0.6, 0.4, 2.0];
        let l = cholesky(&a, 3).unwrap();
        let inverse = inverse(&l, 3);
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| a[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        assert!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(cholesky(&[f64::NAN], 1).is_none());
    }
}
