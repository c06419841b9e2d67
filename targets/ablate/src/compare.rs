//! Two runs of the same questions, held against each other: what another quantization, another attention or another build
//! changed.

use std::collections::HashMap;
use std::path::Path;

use crate::arm::Arm;
use crate::error::{Error, Result};
use crate::record::{Measure, Records, Run, read_records};

/// The arm's names in what [`compare`] gives.
pub const BEFORE: &str = "before";
/// As [`BEFORE`].
pub const AFTER: &str = "after";

/// The records of `arm` in two runs as those of one, with the first run's as the baseline [`BEFORE`] and the second's as the
/// candidate [`AFTER`]: of the questions that both asked, so that each is its own control.
///
/// # Errors
/// Those of [`read_records`]; [`Error::Option`] where a run has no such arm, or the two asked other questions, another part, or
/// with another seed.
pub fn compare(places: [&Path; 2], arm: &str) -> Result<Records> {
    let [before, after] = [read_records(places[0])?, read_records(places[1])?];
    for (what, was, is) in [
        (
            "workload",
            &before.run.workload_digest,
            &after.run.workload_digest,
        ),
        ("part", &before.run.part, &after.run.part),
        (
            "seed",
            &before.run.seed.to_string(),
            &after.run.seed.to_string(),
        ),
    ] {
        if was != is {
            return Err(Error::Option {
                option: format!("records of the same {what}"),
                expected: format!("{was}, as in {}", places[0].display()),
                got: format!("{is}, in {}", places[1].display()),
            });
        }
    }
    let arms = [
        named(&before, places[0], arm, BEFORE)?,
        named(&after, places[1], arm, AFTER)?,
    ];
    let results = [(&before, BEFORE), (&after, AFTER)].map(|(records, name)| {
        let of_arm = records.results.iter().filter(|result| result.arm == arm);
        of_arm
            .map(|result| {
                let mut result = result.clone();
                result.arm = name.into();
                ((result.index, result.repeat), result)
            })
            .collect::<HashMap<_, _>>()
    });
    let [was, is] = &results;
    let both = |key: &(usize, u32)| {
        let (was, is) = (was.get(key)?, is.get(key)?);
        (was.item == is.item).then_some([was, is])
    };
    let mut keys: Vec<_> = was
        .keys()
        .copied()
        .filter(|key| both(key).is_some())
        .collect();
    keys.sort_unstable();
    let items = keys.iter().filter(|(_, repeat)| *repeat == 0).count();
    let mut joined = Records::new(Run {
        items,
        limit: None,
        repeats: before.run.repeats.min(after.run.repeats),
        // Every result is one of a question that was asked or derived elsewhere.
        measure: Measure::Run,
        arms: arms.to_vec(),
        baseline: BEFORE.into(),
        candidate: AFTER.into(),
        shard: None,
        ..after.run.clone()
    });
    joined.starts = [before.starts, after.starts].concat();
    joined.results = keys.iter().filter_map(both).flatten().cloned().collect();
    let alone = was.len() + is.len() - joined.results.len();
    joined.notes = [before.notes, after.notes].concat();
    if alone > 0 {
        joined.notes.push(format!(
            "{alone} results of questions that only one of the two runs has were left out"
        ));
    }
    Ok(joined)
}

/// The arm, by another name.
fn named(records: &Records, place: &Path, arm: &str, name: &str) -> Result<Arm> {
    let arms = &records.run.arms;
    let found = arms.iter().find(|known| known.name == arm);
    let found = found.ok_or_else(|| Error::Option {
        option: "--arms".into(),
        expected: format!(
            "arms of {} ({})",
            place.display(),
            arms.iter()
                .map(|arm| arm.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        got: arm.into(),
    })?;
    Ok(Arm {
        name: name.into(),
        // Tokens that another arm's buy, which is not here.
        fewer: None,
        ..found.clone()
    })
}
