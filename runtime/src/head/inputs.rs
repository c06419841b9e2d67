//! A head's inputs that come from tokens: statistics of log-probabilities, and n-grams.

use super::LogprobStatistic;
use super::file::UNIGRAM;

/// Tokens that "the last" means.
const RECENT_TOKENS: usize = 8;

/// A statistic of a prefix's log-probabilities; 0 of none.
pub fn logprob_statistic(statistic: LogprobStatistic, logprobs: &[f32]) -> f32 {
    let recent = &logprobs[logprobs.len().saturating_sub(RECENT_TOKENS)..];
    match statistic {
        LogprobStatistic::Mean => mean(logprobs),
        LogprobStatistic::Min => least(logprobs),
        LogprobStatistic::Std => {
            let centre = mean(logprobs);
            let n = logprobs.len().max(1) as f32;
            let sum: f32 = logprobs.iter().map(|x| (x - centre) * (x - centre)).sum();
            (sum / n).sqrt()
        }
        LogprobStatistic::Last => logprobs.last().copied().unwrap_or(0.0),
        LogprobStatistic::MeanLast8 => mean(recent),
        LogprobStatistic::MinLast8 => least(recent),
    }
}

/// Sets `out[i]` to 1 where `ngrams[i]` occurs in `tokens`, to 0 elsewhere. `ngrams` ascend; `out`: `[ngrams]`.
pub fn ngram_indicators(ngrams: &[[u32; 2]], tokens: &[u32], out: &mut [f32]) {
    out.fill(0.0);
    let unigrams = tokens.iter().map(|&t| [t, UNIGRAM]);
    let bigrams = tokens.windows(2).map(|w| [w[0], w[1]]);
    for ngram in unigrams.chain(bigrams) {
        if let Ok(at) = ngrams.binary_search(&ngram)
            && let Some(slot) = out.get_mut(at)
        {
            *slot = 1.0;
        }
    }
}

fn mean(values: &[f32]) -> f32 {
    match values.len() {
        0 => 0.0,
        n => values.iter().sum::<f32>() / n as f32,
    }
}

fn least(values: &[f32]) -> f32 {
    values.iter().copied().reduce(f32::min).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_short_and_a_long_prefix() {
        let long: Vec<f32> = (0..12).map(|i| -(i as f32)).collect();
        let all = LogprobStatistic::ALL.map(|s| logprob_statistic(s, &long));
        // Variance of 0..=11 is (12² − 1) / 12.
        let std = (143.0f32 / 12.0).sqrt();
        assert_eq!(all[..2], [-5.5, -11.0]);
        assert!((all[2] - std).abs() <= 2.0 * f32::EPSILON * std);
        assert_eq!(all[3..], [-11.0, -7.5, -11.0]);
        assert_eq!(
            LogprobStatistic::ALL.map(|s| logprob_statistic(s, &[])),
            [0.0; 6]
        );
    }

    #[test]
    fn an_ngram_is_found_wherever_it_stands() {
        let ngrams = [[1, 2], [2, UNIGRAM], [3, 1], [9, UNIGRAM]];
        let mut out = [7.0; 4];
        ngram_indicators(&ngrams, &[5, 1, 2, 3], &mut out);
        assert_eq!(out, [1.0, 1.0, 0.0, 0.0]);
        ngram_indicators(&ngrams, &[], &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
