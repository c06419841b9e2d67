//! Rows to items: every field of every line is looked at, and every fault is told.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Item;
use crate::error::Problem;
use crate::rows::{Row, kind};
use crate::scorer::Scorer;

const FIELDS: [&str; 7] = [
    "id", "group", "question", "image", "choices", "answer", "scorer",
];
/// As many choices as there are letters to name them by.
const MOST_CHOICES: usize = 26;
/// Most bytes of an image's file.
pub const MOST_IMAGE_BYTES: u64 = 64 << 20;

/// An item and the line it came from.
pub struct Placed {
    pub line: usize,
    pub item: Item,
}

/// How the items of one file are read.
pub struct Rules<'a> {
    pub file: &'a Path,
    /// The folder that images are looked for in.
    pub folder: &'a Path,
    /// What grades an item that names no scorer.
    pub scorer: &'a Scorer,
    /// Whether an item without an id is named after its line.
    pub lines_name_items: bool,
}

impl Rules<'_> {
    /// The items of `rows` that have no fault of their own; the faults go to `problems`.
    pub fn items(&self, rows: Vec<Row>, problems: &mut Vec<Problem>) -> Vec<Placed> {
        rows.into_iter()
            .filter_map(|row| {
                let mut faults = Vec::new();
                let item = self.item(&row, &mut faults);
                problems.extend(faults.into_iter().map(|(what, remedy)| Problem {
                    file: self.file.into(),
                    line: Some(row.line),
                    what,
                    remedy,
                }));
                item.map(|item| Placed {
                    line: row.line,
                    item,
                })
            })
            .collect()
    }

    fn item(&self, row: &Row, faults: &mut Vec<(String, String)>) -> Option<Item> {
        let fields = &row.fields;
        for name in fields
            .keys()
            .filter(|name| !FIELDS.contains(&name.as_str()))
        {
            faults.push((
                format!("the field {name:?} is unknown"),
                format!("items have {}", FIELDS.join(", ")),
            ));
        }
        let id = text(fields, "id", faults).or_else(|| {
            if self.lines_name_items {
                return Some(format!("line-{}", row.line));
            }
            if !fields.contains_key("id") {
                faults.push((
                    "has no id".into(),
                    "give it one that no other item has".into(),
                ));
            }
            None
        });
        let group = text(fields, "group", faults);
        for (name, shown) in [("id", &id), ("group", &group)] {
            if shown
                .as_ref()
                .is_some_and(|shown| shown.chars().any(char::is_control))
            {
                faults.push((
                    format!("{name} holds a control character: {shown:?}"),
                    "remove it: it is shown on terminals".into(),
                ));
            }
        }
        let question = text(fields, "question", faults);
        if !fields.contains_key("question") {
            faults.push((
                "has no question".into(),
                "write what the model is asked".into(),
            ));
        }
        let image = self.image(fields, faults);
        let choices = texts(fields, "choices", faults);
        if choices.len() == 1 || choices.len() > MOST_CHOICES {
            faults.push((
                format!("has {} choices", choices.len()),
                format!("give 2 to {MOST_CHOICES}, or none for an open question"),
            ));
        }
        let answer = texts(fields, "answer", faults);
        if !fields.contains_key("answer")
            || fields
                .get("answer")
                .is_some_and(|a| a.as_array().is_some_and(Vec::is_empty))
        {
            faults.push((
                "has no answer".into(),
                "write the right answer, or a list of all that are right".into(),
            ));
        }
        let scorer = match fields.get("scorer").map(Scorer::from_value) {
            None => None,
            // The items may come from somewhere else than the workload's own file, and a command runs on this machine.
            Some(Ok(Scorer::Command { .. })) => {
                faults.push((
                    "a line may not name a command to run".into(),
                    "put the command scorer into workload.toml".into(),
                ));
                None
            }
            Some(Ok(scorer)) => Some(scorer),
            Some(Err(wrong)) => {
                faults.push((format!("scorer: {wrong}"), Scorer::NAMES.into()));
                None
            }
        };
        if !faults.is_empty() {
            return None;
        }
        let item = Item {
            id: id?,
            group,
            question: question?,
            image,
            choices,
            answer,
            scorer,
        };
        let scorer = item.scorer.as_ref().unwrap_or(self.scorer);
        if let Err((what, remedy)) = scorer.suits(&item) {
            faults.push((what, remedy));
            return None;
        }
        Some(item)
    }

    fn image(
        &self,
        fields: &Map<String, Value>,
        faults: &mut Vec<(String, String)>,
    ) -> Option<PathBuf> {
        let named = text(fields, "image", faults)?;
        // Imported sets stay where they are, so that a path may lead out of the folder.
        let file = self.folder.join(&named);
        if let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.len() > MOST_IMAGE_BYTES
        {
            faults.push((
                format!("the image {} has {} bytes", file.display(), metadata.len()),
                format!("make it smaller: at most {MOST_IMAGE_BYTES} bytes"),
            ));
        }
        if !file.is_file() {
            faults.push((
                format!("the image {} is not there", file.display()),
                format!(
                    "put it there, or correct the path (it counts from {})",
                    self.folder.display()
                ),
            ));
        }
        Some(file)
    }
}

/// A text that is not blank; a number stands for its digits. `None` and no fault where the field is absent.
fn text(
    fields: &Map<String, Value>,
    name: &str,
    faults: &mut Vec<(String, String)>,
) -> Option<String> {
    match written(fields.get(name)?) {
        Ok(text) => Some(text),
        Err(got) => {
            faults.push((
                format!("{name} is {got}"),
                "write a text, or leave the field out where it may be absent".into(),
            ));
            None
        }
    }
}

/// One text or a list of texts.
fn texts(
    fields: &Map<String, Value>,
    name: &str,
    faults: &mut Vec<(String, String)>,
) -> Vec<String> {
    let Some(value) = fields.get(name) else {
        return Vec::new();
    };
    let each = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut found = Vec::new();
    for value in each {
        match written(value) {
            // Letters tell choices of the same text apart.
            Ok(text) if name != "choices" && found.contains(&text) => {
                faults.push((format!("{name} holds {text:?} twice"), "remove one".into()));
            }
            Ok(text) => found.push(text),
            Err(got) => faults.push((
                format!("{name} holds {got}"),
                "write texts or numbers, none of them blank".into(),
            )),
        }
    }
    found
}

fn written(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err("blank"),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(kind(other)),
    }
}
