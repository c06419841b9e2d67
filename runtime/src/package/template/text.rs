//! Values as Python prints them.

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value, escape_formatter};

use super::limits::{BYTES_PER_FUEL, DEPTH, invalid, pay};
use super::range::Range;

/// What `{{ value }}` writes.
pub(super) fn write(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if is_printed_alike(value) {
        return escape_formatter(out, state, value);
    }
    out.write_str(&text(state, value)?)
        .map_err(|e| invalid("the text cannot be written").with_source(e))
}

/// `str(value)`, and a text as it is.
pub(super) fn string(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    text(state, &value).map(Value::from)
}

/// Whether minijinja prints the value as Python does.
fn is_printed_alike(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Number => value.is_integer(),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => false,
        _ => true,
    }
}

/// `str(value)`.
pub(super) fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    if is_printed_alike(value) {
        return Ok(value.to_string());
    }
    repr(state, value)
}

/// `repr(value)`.
pub(super) fn repr(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut printed = Printed {
        state,
        text: String::new(),
        paid: 0,
    };
    printed.value(value, 0)?;
    printed.pay()?;
    Ok(printed.text)
}

struct Printed<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    text: String,
    /// Bytes of the text that fuel has paid for.
    paid: usize,
}

impl Printed<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(invalid(format!("values are printed at most {DEPTH} deep")));
        }
        self.pay()?;
        if let Some(range) = value.downcast_object_ref::<Range>() {
            self.text.push_str(&range.to_string());
            return Ok(());
        }
        match value.kind() {
            ValueKind::Number if !value.is_integer() => {
                let number = f64::try_from(value.clone())?;
                self.text.push_str(&float(number));
            }
            ValueKind::String => quote(value.as_str().unwrap_or_default(), &mut self.text),
            ValueKind::Seq | ValueKind::Iterable => {
                let (open, close) = if value.is_tuple() {
                    ("(", ")")
                } else {
                    ("[", "]")
                };
                self.text.push_str(open);
                let mut count = 0;
                for item in value.try_iter()? {
                    self.begin(count > 0);
                    count += 1;
                    self.value(&item, depth + 1)?;
                }
                if value.is_tuple() && count == 1 {
                    self.text.push(',');
                }
                self.text.push_str(close);
            }
            ValueKind::Map => {
                self.text.push('{');
                for (i, key) in value.try_iter()?.enumerate() {
                    self.begin(i > 0);
                    self.value(&key, depth + 1)?;
                    self.text.push_str(": ");
                    self.value(&value.get_item(&key)?, depth + 1)?;
                }
                self.text.push('}');
            }
            ValueKind::Undefined => self.text.push_str("Undefined"),
            _ => self.text.push_str(&value.to_string()),
        }
        Ok(())
    }

    fn begin(&mut self, follows: bool) {
        if follows {
            self.text.push_str(", ");
        }
    }

    fn pay(&mut self) -> Result<(), Error> {
        // Each value costs something, however short.
        let new = self.text.len() - self.paid + BYTES_PER_FUEL - 1;
        self.paid = self.text.len();
        pay(self.state, new, BYTES_PER_FUEL)
    }
}

/// The shortest decimal that is read as this number, with an exponent where that is below -4 or above 15.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    // Rust's bounds are Python's, its exponent is `e16` where Python has `e+16`.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// `text` between quotation marks.
fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                out.push_str(&match code {
                    0..=0xFF => format!("\\x{code:02x}"),
                    0x100..=0xFFFF => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(mark);
}

/// `str.isprintable`. Rust's rule for what it escapes is the same, but for marks at the beginning of a text and quotation
/// marks.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut buffer = [0; 4];
    let behind_another = format!("a{}", c.encode_utf8(&mut buffer));
    behind_another.escape_debug().count() == 2
}
