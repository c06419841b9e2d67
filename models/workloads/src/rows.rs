//! Lines of a JSONL or CSV file as tables of fields, each with the number of its line.

use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::Problem;

/// A line's fields.
pub struct Row {
    /// Line number, from 1.
    pub line: usize,
    pub fields: Map<String, Value>,
}

/// Longest line of a JSONL file.
const MOST_LINE_BYTES: usize = 4 << 20;
/// Faulty lines that are told of: a file with more is no file of items.
const MOST_PROBLEMS: usize = 100;
/// Separates the choices in a CSV cell.
const CHOICE_SEPARATOR: char = '|';

/// One JSON object a line. Blank lines are passed over, and so is a byte order mark.
pub fn jsonl(file: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Vec<Row> {
    let mut rows = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let line_number = number + 1;
        if problems.len() >= MOST_PROBLEMS {
            problems.push(stopped(file, line_number));
            break;
        }
        let mut fault = |what: String, remedy: &str| {
            problems.push(Problem {
                file: file.into(),
                line: Some(line_number),
                what,
                remedy: remedy.into(),
            });
        };
        if line.len() > MOST_LINE_BYTES {
            fault(
                format!("is {} bytes long", line.len()),
                "write one item a line, of 4 MiB at most",
            );
            continue;
        }
        match std::str::from_utf8(line).map(str::trim) {
            Err(_) => fault("is not UTF-8 text".into(), "save the file as UTF-8"),
            Ok("") => {}
            Ok(text) => match serde_json::from_str::<Line>(&quoted_numbers(text)) {
                Ok(Line::Fields(fields)) => rows.push(Row {
                    line: line_number,
                    fields,
                }),
                Ok(Line::Twice(name)) => fault(
                    format!("has the field {name:?} twice"),
                    "remove one of the two",
                ),
                Ok(Line::Other(kind)) => fault(
                    format!("holds {kind} and not an object"),
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
        if problems.len() >= MOST_PROBLEMS {
            problems.push(stopped(file, rows.len() + 1));
            break;
        }
        let mut fault = |line: Option<u64>, what: String, remedy: &str| {
            problems.push(Problem {
                file: file.into(),
                line: line.map(|n| n as usize),
                what,
                remedy: remedy.into(),
            });
        };
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

fn stopped(file: &Path, line: usize) -> Problem {
    Problem {
        file: file.into(),
        line: Some(line),
        what: format!("{MOST_PROBLEMS} lines before it are faulty, and it was not looked at"),
        remedy: "is this a file of items?".into(),
    }
}

/// A line of JSON.
enum Line {
    Fields(Map<String, Value>),
    /// An object that has this field twice, of which serde_json would take the last.
    Twice(String),
    /// No object but this.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Line;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut fields = Map::new();
                let mut twice = None;
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(name.clone(), value).is_some() {
                        twice = Some(name);
                    }
                }
                Ok(twice.map_or(Line::Fields(fields), Line::Twice))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Line, A::Error> {
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Line::Other("a list"))
            }

            fn visit_str<E>(self, _: &str) -> Result<Line, E> {
                Ok(Line::Other("a text"))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Line, E> {
                Ok(Line::Other("true or false"))
            }

            fn visit_unit<E>(self) -> Result<Line, E> {
                Ok(Line::Other("null"))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Line, E> {
                Ok(Line::Other("a number"))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Line, E> {
                Ok(Line::Other("a number"))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Line, E> {
                Ok(Line::Other("a number"))
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

/// The line with quotes around the numbers of its fields and of the lists in them: digits stay as they are written, where
/// serde_json makes 123456789012345680000 of 123456789012345678901, and refuses 1e400. What is no number stays, to be
/// refused; what stands in an object within (a scorer) stays a number.
fn quoted_numbers(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    let mut open: Vec<u8> = Vec::new();
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => end_of_text(bytes, at),
            byte @ (b'{' | b'[') => {
                open.push(byte);
                at + 1
            }
            b'}' | b']' => {
                open.pop();
                at + 1
            }
            b'-' | b'0'..=b'9' => {
                let token = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                let end = at + bytes[at..].iter().take_while(|b| token(b)).count();
                let field = matches!(open[..], [b'{'] | [b'{', b'[']);
                if field && is_number(&line[at..end]) {
                    out.push('"');
                    out.push_str(&line[at..end]);
                    out.push('"');
                    at = end;
                }
                end
            }
            _ => at + 1,
        };
        // Never within a character: what is looked at is ASCII, and a text is passed over whole.
        let mut end = end;
        while !line.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(&line[at..end]);
        at = end;
    }
    out
}

/// Behind the closing quote of the text that opens at `at`.
fn end_of_text(bytes: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while next < bytes.len() {
        match bytes[next] {
            b'\\' => next += 2,
            b'"' => return next + 1,
            _ => next += 1,
        }
    }
    bytes.len()
}

/// Whether JSON has a number of this form.
fn is_number(token: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let token = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (token, None),
    };
    let (whole, part) = match mantissa.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && part.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
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

#[cfg(test)]
mod tests {
    use super::quoted_numbers;

    #[test]
    fn numbers_of_fields_are_quoted_and_nothing_else() {
        for (line, want) in [
            (r#"{"answer": 1e400}"#, r#"{"answer": "1e400"}"#),
            (r#"{"answer":[-2.50,1]}"#, r#"{"answer":["-2.50","1"]}"#),
            (
                r#"{"a": "é 5 \" 6", "b": 01}"#,
                r#"{"a": "é 5 \" 6", "b": 01}"#,
            ),
            (
                r#"{"scorer": {"tolerance": 0.5}}"#,
                r#"{"scorer": {"tolerance": 0.5}}"#,
            ),
            (r#"5"#, "5"),
            (r#"{"a": "open 5"#, r#"{"a": "open 5"#),
            (r#"{"a\"#, r#"{"a\"#),
            (r#"{"a": -}"#, r#"{"a": -}"#),
        ] {
            assert_eq!(quoted_numbers(line), want);
        }
    }
}
