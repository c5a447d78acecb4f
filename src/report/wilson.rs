//! The interval of a rate.

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of `n` of `m`, from 0 to 1; none when there is nothing to divide by.
pub fn wilson(n: u64, m: u64) -> Option<(f64, f64)> {
    if m == 0 {
        return None;
    }
    let (n, m) = (n.min(m) as f64, m as f64);
    let rate = n / m;
    let square = Z * Z;
    let scale = 1.0 + square / m;
    let centre = (rate + square / (2.0 * m)) / scale;
    let half = Z * (rate * (1.0 - rate) / m + square / (4.0 * m * m)).sqrt() / scale;
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
        let table = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (n, m, low, high) in table {
            let (a, b) = wilson(n, m).unwrap();
            assert!(
                (a - low).abs() < 5e-5 && (b - high).abs() < 5e-5,
                "{n}/{m}: {a} {b}"
            );
        }
        let (low, high) = wilson(20, 20).unwrap();
        assert!((low - 0.8389).abs() < 5e-5 && (high - 1.0).abs() < 1e-9);
        assert_eq!(wilson(0, 0), None);
    }
}
