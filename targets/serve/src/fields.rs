//! The fields of a JSON object, taken one by one: what is left at the end is refused by name.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// The fields of an object that are not yet taken. `null` is a field that is not there, as OpenAI has it.
pub(crate) struct Fields {
    /// What stands before a field's name: nothing, `curt.`, `messages[0].`.
    prefix: String,
    left: Map<String, Value>,
}

impl Fields {
    /// # Errors
    /// Where `value` is no object. `name`: its own; empty for the body.
    pub(crate) fn of(name: &str, value: Value) -> Result<Self> {
        let prefix = match name {
            "" => String::new(),
            name => format!("{name}."),
        };
        match value {
            Value::Object(left) => Ok(Self { prefix, left }),
            other => Err(Refusal::field(
                if name.is_empty() { "body" } else { name },
                "a JSON object",
                kind(&other),
            )),
        }
    }

    /// The whole name of `field`.
    pub(crate) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    pub(crate) fn refuse(
        &self,
        field: &str,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Refusal {
        Refusal::field(self.name(field), expected, got)
    }

    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.left.remove(field).filter(|value| !value.is_null())
    }

    /// What `read` makes of a field.
    fn taken<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.refuse(field, expected, shown(&value))),
        }
    }

    pub(crate) fn bool(&mut self, field: &str) -> Result<Option<bool>> {
        self.taken(field, "true or false", Value::as_bool)
    }

    pub(crate) fn text(&mut self, field: &str) -> Result<Option<String>> {
        self.taken(field, "text", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn count(&mut self, field: &str) -> Result<Option<usize>> {
        self.taken(field, "a whole number from 0 up", whole)
    }

    pub(crate) fn number(&mut self, field: &str) -> Result<Option<f32>> {
        let read = |value: &Value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
        self.taken(field, "a number", read)
    }

    /// A seed: some clients send negative ones.
    pub(crate) fn seed(&mut self, field: &str) -> Result<Option<u64>> {
        let read = |value: &Value| value.as_u64().or(value.as_i64().map(|x| x as u64));
        self.taken(field, "a whole number", read)
    }

    /// A list, or one of what it would hold.
    pub(crate) fn list(&mut self, field: &str) -> Vec<Value> {
        match self.take(field) {
            None => Vec::new(),
            Some(Value::Array(all)) => all,
            Some(one) => vec![one],
        }
    }

    /// Refuses every field that is left.
    pub(crate) fn end(self) -> Result<()> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((field, value)) => {
                Err(self.refuse(field, "no such field: it is not known here", shown(value)))
            }
        }
    }
}

/// A whole number; 3.0 is one.
fn whole(value: &Value) -> Option<usize> {
    let n = value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x))
            .map(|x| x as u64)
    });
    usize::try_from(n?).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Letters of a value that a message shows.
const SHOWN: usize = 60;

/// A value as a message shows it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).into(),
        Value::String(text) if text.chars().nth(SHOWN).is_some() => {
            let begin: String = text.chars().take(SHOWN).collect();
            format!("{begin:?}…")
        }
        other => other.to_string(),
    }
}
