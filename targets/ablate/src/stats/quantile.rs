//! Order statistics.

/// The `q` quantile of `values`, in [0, 1], linear between order statistics (Hyndman and Fan's type 7, NumPy's default).
/// `None` for no values. Sorts `values`.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    sorted_quantile(values, q)
}

/// As [`quantile`], of values that are sorted.
pub(super) fn sorted_quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (at - below as f64) * (sorted[above] - sorted[below]))
}
