//! The filters `int` and `float`, which give a default for what is no number.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, Value};

/// `value|int(default=0, base=10)`.
pub(super) fn int(value: Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = argument(&args, 0, &named, "default")?.unwrap_or_else(|| Value::from(0));
    let base = argument(&args, 1, &named, "base")?.map(u32::try_from);
    let base = base.transpose()?.filter(|base| (2..=36).contains(base));
    named.assert_all_used()?;
    let whole = match value.kind() {
        ValueKind::Number if value.is_integer() => return Ok(value),
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::String => {
            let text = value.as_str().and_then(digits);
            let whole = |text: &str| {
                let base = base.unwrap_or(10);
                let prefix = match base {
                    2 => "0b",
                    8 => "0o",
                    16 => "0x",
                    _ => "",
                };
                i128::from_str_radix(text.strip_prefix(prefix).unwrap_or(text), base).ok()
            };
            text.as_deref()
                .and_then(|text| whole(text).or_else(|| truncated(text.parse().ok()?)))
        }
        ValueKind::Number => truncated(f64::try_from(value)?),
        _ => None,
    };
    Ok(whole.map_or(default, |whole| {
        i64::try_from(whole).map_or_else(|_| Value::from(whole), Value::from)
    }))
}

/// `value|float(default=0.0)`.
pub(super) fn float(value: Value, args: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = argument(&args, 0, &named, "default")?.unwrap_or_else(|| Value::from(0.0));
    named.assert_all_used()?;
    let number = match value.kind() {
        ValueKind::Number => f64::try_from(value).ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::String => value
            .as_str()
            .and_then(digits)
            .and_then(|text| text.parse().ok()),
        _ => None,
    };
    Ok(number.map_or(default, Value::from))
}

fn argument(
    args: &Rest<Value>,
    place: usize,
    named: &Kwargs,
    name: &str,
) -> Result<Option<Value>, Error> {
    match args.get(place) {
        Some(value) => Ok(Some(value.clone())),
        None => named.get(name),
    }
}

/// The text of a number without the spaces around it and the underscores between its digits. `None` where an underscore
/// stands elsewhere.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    let joins = text.split('_').collect::<Vec<_>>();
    let ends = |part: &&str| part.ends_with(|c: char| c.is_ascii_digit());
    let begins = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let known = joins
        .windows(2)
        .all(|pair| ends(&pair[0]) && begins(&pair[1]));
    known.then(|| joins.concat())
}

/// Without its fraction; `None` for what an integer of minijinja does not hold.
fn truncated(number: f64) -> Option<i128> {
    // In range, the cast is exact.
    (number.abs() < 1e38).then_some(number.trunc() as i128)
}
