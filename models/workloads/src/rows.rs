//! Lines of a JSONL or CSV file as tables of fields, each with the number of its line.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Problem;

/// A line's fields.
pub struct Row {
    /// Line number, from 1.
    pub line: usize,
    pub fields: Map<String, Value>,
}

/// Separates the choices in a CSV cell.
const CHOICE_SEPARATOR: char = '|';

/// One JSON object a line. Blank lines are passed over, and so is a byte order mark.
pub fn jsonl(file: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Vec<Row> {
    let mut rows = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let line_number = number + 1;
        let mut fault = |what: String, remedy: &str| {
            problems.push(Problem {
                file: file.into(),
                line: Some(line_number),
                what,
                remedy: remedy.into(),
            });
        };
        match std::str::from_utf8(line).map(str::trim) {
            Err(_) => fault("is not UTF-8 text".into(), "save the file as UTF-8"),
            Ok("") => {}
            Ok(text) => match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(fields)) => rows.push(Row {
                    line: line_number,
                    fields,
                }),
                Ok(other) => fault(
                    format!("holds {} and not an object", kind(&other)),
                    "write one {\"id\": …, \"question\": …, \"answer\": …} a line",
                ),
                Err(e) => fault(
                    format!("is no JSON ({e})"),
                    "write one object a line, with nothing after it",
                ),
            },
        }
    }
    rows
}

/// A header line that names the fields, then one item a line; an empty cell is an absent field. The choices stand in one
/// cell with `|` between them.
pub fn csv(file: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Vec<Row> {
    let mut fault = |line: Option<u64>, what: String, remedy: &str| {
        problems.push(Problem {
            file: file.into(),
            line: line.map(|n| n as usize),
            what,
            remedy: remedy.into(),
        });
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(e) => {
            fault(
                Some(1),
                format!("is no header ({e})"),
                "name the columns: id,question,answer",
            );
            return Vec::new();
        }
    };
    if let Some(twice) =
        (0..header.len()).find(|&i| header.iter().take(i).any(|name| name == &header[i]))
    {
        fault(
            Some(1),
            format!("the column {:?} stands twice", &header[twice]),
            "remove or rename one of the two",
        );
        return Vec::new();
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                fault(
                    e.position().map(csv::Position::line),
                    format!("cannot be read ({e})"),
                    "give every line the columns of the header; quote a cell that holds a comma",
                );
                continue;
            }
        };
        let mut fields = Map::new();
        for (name, cell) in header.iter().zip(&record) {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            let value = match name.trim() {
                "choices" => cell
                    .split(CHOICE_SEPARATOR)
                    .map(|c| Value::from(c.trim()))
                    .collect(),
                _ => Value::from(cell),
            };
            fields.insert(name.trim().into(), value);
        }
        rows.push(Row {
            line: record.position().map_or(0, |p| p.line() as usize),
            fields,
        });
    }
    rows
}

/// What a JSON value is, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
