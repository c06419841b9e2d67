//! What one step of an int8 KV buffer is worth.

/// Scales of int8 keys or values: an element stands for `integer × scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KvScales<'a> {
    /// One scale for the whole view.
    PerTensor(f32),
    /// `[kv_heads * head_dim]`: one scale for each head and dimension, the same at every position.
    PerChannel(&'a [f32]),
}

/// The scales of one head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadScales<'a> {
    One(f32),
    /// `[head_dim]`
    Each(&'a [f32]),
}

impl HeadScales<'_> {
    #[inline(always)]
    pub(crate) fn at(self, dim: usize) -> f32 {
        match self {
            HeadScales::One(scale) => scale,
            HeadScales::Each(scales) => scales[dim],
        }
    }
}

/// `products[i] = numbers[i] × first × second`, as far as both reach, in that order.
#[inline(always)]
pub(crate) fn multiply(
    products: &mut [f32],
    numbers: &[f32],
    first: HeadScales<'_>,
    second: HeadScales<'_>,
) {
    let each = products.iter_mut().zip(numbers);
    match (first, second) {
        (HeadScales::One(a), HeadScales::One(b)) => each.for_each(|(to, x)| *to = x * a * b),
        (HeadScales::Each(a), HeadScales::One(b)) => {
            each.zip(a).for_each(|((to, x), a)| *to = x * a * b);
        }
        (HeadScales::One(a), HeadScales::Each(b)) => {
            each.zip(b).for_each(|((to, x), b)| *to = x * a * b);
        }
        (HeadScales::Each(a), HeadScales::Each(b)) => {
            let scales = a.iter().zip(b);
            each.zip(scales)
                .for_each(|((to, x), (a, b))| *to = x * a * b);
        }
    }
}
