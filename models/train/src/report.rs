//! What training found, for a person and for a file.

use std::fmt::Write;

use curt::head::Measured;
use serde::Serialize;

use crate::controls::{Kinds, TextChoice};
use crate::measure::Paired;
use crate::search::{CheckPoint, LayerSet};

/// Everything that `curt train-head` found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Questions by use: fitted to, stopped by, calibrated and measured on.
    pub questions: [usize; 3],
    /// Share of right paths.
    pub right: f64,
    /// Mean tokens of a path.
    pub path_tokens: f64,
    /// Check points compared, for the head asked for.
    pub check_points: Vec<CheckPoint>,
    /// The check points taken.
    pub check_at_tokens: Vec<usize>,
    /// Sets of layers compared.
    pub layer_sets: Vec<LayerSet>,
    /// The layers taken; none for a head that reads no cache.
    pub layers: Vec<usize>,
    /// Attention pooling against means, cross-validated: AUROC of each and their difference.
    pub pooling: Option<PoolingTest>,
    /// Text controls tried.
    pub text: Vec<TextChoice>,
    /// The heads: the one asked for, then the controls.
    pub heads: Vec<HeadReport>,
}

/// One pooling against the other.
#[derive(Debug, Clone, Serialize)]
pub struct PoolingTest {
    /// AUROC within a question of means of V.
    pub mean: f64,
    /// Of learned queries.
    pub attend: f64,
    /// `attend − mean`, paired by question.
    pub attend_above_mean: Paired,
    /// Bytes of the cache that one path's score reads: means, attention.
    pub bytes_read: [usize; 2],
}

/// One head as it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct HeadReport {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub kinds: Kinds,
    /// Numbers of its first layer's input.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Step at which the questions to stop by were ordered best.
    pub step: usize,
    /// Mean AUROC within a question, cross-validated over the questions fitted to.
    pub cross_validated: f64,
    /// On the questions to measure on.
    pub measured: Measured,
    /// On the same, AUROC within a question by check point.
    pub by_check_point: Vec<(usize, f64)>,
    /// The head asked for minus this one, paired by question, cross-validated; absent for itself.
    pub head_above_this: Option<Paired>,
    /// Bytes of the file.
    pub file_bytes: Option<u64>,
}

/// The report as text: tables of at most 120 columns.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(r: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{} questions to fit to, {} to stop by, {} to measure on; {:.1} % of paths right, {:.1} tokens a path",
        r.questions[0],
        r.questions[1],
        r.questions[2],
        1e2 * r.right,
        r.path_tokens
    )?;
    if !r.check_points.is_empty() {
        writeln!(
            out,
            "\ncheck point   AUROC   within the budget: keep, tokens, kept right, vote   a quarter: tokens, kept right, vote   bytes"
        )?;
        for p in &r.check_points {
            let mark = if r.check_at_tokens.contains(&p.at_tokens) {
                '*'
            } else {
                ' '
            };
            write!(out, "{mark}{:>10}   {:.3}   ", p.at_tokens, p.auroc)?;
            match p.at_budget {
                Some(k) => write!(
                    out,
                    "{:>24}  {:>4.0} %  {:>9.3}  {:.3}",
                    k.keep,
                    1e2 * k.token_share,
                    k.survivors_right,
                    k.vote_right
                )?,
                None => write!(out, "{:>48}", "–")?,
            }
            let k = p.quarter;
            writeln!(
                out,
                "   {:>15.0} %  {:>9.3}  {:.3}   {:>8}",
                1e2 * k.token_share,
                k.survivors_right,
                k.vote_right,
                p.bytes_read
            )?;
        }
    }
    if !r.layer_sets.is_empty() {
        let mut sets: Vec<&LayerSet> = r.layer_sets.iter().collect();
        sets.sort_by(|a, b| b.auroc.total_cmp(&a.auroc));
        writeln!(
            out,
            "\nlayers (the best ten sets of {}; taken: {:?})",
            sets.len(),
            r.layers
        )?;
        for set in sets.iter().take(10) {
            writeln!(out, "  {:.3}  {:?}", set.auroc, set.layers)?;
        }
    }
    if let Some(p) = &r.pooling {
        let d = p.attend_above_mean;
        writeln!(
            out,
            "\npooling: means {:.3}, learned queries {:.3}; difference {:+.4} [{:+.4}, {:+.4}] over {} questions; bytes {} and {}",
            p.mean,
            p.attend,
            d.difference,
            d.interval[0],
            d.interval[1],
            d.questions,
            p.bytes_read[0],
            p.bytes_read[1]
        )?;
    }
    if let Some(best) = r.text.first() {
        writeln!(
            out,
            "\ntext control: best of {} is {} n-grams of the prefix and {} of the prompt, {} hidden, decay {}: {:.3}",
            r.text.len(),
            best.prefix_ngrams,
            best.prompt_ngrams,
            best.fit.hidden,
            best.fit.weight_decay,
            best.auroc
        )?;
    }
    writeln!(
        out,
        "\nhead                cross-validated     measured: in a question   overall   Brier   ECE     inputs   step     bytes   first head minus this"
    )?;
    for h in &r.heads {
        let number = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.3}"));
        write!(
            out,
            "{:<18}  {:>15.3}   {:>25.3}   {:>7.3}   {:>5}   {:>5}   {:>6}   {:>4}   {:>7}",
            h.name,
            h.cross_validated,
            h.measured.auroc_within_question,
            h.measured.auroc,
            number(h.measured.brier),
            number(h.measured.ece),
            h.inputs,
            h.step,
            h.file_bytes.map_or("–".into(), |b| b.to_string()),
        )?;
        match &h.head_above_this {
            Some(d) => writeln!(
                out,
                "   {:+.3} [{:+.3}, {:+.3}]",
                d.difference, d.interval[0], d.interval[1]
            )?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
