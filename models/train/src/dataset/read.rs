//! Read a dataset: its paths by question, and their labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{PATHS_FILE, PathLine, Settings, read_paths};
use crate::error::{Error, Result};

/// A folder that `curt collect` made, read.
#[derive(Debug, Clone)]
pub struct Data {
    /// The folder.
    pub dir: PathBuf,
    /// What it was collected with.
    pub settings: Settings,
    /// Its questions, in the order of the file; each with all of its paths.
    pub questions: Vec<Question>,
}

/// A question and its paths.
#[derive(Debug, Clone)]
pub struct Question {
    /// The item's id.
    pub item: String,
    /// The item's group.
    pub group: String,
    /// Its paths, by number.
    pub paths: Vec<PathLine>,
}

impl Data {
    /// Reads the folder `dir`. A question that lacks paths (the last one, while it is collected) is left out.
    ///
    /// # Errors
    /// Those of [`Settings::read`] and [`read_paths`]; [`Error::Data`] for paths of a question that are not numbered from 0
    /// up, [`Error::TooLittle`] for a folder without a whole question.
    pub fn read(dir: &Path) -> Result<Self> {
        let settings = Settings::read(dir)?;
        let mut questions: Vec<Question> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for line in read_paths(dir)? {
            let place = *places.entry(line.item.clone()).or_insert_with(|| {
                questions.push(Question {
                    item: line.item.clone(),
                    group: line.group.clone(),
                    paths: Vec::new(),
                });
                questions.len() - 1
            });
            questions[place].paths.push(line);
        }
        questions.retain(|q| q.paths.len() == settings.paths);
        for question in &mut questions {
            question.paths.sort_by_key(|p| p.path);
            let misnumbered = (0..).zip(&question.paths).find(|(n, p)| *n != p.path);
            if let Some((number, path)) = misnumbered {
                return Err(Error::data(
                    &dir.join(PATHS_FILE),
                    format!("item {:?}", question.item),
                    format!("each path from 0 to {} once", settings.paths - 1),
                    format!("path {} where {number} is due", path.path),
                ));
            }
        }
        if questions.is_empty() {
            return Err(Error::TooLittle {
                file: dir.join(PATHS_FILE),
                what: format!("questions with all of their {} paths", settings.paths),
                needed: 1,
                got: 0,
            });
        }
        Ok(Self {
            dir: dir.into(),
            settings,
            questions,
        })
    }

    /// [`Question::digest`] of each.
    pub fn digests(&self) -> Vec<[u8; 32]> {
        let of = |question: &Question| Question::digest(&question.paths);
        self.questions.iter().map(of).collect()
    }

    /// Mean tokens of a path.
    pub fn path_tokens(&self) -> f64 {
        let tokens = self.questions.iter().flat_map(|q| &q.paths);
        let (sum, count) = tokens.fold((0, 0), |(s, n), p| (s + p.tokens.len(), n + 1));
        sum as f64 / count as f64
    }
}

impl Question {
    /// Paths that a check at `at_tokens` sees: those that have not ended by then.
    pub fn running(&self, at_tokens: usize) -> impl Iterator<Item = &PathLine> {
        self.paths
            .iter()
            .filter(move |p| p.tokens.len() > at_tokens)
    }

    /// A digest of the tokens of a question's `paths`: features on disk carry it, so that those of other paths are noticed.
    pub fn digest(paths: &[PathLine]) -> [u8; 32] {
        let mut hash = Sha256::new();
        if let Some(first) = paths.first() {
            hash.update(first.item.as_bytes());
        }
        for path in paths {
            hash.update((path.tokens.len() as u64).to_le_bytes());
            for token in &path.tokens {
                hash.update(token.to_le_bytes());
            }
        }
        hash.finalize().into()
    }
}

/// What a head should say of `path` at `at_tokens`: the share of right continuations where it was estimated there, else 1
/// for a right path and 0 for a wrong one.
pub fn label(path: &PathLine, at_tokens: usize) -> f32 {
    let rate = path.rate.as_ref().and_then(|rates| rates.get(&at_tokens));
    match rate {
        Some(&rate) => rate as f32,
        None => f32::from(u8::from(path.correct)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dataset::TRAIN_PART;
    use curt::SamplingDefaults;
    use curt::paths::FinishReason;

    pub(crate) fn made_up(groups: &[&str], paths: impl Fn(usize, usize) -> PathLine) -> Data {
        let count = 4;
        Data {
            dir: PathBuf::new(),
            settings: Settings {
                package: "p".into(),
                package_fingerprint: "f".into(),
                workload: "w".into(),
                workload_digest: "d".into(),
                part: TRAIN_PART.into(),
                paths: count,
                seed: 0,
                prefix_tokens: Vec::new(),
                rollouts: 0,
                onnxruntime: None,
                attention: None,
                format: None,
                sampling: SamplingDefaults {
                    temperature: Some(1.0),
                    max_tokens: Some(9),
                    ..SamplingDefaults::default()
                },
                places: None,
            },
            questions: groups
                .iter()
                .enumerate()
                .map(|(q, group)| Question {
                    item: q.to_string(),
                    group: group.to_string(),
                    paths: (0..count).map(|p| paths(q, p)).collect(),
                })
                .collect(),
        }
    }

    pub(crate) fn path(question: usize, path: usize, tokens: Vec<u32>, correct: bool) -> PathLine {
        PathLine {
            item: question.to_string(),
            group: String::new(),
            path,
            prompt: None,
            logprobs: vec![-0.5; tokens.len()],
            tokens,
            finish: FinishReason::Eos,
            answer: Some(u8::from(correct).to_string()),
            same_as: None,
            correct,
            rate: None,
        }
    }

    #[test]
    fn a_rate_goes_before_the_outcome() {
        let mut line = path(0, 0, vec![1, 2, 3], true);
        line.rate = Some(BTreeMap::from([(2, 0.25)]));
        assert_eq!((label(&line, 2), label(&line, 1)), (0.25, 1.0));
    }
}
