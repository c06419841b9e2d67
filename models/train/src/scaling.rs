//! Shift and scale of a network's inputs.

use crate::features::Table;

/// An input whose standard deviation is a smaller share of its mean than this is taken for constant: its scale is 0.
const LEAST_SPREAD: f64 = 1e-6;

/// Mean and 1 / standard deviation of each input over `rows` of `width` numbers. An input that does not vary gets a scale
/// of 0.
pub fn of_rows<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    width: usize,
) -> (Vec<f32>, Vec<f32>) {
    let (mut sums, mut squares, mut count) = (vec![0.0; width], vec![0.0; width], 0.0);
    for row in rows.clone() {
        count += 1.0;
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    let means: Vec<f64> = sums.iter().map(|s| s / f64::max(count, 1.0)).collect();
    for row in rows {
        for ((square, mean), &x) in squares.iter_mut().zip(&means).zip(row) {
            *square += (f64::from(x) - mean).powi(2);
        }
    }
    let scale = squares.iter().zip(&means).map(|(square, mean)| {
        let spread = (square / f64::max(count, 1.0)).sqrt();
        if spread <= LEAST_SPREAD * f64::max(mean.abs(), 1e-30) {
            0.0
        } else {
            (1.0 / spread) as f32
        }
    });
    let scale = scale.collect();
    (means.into_iter().map(|m| m as f32).collect(), scale)
}

/// Shift and scale of `table` over the rows of `groups`.
pub fn of_groups(table: &Table, groups: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let rows = groups
        .iter()
        .flat_map(|&g| table.groups[g].rows.clone())
        .map(|row| table.row(row));
    of_rows(rows, table.width)
}

/// Shifts and scales every row of `table`.
pub fn apply(table: &mut Table, shift: &[f32], scale: &[f32]) {
    for row in table.values.chunks_exact_mut(shift.len().max(1)) {
        for ((x, shift), scale) in row.iter_mut().zip(shift).zip(scale) {
            *x = (*x - shift) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_zero_and_spread_one_and_constants_vanish() {
        let rows = [[1.0f32, 5.0, -2.0], [3.0, 5.0, -2.0], [5.0, 5.0, 7.0]];
        let (shift, scale) = of_rows(rows.iter().map(|r| r.as_slice()), 3);
        assert_eq!(shift, [3.0, 5.0, 1.0]);
        assert_eq!(scale[0], (1.0 / (8.0f64 / 3.0).sqrt()) as f32);
        assert_eq!(scale[1], 0.0);
    }
}
