//! A JSON object of a foreign file, whose fields are asked for by name.

use std::path::Path;

use serde_json::{Map, Value};

use super::Sourced;
use crate::rows::kind;
use crate::{Error, Item, Result};

/// Most bytes of a file that is imported.
const MOST_BYTES: u64 = 4 << 30;

/// One object, and where it stands.
pub struct Record<'a> {
    pub file: &'a Path,
    /// The line, or the key, for messages.
    pub place: String,
    pub fields: &'a Map<String, Value>,
}

impl<'a> Record<'a> {
    /// # Errors
    /// [`Error::Import`] where `value` is no object.
    pub fn new(file: &'a Path, place: String, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self {
                file,
                place,
                fields,
            }),
            other => Err(fault(file, place, "an object", kind(other))),
        }
    }

    /// A field that must be a text.
    pub fn text(&self, name: &str) -> Result<&'a str> {
        self.field(name, "a text", Value::as_str)
    }

    /// A text field that may be absent, null or empty.
    pub fn text_if_any(&self, name: &str) -> Result<Option<&'a str>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => Ok(Some(self.text(name)?).filter(|text| !text.trim().is_empty())),
        }
    }

    /// A field that must be a whole number from 0.
    pub fn number(&self, name: &str) -> Result<u64> {
        self.field(name, "a whole number from 0", Value::as_u64)
    }

    /// A field that must be a list.
    pub fn list(&self, name: &str) -> Result<&'a [Value]> {
        self.field(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    fn field<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T> {
        let value = self.fields.get(name);
        value.and_then(read).ok_or_else(|| {
            let got = value.map_or("nothing", kind);
            self.fault(name, expected, got)
        })
    }

    /// The item that was made of this.
    pub fn sourced(&self, item: Item) -> Sourced {
        Sourced {
            file: self.file.into(),
            place: self.place.clone(),
            item,
        }
    }

    /// An error about a field.
    pub fn fault(&self, name: &str, expected: impl ToString, got: impl ToString) -> Error {
        fault(self.file, format!("{}: {name}", self.place), expected, got)
    }
}

/// An error about a place in a foreign file.
pub fn fault(
    file: &Path,
    place: impl ToString,
    expected: impl ToString,
    got: impl ToString,
) -> Error {
    Error::Import {
        file: file.into(),
        place: place.to_string(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// A JSON file.
pub fn json(file: &Path) -> Result<Value> {
    serde_json::from_str(&read(file)?).map_err(|e| fault(file, "the file", "JSON", e))
}

/// The values of a file of JSON lines, each with its place. Blank lines are passed over.
pub fn json_lines(file: &Path) -> Result<Vec<(String, Value)>> {
    let text = read(file)?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let place = format!("line {}", number + 1);
            let value = serde_json::from_str(line).map_err(|e| fault(file, &place, "JSON", e))?;
            Ok((place, value))
        })
        .collect()
}

fn read(file: &Path) -> Result<String> {
    Ok(curt::files::read_text(
        file,
        MOST_BYTES,
        "cannot be read as UTF-8 text",
    )?)
}
