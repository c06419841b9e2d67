//! Answers every item in each format: one cascade that accepts nothing.

use std::sync::Arc;

use curt::answer::Answer;
use curt::format::{Calibration, ResponseFormat, SectionKind};
use curt::{AskError, AskOptions, CalibrationSource, Engine, Format, Voting};
use curt_workload::{Item, Workload};

use super::{Observed, Tried};
use crate::arm::ImageShown;
use crate::ask::{is_of_the_item, question};
use crate::error::Result;

/// What an item gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// It was answered in every format.
    Answered(Box<Observed>),
    /// It was not, and why.
    Failed(String),
}

/// Answers `item` in every format, as `base` asks but for format, paths and sampling. `all`: a calibration that accepts
/// nothing.
///
/// # Errors
/// What package, session and scorer say.
pub fn observe(
    engine: &mut Engine,
    workload: &Workload,
    item: &Item,
    base: &AskOptions,
    all: &Arc<Calibration>,
) -> Result<Observation> {
    let mut options = AskOptions {
        prompt: Some(workload.prompt().clone()),
        format: Format::Cascade,
        calibration: Some(CalibrationSource::Made(Arc::clone(all))),
        paths: 1,
        vote: Voting::Off,
        answer_kind: Some(workload.answer_kind(item)),
        // A result must not depend on the question before.
        reuse: false,
        ..base.clone()
    };
    options.sampling.temperature = Some(0.0);
    let asked = question(item, ImageShown::Whole, &options)
        .map_err(AskError::from)
        .and_then(|question| engine.ask(&question, &options, &mut |_| {}));
    match asked {
        Ok(answer) => observed(workload, item, &answer),
        Err(failed) if is_of_the_item(&failed.error) => Ok(Observation::Failed(failed.to_string())),
        Err(failed) => Err(failed.error.into()),
    }
}

fn observed(workload: &Workload, item: &Item, answer: &Answer) -> Result<Observation> {
    let failed = |why: &str| Ok(Observation::Failed(why.into()));
    let escalations = answer.format.as_ref().map_or(&[][..], |f| &f.escalations);
    let [direct, perception] = escalations else {
        return failed("it was not answered in every format");
    };
    if (direct.from, perception.from) != (ResponseFormat::Direct, ResponseFormat::Perception) {
        return failed("it was not answered in every format");
    }
    let Some(path) = answer.paths.first() else {
        return failed("it was not answered in full");
    };
    let grade = |answer: Option<&str>, text: &str| workload.grade(item, answer, text);
    let length = |kind: SectionKind| {
        let section = path.sections.iter().find(|section| section.kind == kind);
        section.map_or(0, |section| section.tokens)
    };
    Ok(Observation::Answered(Box::new(Observed {
        unit: item.unit().into(),
        direct: Tried {
            correct: grade(direct.answer.as_deref(), "")?,
            tokens: direct.tokens + direct.kept_tokens,
            features: direct.features,
        },
        perception: Tried {
            correct: grade(perception.answer.as_deref(), "")?,
            tokens: perception.tokens + perception.kept_tokens,
            features: perception.features,
        },
        perception_discarded: perception.tokens,
        full: Tried {
            correct: grade(path.answer.as_deref(), &path.text)?,
            tokens: path.tokens.len(),
            features: None,
        },
        lengths: SectionKind::ALL.map(length),
    })))
}
