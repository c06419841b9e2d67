//! What transformers gives its templates beside Jinja, within limits, and the limits of values.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind};
use minijinja::{Error, State, Value};

use super::limits::{BYTES_PER_FUEL, DEPTH, invalid, pay};
use super::range::Range;
use super::text::float;

/// Values in one that is kept in a namespace.
const VALUES: usize = 100_000;
/// Values in one that has a name.
const NAMED_VALUES: usize = 20_000;
/// Bytes of JSON that one unit pays for: what minijinja takes for its own.
const JSON_BYTES_PER_FUEL: usize = 4;

/// `raise_exception(message)`: the template refuses the conversation.
pub(super) fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(invalid(message))
}

/// `strftime_now(format)`: the local time.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now())
        .map_err(|e| invalid(format!("strftime_now({format:?})")).with_source(e))
}

/// A copy of `value` that holds nothing but texts, numbers, lists and maps.
pub(super) fn plain(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut values = 0;
    let copy = copy(value, 0, &mut values)?;
    state.consume_fuel(values as u64)?;
    Ok(copy)
}

fn copy(value: &Value, depth: usize, values: &mut usize) -> Result<Value, Error> {
    *values += 1;
    if depth > DEPTH || *values > VALUES {
        return Err(invalid(format!(
            "a namespace keeps values at most {DEPTH} deep and {VALUES} in one"
        )));
    }
    if value.downcast_object_ref::<Range>().is_some() {
        return Ok(value.clone());
    }
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::String
        | ValueKind::Bytes => Ok(value.clone()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?;
            let items = items.map(|item| copy(&item, depth + 1, values));
            let items: Vec<Value> = items.collect::<Result<_, Error>>()?;
            Ok(match value.is_tuple() {
                true => Value::from(Tuple::from(items)),
                false => Value::from(items),
            })
        }
        ValueKind::Map => value
            .try_iter()?
            .map(|key| {
                let item = copy(&value.get_item(&key)?, depth + 1, values)?;
                // A namespace may be a key, and then be told to keep itself.
                Ok((copy(&key, depth + 1, values)?, item))
            })
            .collect::<Result<Vec<(Value, Value)>, Error>>()
            .map(Value::from_pairs),
        other => Err(invalid(format!("a namespace cannot keep a {other}"))),
    }
}

/// Values with a name: bounded in what they hold, counted as often as it would be written out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Bytes of all texts in one.
    pub(super) most_bytes: usize,
}

impl Kept {
    /// `value`, where it is not too large.
    pub(super) fn keep(self, state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
        let mut values = 0;
        let mut bytes = 0;
        self.weigh(&value, 0, &mut values, &mut bytes)?;
        state.consume_fuel((values + bytes / BYTES_PER_FUEL) as u64)?;
        Ok(value)
    }

    fn weigh(
        self,
        value: &Value,
        depth: usize,
        values: &mut usize,
        bytes: &mut usize,
    ) -> Result<(), Error> {
        *values += 1;
        match value.kind() {
            // A text of its own is paid for where it is made.
            ValueKind::String if depth > 0 => *bytes += value.as_str().map_or(0, str::len),
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth < DEPTH => {
                for item in value.try_iter()? {
                    match value.kind() {
                        ValueKind::Map => {
                            self.weigh(&item, depth + 1, values, bytes)?;
                            let item = value.get_item(&item)?;
                            self.weigh(&item, depth + 1, values, bytes)?;
                        }
                        _ => self.weigh(&item, depth + 1, values, bytes)?,
                    }
                }
            }
            _ => {}
        }
        if depth >= DEPTH || *values > NAMED_VALUES || *bytes > self.most_bytes {
            return Err(invalid(format!(
                "a name keeps at most {NAMED_VALUES} values, {DEPTH} deep, with {} bytes of text",
                self.most_bytes
            )));
        }
        Ok(())
    }
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as transformers defines it: Python's
/// `json.dumps`, which escapes nothing for HTML.
pub(super) fn tojson(
    state: &State<'_, '_>,
    value: Value,
    args: Rest<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let arg = |place: usize, name: &str| -> Result<Option<Value>, Error> {
        let given = match args.get(place) {
            Some(value) => Some(value.clone()),
            None => named.get(name)?,
        };
        Ok(given.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let ascii = arg(0, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = arg(1, "indent")?.map(usize::try_from).transpose()?;
    let separators = arg(2, "separators")?;
    let sort_keys = arg(3, "sort_keys")?.is_some_and(|value| value.is_true());
    named.assert_all_used()?;
    let (item, key) = match separators {
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
        Some(pair) => {
            let part = |i: usize| pair.get_item(&Value::from(i)).map(|text| text.to_string());
            (part(0)?, part(1)?)
        }
    };
    let mut json = Json {
        state,
        ascii,
        sort_keys,
        indent,
        item,
        key,
        text: String::new(),
        paid: 0,
    };
    json.value(&value, 0)?;
    json.pay()?;
    Ok(Value::from_safe_string(json.text))
}

struct Json<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    ascii: bool,
    sort_keys: bool,
    indent: Option<usize>,
    /// Between two items, and between a key and its value.
    item: String,
    key: String,
    text: String,
    /// Bytes of the text that fuel has paid for.
    paid: usize,
}

impl Json<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(invalid(format!("tojson takes values at most {DEPTH} deep")));
        }
        self.pay()?;
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool if value.is_true() => self.text.push_str("true"),
            ValueKind::Bool => self.text.push_str("false"),
            ValueKind::Number if value.is_integer() => self.text.push_str(&value.to_string()),
            ValueKind::Number => self
                .text
                .push_str(&json_float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => {
                self.text.push('[');
                let mut any = false;
                for item in value.try_iter()? {
                    self.begin(any, depth + 1)?;
                    any = true;
                    self.value(&item, depth + 1)?;
                }
                self.end(any, depth)?;
                self.text.push(']');
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.text.push('{');
                let any = !keys.is_empty();
                for (i, key) in keys.into_iter().enumerate() {
                    self.begin(i > 0, depth + 1)?;
                    match key.kind() {
                        ValueKind::None => self.string("null")?,
                        _ => self.string(&key.to_string())?,
                    }
                    self.text.push_str(&self.key);
                    self.value(&value.get_item(&key)?, depth + 1)?;
                }
                self.end(any, depth)?;
                self.text.push('}');
            }
            other => return Err(invalid(format!("{other} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        let quoted = serde_json::to_string(text)
            .map_err(|e| invalid("text cannot be written as JSON").with_source(e))?;
        if !self.ascii {
            self.text.push_str(&quoted);
            return Ok(());
        }
        for c in quoted.chars() {
            if c.is_ascii() {
                self.text.push(c);
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    self.text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        Ok(())
    }

    /// What stands before an item.
    fn begin(&mut self, follows: bool, depth: usize) -> Result<(), Error> {
        if follows {
            self.text.push_str(&self.item);
        }
        self.line(depth)
    }

    /// What stands before a closing bracket.
    fn end(&mut self, any: bool, depth: usize) -> Result<(), Error> {
        if any { self.line(depth) } else { Ok(()) }
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        if let Some(indent) = self.indent {
            let spaces = indent.saturating_mul(depth);
            pay(self.state, spaces, JSON_BYTES_PER_FUEL)?;
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', spaces));
        }
        Ok(())
    }

    fn pay(&mut self) -> Result<(), Error> {
        let new = self.text.len() - self.paid;
        self.paid = self.text.len();
        // Each value costs something, however short.
        pay(
            self.state,
            new + JSON_BYTES_PER_FUEL - 1,
            JSON_BYTES_PER_FUEL,
        )
    }
}

/// A number as Python's `json` writes it.
fn json_float(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .into()
    } else {
        float(number)
    }
}
