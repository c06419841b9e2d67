//! Merging the records of shards into those of one run.

use std::path::Path;

use crate::error::{Error, Result};
use crate::record::{Records, differences, not_compared, read_records};

/// Reads the records in each of `places` and joins them, in the order an unsharded run would have written.
///
/// # Errors
/// Those of [`read_records`], and [`Error::Shards`] where they differ in anything but their shard, one is missing, unfinished
/// or there twice, or two disagree about an item.
pub fn merge(places: &[impl AsRef<Path>]) -> Result<Records> {
    let mut shards = Vec::new();
    for place in places {
        shards.push((
            place.as_ref().display().to_string(),
            read_records(place.as_ref())?,
        ));
    }
    let refuse = |reason: String| Err(Error::Shards { reason });
    let Some((first, merged)) = shards.first().cloned() else {
        return refuse("expected at least one folder, got none".into());
    };
    let shards_in_all = merged.run.shard.map_or(1, |(_, count)| count);
    let mut seen: Vec<Option<&str>> = vec![None; shards_in_all];
    let mut merged = Records::new(crate::record::Run {
        shard: None,
        ..merged.run
    });
    for (name, records) in &shards {
        let mut run = records.run.clone();
        let (shard, count) = run.shard.take().unwrap_or((1, 1));
        let mut differences = differences(&merged.run, &run);
        if count != shards_in_all {
            differences.push(format!("shards: was {shards_in_all}, is {count}"));
        }
        if !differences.is_empty() {
            return refuse(format!(
                "{name} differs from {first}:\n  {}",
                differences.join("\n  ")
            ));
        }
        match seen.get_mut(shard.wrapping_sub(1)) {
            None => return refuse(format!("{name}: shard {shard} of {count}")),
            Some(Some(earlier)) => {
                return refuse(format!(
                    "{earlier} and {name} are both shard {shard} of {count}"
                ));
            }
            Some(none) => *none = Some(name),
        }
        let expected = records.run.expected_results();
        if records.results.len() != expected {
            return refuse(format!(
                "{name} holds {} of {expected} results: finish it with --resume",
                records.results.len()
            ));
        }
        let note = not_compared(&merged.run, &records.run).filter(|_| shards_in_all > 1);
        for note in records.notes.iter().cloned().chain(note) {
            if !merged.notes.contains(&note) {
                merged.notes.push(note);
            }
        }
        merged.starts.extend(records.starts.iter().cloned());
        merged.items.extend(records.items.iter().cloned());
        merged.samples.extend(records.samples.iter().cloned());
        merged.results.extend(records.results.iter().cloned());
    }
    let missing: Vec<String> = (1..)
        .zip(&seen)
        .filter(|(_, name)| name.is_none())
        .map(|(shard, _)| shard.to_string())
        .collect();
    if !missing.is_empty() {
        return refuse(format!(
            "missing of {shards_in_all}: {}",
            missing.join(", ")
        ));
    }
    if let Err(reason) = merged.validate() {
        return refuse(reason);
    }
    Ok(merged.in_order().into_owned())
}
