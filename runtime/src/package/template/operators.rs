//! `*` and `%` as Python has them: of numbers, texts and lists.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, Tuple, ValueKind};
use minijinja::{Error, State, Value};

use super::limits::{BYTES_PER_FUEL, invalid, pay};
use super::python::Kept;
use super::text::{repr, text};

impl Kept {
    /// `a * b`.
    pub(super) fn times(self, state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
        if let Some(product) = number(&a, &b, i128::checked_mul, |a, b| a * b) {
            return product.ok_or_else(|| refused("*", &a, &b));
        }
        let (repeated, count) = match (integer(&a), integer(&b)) {
            (None, Some(count)) => (&a, count),
            (Some(count), None) => (&b, count),
            _ => return Err(refused("*", &a, &b)),
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        match repeated.kind() {
            ValueKind::String => {
                let text = repeated.as_str().unwrap_or_default();
                pay(state, text.len().saturating_mul(count), BYTES_PER_FUEL)?;
                Ok(Value::from(text.repeat(count)))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = repeated.try_iter()?.collect();
                state.consume_fuel(items.len().saturating_mul(count) as u64)?;
                let all = std::iter::repeat_n(items, count).flatten();
                let all: Vec<Value> = all.collect();
                // Bounded like a value with a name: a product of products would have more to print than any memory holds.
                self.keep(
                    state,
                    if repeated.is_tuple() {
                        Value::from(Tuple::from(all))
                    } else {
                        Value::from(all)
                    },
                )
            }
            _ => Err(refused("*", &a, &b)),
        }
    }
}

/// `a % b`.
pub(super) fn modulo(state: &State<'_, '_>, a: Value, b: Value) -> Result<Value, Error> {
    if let Some(format) = a.as_str() {
        let given = Given::of(b)?;
        return printf(state, format, given).map(Value::from);
    }
    let remainder = |a: i128, b: i128| {
        let remainder = a.checked_rem(b)?;
        // It has the sign of what is divided by.
        let lacks = remainder != 0 && (remainder < 0) != (b < 0);
        remainder.checked_add(if lacks { b } else { 0 })
    };
    let real = |a: f64, b: f64| {
        let remainder = a % b;
        if remainder == 0.0 {
            0.0_f64.copysign(b)
        } else if (remainder < 0.0) != (b < 0.0) {
            remainder + b
        } else {
            remainder
        }
    };
    let by_zero = matches!(f64::try_from(b.clone()), Ok(0.0));
    number(&a, &b, remainder, real)
        .flatten()
        .filter(|_| !by_zero)
        .ok_or_else(|| refused("%", &a, &b))
}

/// The filter `format`: `value % args`, or `value % named`.
pub(super) fn format_filter(
    state: &State<'_, '_>,
    format: Value,
    args: Rest<Value>,
    named: Kwargs,
) -> Result<String, Error> {
    let format = text(state, &format)?;
    let names: Vec<&str> = named.args().collect();
    let given = match (args.is_empty(), names.is_empty()) {
        (_, true) => Given {
            values: args.0,
            named: None,
            may_be_left: false,
        },
        (true, false) => {
            let pairs = names.iter().map(|name| Ok((*name, named.get(name)?)));
            let pairs = pairs.collect::<Result<Vec<(&str, Value)>, Error>>()?;
            Given {
                values: Vec::new(),
                named: Some(Value::from_pairs(pairs)),
                may_be_left: true,
            }
        }
        (false, false) => {
            return Err(invalid(
                "format takes values with names or without, and not both",
            ));
        }
    };
    printf(state, &format, given)
}

fn refused(operator: &str, a: &Value, b: &Value) -> Error {
    invalid(format!(
        "{} {operator} {} cannot be calculated",
        a.kind(),
        b.kind()
    ))
}

/// The integer that the value is; `true` is 1.
fn integer(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// What comes of two numbers: `None` where one of the two is none, `None` within where there is no result.
fn number(
    a: &Value,
    b: &Value,
    whole: impl Fn(i128, i128) -> Option<i128>,
    real: impl Fn(f64, f64) -> f64,
) -> Option<Option<Value>> {
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        let result = whole(a, b);
        return Some(result.map(|result| {
            i64::try_from(result).map_or_else(|_| Value::from(result), Value::from)
        }));
    }
    let float = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    Some(Some(Value::from(real(float(a)?, float(b)?))))
}

/// What a format is given.
struct Given {
    values: Vec<Value>,
    /// What it takes by name.
    named: Option<Value>,
    /// Whether the format may leave some of it.
    may_be_left: bool,
}

impl Given {
    /// What stands behind `%`: a tuple is several values, a map is one and may be taken from by name.
    fn of(value: Value) -> Result<Self, Error> {
        if value.is_tuple() {
            return Ok(Self {
                values: value.try_iter()?.collect(),
                named: None,
                may_be_left: false,
            });
        }
        let named = (value.kind() == ValueKind::Map).then(|| value.clone());
        Ok(Self {
            may_be_left: matches!(value.kind(), ValueKind::Map | ValueKind::Seq),
            values: vec![value],
            named,
        })
    }
}

/// `format % given`, Python's formatting in the manner of C's `printf`.
fn printf(state: &State<'_, '_>, format_text: &str, given: Given) -> Result<String, Error> {
    let mut values = given.values.iter();
    let mut next = || {
        values.next().cloned().ok_or_else(|| {
            invalid(format!(
                "{format_text:?} asks for more values than it is given"
            ))
        })
    };
    let mut out = String::new();
    let mut rest = format_text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let field = Field::read(&rest[at + 1..])
            .ok_or_else(|| invalid(format!("{format_text:?} has a field that cannot be read")))?;
        rest = &rest[at + 1 + field.length..];
        if field.kind == '%' {
            out.push('%');
            continue;
        }
        let mut bounds = [field.width, field.precision];
        let mut spec = String::from("%");
        spec.push_str(field.flags);
        for (i, bound) in bounds.iter_mut().enumerate() {
            if *bound == Some(Bound::Given) {
                let value = next()?;
                let given = integer(&value).ok_or_else(|| invalid("* wants a whole number"))?;
                if i == 0 && given < 0 {
                    spec.push('-');
                }
                *bound = Some(Bound::Is(
                    usize::try_from(given.unsigned_abs()).unwrap_or(usize::MAX),
                ));
            }
            if let Some(Bound::Is(size)) = *bound {
                pay(state, size, BYTES_PER_FUEL)?;
                spec.push_str(if i == 0 { "" } else { "." });
                spec.push_str(&size.to_string());
            }
        }
        let value = match (field.name, &given.named) {
            (Some(name), Some(named)) => {
                let value = named.get_item(&Value::from(name))?;
                if value.is_undefined() {
                    return Err(invalid(format!("{format_text:?} wants {name:?}")));
                }
                value
            }
            (Some(_), None) => return Err(invalid(format!("{format_text:?} wants a map"))),
            (None, _) => next()?,
        };
        let said = match field.kind {
            's' => text(state, &value)?,
            'r' => repr(state, &value)?,
            'a' => ascii(&repr(state, &value)?),
            'd' | 'i' | 'u' => {
                if field.precision.is_some() {
                    return Err(invalid("%d with a precision is not known here"));
                }
                spec.push('d');
                out.push_str(&format(FormatStyle::Printf, &spec, &[whole(&value)?])?);
                continue;
            }
            kind => {
                spec.push(kind);
                out.push_str(&format(FormatStyle::Printf, &spec, &[value])?);
                continue;
            }
        };
        let [width, most] = bounds.map(|bound| match bound {
            Some(Bound::Is(size)) => Some(size),
            _ => None,
        });
        let said: String = said.chars().take(most.unwrap_or(usize::MAX)).collect();
        let spaces = width.unwrap_or(0).saturating_sub(said.chars().count());
        let spaces = std::iter::repeat_n(' ', spaces);
        if spec.contains('-') {
            out.push_str(&said);
            out.extend(spaces);
        } else {
            out.extend(spaces);
            out.push_str(&said);
        }
    }
    out.push_str(rest);
    if values.next().is_some() && !given.may_be_left {
        return Err(invalid(format!(
            "{format_text:?} is given more values than it asks for"
        )));
    }
    Ok(out)
}

/// The number without its fraction, as `%d` takes it.
fn whole(value: &Value) -> Result<Value, Error> {
    if let Some(integer) = integer(value) {
        return Ok(Value::from(integer));
    }
    let number = match value.kind() {
        ValueKind::Number => f64::try_from(value.clone())?,
        other => return Err(invalid(format!("%d wants a number, got a {other}"))),
    };
    // As far as a whole number of minijinja goes; in range, the cast is exact.
    if number.abs() < 1e38 {
        Ok(Value::from(number.trunc() as i128))
    } else {
        Err(invalid(format!(
            "%d wants a number below 1e38, got {number}"
        )))
    }
}

/// With what is not ASCII as `\x`, `\u` and `\U`.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            0..=0x7F => out.push(c),
            code @ 0x80..=0xFF => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xFFFF => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// A width or a precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Is(usize),
    /// `*`: one of the values.
    Given,
}

/// What stands behind a `%`.
struct Field<'t> {
    name: Option<&'t str>,
    flags: &'t str,
    width: Option<Bound>,
    precision: Option<Bound>,
    kind: char,
    /// In bytes.
    length: usize,
}

impl<'t> Field<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let mut rest = text;
        let name = match rest.strip_prefix('(') {
            Some(inner) => {
                let (name, behind) = inner.split_at(closing(inner)?);
                rest = &behind[1..];
                Some(name)
            }
            None => None,
        };
        let behind = rest.trim_start_matches(['#', '0', '-', ' ', '+']);
        let flags = &rest[..rest.len() - behind.len()];
        rest = behind;
        let width = bound(&mut rest);
        let precision = match rest.strip_prefix('.') {
            Some(behind) => {
                rest = behind;
                Some(bound(&mut rest).unwrap_or(Bound::Is(0)))
            }
            None => None,
        };
        rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
        let kind = rest.chars().next()?;
        if kind == '%' && !text.starts_with('%') {
            return None;
        }
        Some(Self {
            name,
            flags,
            width,
            precision,
            kind,
            length: text.len() - rest.len() + kind.len_utf8(),
        })
    }
}

/// The place of the bracket that closes what `inner` begins in.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 1;
    inner.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    })
}

fn bound(rest: &mut &str) -> Option<Bound> {
    if let Some(behind) = rest.strip_prefix('*') {
        *rest = behind;
        return Some(Bound::Given);
    }
    let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &rest[..rest.len() - behind.len()];
    *rest = behind;
    (!digits.is_empty()).then(|| Bound::Is(digits.parse().unwrap_or(usize::MAX)))
}
