//! How small a drop a sample could have seen, and how many units a decision needs.

use super::bootstrap::{between_units, multiple};
use super::{UnitTotal, normal_quantile};

/// What a comparison is designed for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// One-sided level, such as 0.05.
    pub alpha: f64,
    /// Probability of seeing what is there, such as 0.8.
    pub power: f64,
}

impl Default for Design {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
        }
    }
}

/// The smallest true drop that a one-sided test on these paired differences would find with the design's power, as a
/// positive fraction: (z₁₋α + z_power) · s / √units, s the standard deviation between units. Where hardly a unit differs
/// this cannot be below what no difference at all leaves open, z² / (units + z²). `None` for fewer than two units.
pub fn smallest_drop(differences: &[UnitTotal], design: Design) -> Option<f64> {
    let deviation = between_units(differences)?;
    let units = units(differences);
    let z = normal_quantile(1.0 - design.alpha);
    let open = z * z / (units + z * z);
    Some((multiple(design.alpha, design.power) * deviation / units.sqrt()).max(open))
}

/// Units at which a difference as large as the one seen would be told from a drop of `largest_drop` (a positive fraction)
/// with the design's power, with the spread between units that was seen: ((z₁₋α + z_power) · s / (d + drop))². Where no
/// unit differs, what that alone would need to exclude the drop: z² · (1 − drop) / drop. `None` for fewer than two units,
/// or where the difference seen is the largest drop itself, which no number of items tells apart.
pub fn units_needed(differences: &[UnitTotal], largest_drop: f64, design: Design) -> Option<f64> {
    let deviation = between_units(differences)?;
    let (sum, count) = differences
        .iter()
        .fold((0.0, 0.0), |(s, c), unit| (s + unit.sum, c + unit.count));
    let needed = if deviation > 0.0 {
        let distance = sum / count + largest_drop;
        (multiple(design.alpha, design.power) * deviation / distance).powi(2)
    } else {
        let z = normal_quantile(1.0 - design.alpha);
        z * z * (1.0 - largest_drop) / largest_drop
    };
    needed.is_finite().then(|| needed.ceil())
}

fn units(differences: &[UnitTotal]) -> f64 {
    differences.iter().filter(|unit| unit.count > 0.0).count() as f64
}
