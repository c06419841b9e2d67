//! Run-aways: a section that repeats itself without end.

/// Longest repeated piece that is looked for, in tokens.
const LONGEST_PERIOD: usize = 48;
/// As often a piece must come again in a row.
const REPEATS: usize = 4;
/// And as many tokens the repeats must have together, so that a row of equal digits or a table's rule is none.
const LEAST_TOKENS: usize = 32;

/// Watches the tokens of a section.
#[derive(Debug, Clone, Default)]
pub struct Loops {
    tokens: Vec<u32>,
    /// For each period p, from 1: how many tokens up to the last equal the one p before them.
    runs: Vec<usize>,
}

impl Loops {
    /// Takes a token. Whether the section now repeats itself.
    pub fn push(&mut self, token: u32) -> bool {
        self.runs.resize(LONGEST_PERIOD, 0);
        let mut looping = false;
        for (place, run) in self.runs.iter_mut().enumerate() {
            let period = place + 1;
            let before = self.tokens.len().checked_sub(period);
            let same = before.is_some_and(|before| self.tokens[before] == token);
            *run = if same { *run + 1 } else { 0 };
            looping |= *run >= (REPEATS * period).max(LEAST_TOKENS);
        }
        self.tokens.push(token);
        looping
    }

    /// Another section begins.
    pub fn restart(&mut self) {
        self.tokens.clear();
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tokens: impl IntoIterator<Item = u32>) -> Option<usize> {
        let mut loops = Loops::default();
        tokens.into_iter().position(|token| loops.push(token))
    }

    #[test]
    fn what_repeats_is_found_soon_and_what_counts_is_not() {
        // One token: the first, and as many repeats as are needed.
        assert_eq!(at([7; 100]), Some(LEAST_TOKENS));
        let sentence = |n: u32| (0..n).chain([100, 100]);
        for n in [3, 10, 40] {
            let long = n as usize + 2;
            let found = at((0..1000).flat_map(|_| sentence(n)));
            assert_eq!(found, Some(long + (REPEATS * long).max(LEAST_TOKENS) - 1));
        }
        // A list whose lines differ by one token.
        assert_eq!(at((0..200).flat_map(|i| [1, 2, 3, 1000 + i, 4])), None);
        assert_eq!(at([7; 32]), None);
        // Longer than any period that is looked for.
        assert_eq!(at((0..1000).map(|i| i % 60)), None);
    }
}
