//! What must hold between items: no id twice, and nothing that stands in both parts.

use std::collections::HashMap;
use std::path::Path;

use crate::error::Problem;
use crate::read::Placed;

/// Faults between the items of the two parts, each given with its file.
pub fn faults(train: (&Path, &[Placed]), held_out: (&Path, &[Placed])) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ids: HashMap<&str, (&Path, usize)> = HashMap::new();
    let mut groups: HashMap<&str, usize> = HashMap::new();
    let mut questions: HashMap<_, usize> = HashMap::new();
    for (part, (file, items)) in [train, held_out].into_iter().enumerate() {
        for Placed { line, item } in items {
            let mut fault = |what: String, remedy: &str| {
                problems.push(Problem {
                    file: file.into(),
                    line: Some(*line),
                    what,
                    remedy: remedy.into(),
                });
            };
            if let Some((first, at)) = ids.get(item.id.as_str()) {
                fault(
                    format!(
                        "the id {:?} stands at {}:{at} too",
                        item.id,
                        first.display()
                    ),
                    "rename one of the two",
                );
            } else {
                ids.insert(&item.id, (file, *line));
            }
            let question = (&item.question, &item.image, &item.choices);
            if part == 0 {
                if let Some(group) = &item.group {
                    groups.entry(group).or_insert(*line);
                }
                questions.entry(question).or_insert(*line);
            } else if let Some((group, at)) =
                item.group.as_deref().and_then(|g| groups.get_key_value(g))
            {
                fault(
                    format!(
                        "the group {group:?} stands in {}:{at} too",
                        train.0.display()
                    ),
                    "move all of its items into one part",
                );
            } else if let Some(at) = questions.get(&question) {
                fault(
                    format!("the same question stands in {}:{at}", train.0.display()),
                    "remove it from one part",
                );
            }
        }
    }
    problems
}
