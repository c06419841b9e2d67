//! Several comparisons at once.

/// Holm's step-down adjustment (Holm 1979, Scand. J. Stat. 6:65) of the p-values of one family, in the order given. An
/// adjusted p below α rejects at a family-wise error of α, whatever the dependence between the comparisons.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        largest = largest.max((left * p_values[index]).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}
