//! The deadline: what still fits, and what it is worth to be short.

use std::time::{Duration, Instant};

/// Tokens after which the pace of a path is its own, and not that of the question before.
const SETTLED_TOKENS: usize = 4;

/// When an answer must be there, and how fast tokens come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When.
    pub deadline: Instant,
    /// What a token took in the question before; `None`: not known yet.
    pub token: Option<Duration>,
    began: Option<(Instant, usize)>,
}

impl Pace {
    /// A pace not known but from the question before.
    pub fn new(deadline: Instant, token: Option<Duration>) -> Self {
        Self {
            deadline,
            token,
            began: None,
        }
    }

    /// Paths begin anew.
    pub fn restart(&mut self) {
        self.began = None;
    }

    /// So many tokens of each path have been taken by `now`.
    pub fn took(&mut self, tokens: usize, now: Instant) {
        let (began, first) = *self.began.get_or_insert((now, tokens));
        let since = tokens.saturating_sub(first);
        if since >= SETTLED_TOKENS {
            self.token = Some((now - began) / since as u32);
        }
    }

    /// Whether `tokens` more may still be taken.
    pub fn fits(&self, tokens: usize, now: Instant) -> bool {
        self.share(tokens, now) < 1.0
    }

    /// Nats by which a choice leans to the answer: s / (1 − s), where s is the share of the time left that the other choice
    /// needs. Little where there is time, infinite where it does not fit: −log(1 − s) grows alike, and the barrier's steeper
    /// form has it decided before the last moment.
    pub fn bias(&self, tokens: usize, now: Instant) -> f64 {
        let share = self.share(tokens, now);
        if share < 1.0 {
            share / (1.0 - share)
        } else {
            f64::INFINITY
        }
    }

    /// The share of the time left that `tokens` take.
    fn share(&self, tokens: usize, now: Instant) -> f64 {
        let left = self.deadline.saturating_duration_since(now).as_secs_f64();
        let need = self.token.unwrap_or_default().as_secs_f64() * tokens as f64;
        if left <= 0.0 {
            f64::INFINITY
        } else {
            need / left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_never_chosen_and_what_takes_half_costs_a_nat() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(now + 10 * second, Some(second));
        assert!(pace.fits(9, now) && !pace.fits(10, now));
        assert!((pace.bias(5, now) - 1.0).abs() < 1e-9);
        assert_eq!(pace.bias(10, now), f64::INFINITY);
        assert_eq!(pace.bias(0, now + 11 * second), f64::INFINITY);
        pace.took(1, now);
        pace.took(4, now + second);
        assert_eq!(pace.token, Some(second), "three tokens say little");
        pace.took(11, now + 5 * second);
        assert_eq!(pace.token, Some(second / 2));
        // Nothing is known: nothing is masked.
        let pace = Pace::new(now + second, None);
        assert!(pace.fits(1000, now));
    }
}
