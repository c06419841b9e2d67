//! Whether lines agree: what a result says of its answer with the paths that it was made of, and what one line says of an
//! answer with what others say of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use curt::AnswerKind;

use super::rank::rank;
use super::{AskedItem, Record, Sample};

/// A path as a result is held against it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Digest of its answer: records may hold texts of any length.
    answer: Option<u64>,
    correct: bool,
}

impl Seen {
    fn new(answer: Option<&String>, correct: bool) -> Self {
        Self {
            answer: answer.map(|answer| digest(answer)),
            correct,
        }
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The paths of the samples so far, by item and repeat; none of one that failed.
#[derive(Default)]
pub(super) struct Samples(HashMap<(usize, u32), Vec<Seen>>);

impl Samples {
    /// Takes a sample, if its figures are those of its paths.
    pub(super) fn take(&mut self, sample: &Sample) -> Result<(), String> {
        let paths = sample.paths.iter();
        let seen = paths.map(|path| Seen::new(path.answer.as_ref(), path.correct));
        self.0.insert((sample.index, sample.repeat), seen.collect());
        // Records that were made small have no scores.
        if sample.paths.iter().any(|path| path.scores.is_empty()) {
            return Ok(());
        }
        let mut checks = sample.checks.clone();
        rank(&mut checks, &sample.paths);
        for (said, made) in sample.checks.iter().zip(&checks) {
            if (said.pairs, said.concordant) != (made.pairs, made.concordant) {
                return Err(format!(
                    "{} at {}: expected {} of {} pairs in the order of the sample's scores, got {} of {}",
                    said.signal, said.at, made.concordant, made.pairs, said.concordant, said.pairs
                ));
            }
        }
        Ok(())
    }

    /// Refuses a result that its paths do not give.
    pub(super) fn hold(&self, record: &Record) -> Result<(), String> {
        if record.error.is_some() {
            return Ok(());
        }
        let Some(derived) = &record.derived else {
            let own = record.paths.iter().filter_map(|path| {
                let correct = path.correct?;
                Some(Seen::new(path.answer.as_ref(), correct))
            });
            let own: Vec<Seen> = own.collect();
            // Records of servers may have none.
            return if own.is_empty() || own.len() < record.paths.len() {
                Ok(())
            } else {
                agrees(record, &own)
            };
        };
        match self.0.get(&(record.index, record.repeat)) {
            Some(paths) if derived.launched <= paths.len() && derived.launched > 0 => {
                agrees(record, &paths[..derived.launched])
            }
            Some(paths) => Err(format!(
                "launched: expected 1 to {}, the paths of the sample, got {}",
                paths.len(),
                derived.launched
            )),
            None => Err(format!(
                "item {:?}: expected its sample before a result that is derived from it, got none",
                record.item
            )),
        }
    }
}

/// Whether what the result says can be said of `paths`.
fn agrees(record: &Record, paths: &[Seen]) -> Result<(), String> {
    let Record {
        item,
        arm,
        correct,
        finished,
        finished_correct,
        ..
    } = record;
    let right = paths.iter().filter(|path| path.correct).count();
    let wrong = paths.len() - right;
    if *finished_correct > right || finished - finished_correct.min(finished) > wrong {
        return Err(format!(
            "item {item:?} of arm {arm:?}: expected at most {right} right and {wrong} wrong paths that finished, got \
             {finished_correct} of {finished} right"
        ));
    }
    let answer = record.answer.as_deref().map(digest);
    // Records that were made small have no answers of paths.
    let told = paths.iter().any(|path| path.answer.is_some());
    let gives = |path: &Seen| path.correct == *correct && (!told || path.answer == answer);
    // Several paths without a vote have said nothing together, and that is wrong.
    if paths.iter().any(gives) || (answer.is_none() && !correct) {
        return Ok(());
    }
    let word = if *correct { "right" } else { "wrong" };
    Err(format!(
        "item {item:?} of arm {arm:?}: expected a path with its answer that is {word} as the result is, got none"
    ))
}

/// What a reader has to know of lines that contradict each other, which only a program that grades whole texts can make.
pub(super) fn contradictions(
    items: &[AskedItem],
    samples: &[Sample],
    results: &[Record],
) -> Vec<String> {
    // By item, what was said of each answer.
    let mut said: BTreeMap<(usize, &str), BTreeSet<bool>> = BTreeMap::new();
    let sampled = samples.iter().flat_map(|sample| {
        let paths = sample.paths.iter();
        paths.filter_map(|path| Some((sample.index, path.answer.as_deref()?, path.correct)))
    });
    let done = results.iter().filter(|r| r.error.is_none());
    let given = done.flat_map(|record| {
        let paths = record.paths.iter();
        let own = paths.filter_map(|path| Some((path.answer.as_deref()?, path.correct?)));
        let answer = record.answer.as_deref().map(|a| (a, record.correct));
        own.chain(answer)
            .map(|(answer, correct)| (record.index, answer, correct))
    });
    // Records that were made small have empty answers.
    let told = |(_, answer, _): &(usize, &str, bool)| !answer.is_empty();
    for (index, answer, correct) in sampled.chain(given).filter(told) {
        said.entry((index, answer)).or_default().insert(correct);
    }
    let name = |index: usize| {
        let done = results.iter().map(|r| (r.index, &r.item));
        let sampled = samples.iter().map(|s| (s.index, &s.item));
        let mut names = done.chain(sampled);
        names
            .find(|(i, _)| *i == index)
            .map_or("", |(_, item)| item)
    };
    let mut notes = Vec::new();
    let both: Vec<_> = said.iter().filter(|(_, said)| said.len() > 1).collect();
    if let Some(((index, answer), _)) = both.first() {
        notes.push(format!(
            "{} answers are right in one line and wrong in another, such as {answer:?} to item {:?}: unless a program grades \
             whole texts, lines were edited",
            both.len(),
            name(*index)
        ));
    }
    let kind = AnswerKind::Text;
    let gold: HashMap<usize, BTreeSet<String>> = items
        .iter()
        .map(|item| {
            let answers = item.answer.iter().map(|answer| kind.canonical(answer));
            (item.index, answers.collect())
        })
        .collect();
    let missed: Vec<_> = said
        .iter()
        .filter(|((index, answer), said)| {
            let gold = gold.get(index);
            said.contains(&false) && gold.is_some_and(|g| g.contains(&kind.canonical(answer)))
        })
        .collect();
    if let Some(((index, answer), _)) = missed.first() {
        notes.push(format!(
            "{} answers are the item's own, word for word, and count as wrong, such as {answer:?} to item {:?}: unless a \
             program or a pattern grades, lines were edited",
            missed.len(),
            name(*index)
        ));
    }
    notes
}
