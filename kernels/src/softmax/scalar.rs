//! The loops, for every instruction set.

/// Independent lanes: one AVX-512 register, two of AVX2, four of NEON or SSE.
const LANES: usize = 16;

/// Logits summed in f32 before the sum goes to f64: at most 64 additions in each lane.
const BLOCK: usize = 1024;

/// Below, e^x is taken for 0: it is under 2⁻¹²⁵, and the scale would leave the range of exponents.
const LEAST: f32 = -87.0;

/// Cody–Waite reduction by ln 2 in two parts, and the polynomial of Cephes' expf.
#[inline(always)]
pub(super) fn exp_of_non_positive(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 × 2²³ rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > LEAST { x } else { LEAST };
    let shifted = clamped * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // The low bits of `shifted` are n: moved to the exponent, and the bias added, they are 2ⁿ.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x >= LEAST { y * scale } else { 0.0 }
}

#[inline(always)]
pub(super) fn max_and_faults(logits: &[f32]) -> (f32, usize) {
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut faults = [0u32; LANES];
    let (chunks, tail) = logits.as_chunks::<LANES>();
    let mut padded = [f32::NEG_INFINITY; LANES];
    padded[..tail.len()].copy_from_slice(tail);
    for chunk in chunks {
        take(&mut max, &mut faults, chunk);
    }
    take(&mut max, &mut faults, &padded);
    (
        max.into_iter().fold(f32::NEG_INFINITY, f32::max),
        faults.into_iter().sum::<u32>() as usize,
    )
}

#[inline(always)]
fn take(max: &mut [f32; LANES], faults: &mut [u32; LANES], chunk: &[f32; LANES]) {
    for lane in 0..LANES {
        let x = chunk[lane];
        let fine = x < f32::INFINITY;
        faults[lane] += u32::from(!fine);
        max[lane] = if x > max[lane] { x } else { max[lane] };
    }
}

#[inline(always)]
pub(super) fn exp_sum(logits: &[f32], max: f32, scale: f32) -> f64 {
    let mut total = 0.0f64;
    for block in logits.chunks(BLOCK) {
        let mut sum = [0.0f32; LANES];
        let (chunks, tail) = block.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                sum[lane] += exp_of_non_positive((chunk[lane] - max) * scale);
            }
        }
        for (lane, &x) in tail.iter().enumerate() {
            sum[lane] += exp_of_non_positive((x - max) * scale);
        }
        let mut block_sum = 0.0f64;
        for lane in sum {
            block_sum += f64::from(lane);
        }
        total += block_sum;
    }
    total
}
