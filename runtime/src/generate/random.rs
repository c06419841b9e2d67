//! Random numbers that depend on nothing but their key.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Uniform numbers keyed by (seed, path, step).
///
/// A counter-based generator (ChaCha8): the seed is its key, the path its stream, the step its block. So a path draws
/// the same numbers whatever else is in the batch and whichever paths were dropped.
#[derive(Debug, Clone)]
pub struct PathRandom {
    key: ChaCha8Rng,
}

/// 32-bit words of one ChaCha block.
const WORDS_PER_BLOCK: u128 = 16;

impl PathRandom {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            key: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The number that `path` draws at `step`, in [0, 1): 53 random bits.
    pub fn uniform(&mut self, path: usize, step: usize) -> f64 {
        self.key.set_stream(path as u64);
        self.key.set_word_pos(step as u128 * WORDS_PER_BLOCK);
        (self.key.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_its_key_alone() {
        let mut a = PathRandom::new(7);
        let forwards: Vec<f64> = (0..4).map(|s| a.uniform(3, s)).collect();
        let mut b = PathRandom::new(7);
        b.uniform(9, 100);
        let backwards: Vec<f64> = (0..4).rev().map(|s| b.uniform(3, s)).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert_ne!(a.uniform(3, 0), a.uniform(4, 0));
        assert_ne!(a.uniform(3, 0), a.uniform(3, 1));
        assert_ne!(a.uniform(3, 0), PathRandom::new(8).uniform(3, 0));
    }

    #[test]
    fn the_stream_is_fixed_for_good() {
        // Records name their seed: these values may never change.
        let mut random = PathRandom::new(0);
        let got = [
            random.uniform(0, 0),
            random.uniform(1, 0),
            random.uniform(0, 1),
        ];
        assert_eq!(got, [FIRST, SECOND_PATH, SECOND_STEP]);
    }

    // Printed once by this code; ChaCha8 with key `seed_from_u64(0)`.
    const FIRST: f64 = 0.7090754154265618;
    const SECOND_PATH: f64 = 0.755531016687046;
    const SECOND_STEP: f64 = 0.8037816422279636;

    #[test]
    fn numbers_are_spread_evenly() {
        let mut random = PathRandom::new(1);
        let mut bins = [0usize; 10];
        for path in 0..100 {
            for step in 0..100 {
                bins[(random.uniform(path, step) * 10.0) as usize] += 1;
            }
        }
        // 1000 expected a bin, standard deviation 30: five of them.
        assert!(bins.iter().all(|&n| (850..1150).contains(&n)), "{bins:?}");
    }
}
