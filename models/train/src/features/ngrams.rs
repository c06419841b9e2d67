//! Which n-grams a text head looks for.

use std::collections::{BTreeMap, BTreeSet};

use curt::head::UNIGRAM;

/// N-grams by how many texts they stand in.
pub type Counts = BTreeMap<[u32; 2], usize>;

/// N-grams that a text head looks for, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// In the prefix.
    pub prefix: Vec<[u32; 2]>,
    /// In the prompt.
    pub prompt: Vec<[u32; 2]>,
}

/// In how many of `texts` each token and each pair of neighbours stands.
pub fn count_ngrams<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> (Counts, usize) {
    let (mut counts, mut of) = (Counts::new(), 0);
    for text in texts {
        of += 1;
        let unigrams = text.iter().map(|&t| [t, UNIGRAM]);
        let bigrams = text.windows(2).map(|w| [w[0], w[1]]);
        let here: BTreeSet<[u32; 2]> = unigrams.chain(bigrams).collect();
        for ngram in here {
            *counts.entry(ngram).or_default() += 1;
        }
    }
    (counts, of)
}

/// Those that stand in at least `least` texts and are missing in at least as many, the most frequent `most` of them, in
/// ascending order.
pub fn choose((counts, of): &(Counts, usize), least: usize, most: usize) -> Vec<[u32; 2]> {
    let mut useful: Vec<(usize, [u32; 2])> = counts
        .iter()
        .map(|(&ngram, &count)| (count.min(of - count), ngram))
        .filter(|&(n, _)| n >= least)
        .collect();
    useful.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    useful.truncate(most);
    let mut chosen: Vec<[u32; 2]> = useful.into_iter().map(|(_, ngram)| ngram).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_everywhere_or_nowhere_says_nothing() {
        let texts: [&[u32]; 4] = [&[1, 2], &[1, 3, 3], &[1, 2], &[1, 4]];
        let counts = count_ngrams(texts);
        assert_eq!(counts.0[&[3, UNIGRAM]], 1);
        assert_eq!(choose(&counts, 2, 9), [[1, 2], [2, UNIGRAM]]);
        assert_eq!(choose(&counts, 1, 2), [[1, 2], [2, UNIGRAM]]);
        assert_eq!(choose(&counts, 1, 9).len(), 7);
    }
}
