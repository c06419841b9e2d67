//! Methods of Python's strings, lists and dicts, within limits.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::limits::{BYTES_PER_FUEL, invalid, pay};
use super::range::Range;

/// A method of a value that minijinja does not have: transformers' templates are run by Python.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(state, text, method, args)?,
        (None, ValueKind::Seq | ValueKind::Iterable) => of_list(value, method, args)?,
        (None, ValueKind::Map) if method == "copy" => {
            let () = from_args(args)?;
            Some(value.clone())
        }
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn of_list(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(match method {
        "copy" => {
            let () = from_args(args)?;
            Some(value.clone())
        }
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let place = value.try_iter()?.position(|item| item == *wanted);
            Some(place.ok_or_else(|| not_found(method))?.into())
        }
        _ => None,
    })
}

fn of_text(
    state: &State<'_, '_>,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
    let result: Value = match method {
        "format" => {
            let widths = format_widths(text);
            pay(state, widths, BYTES_PER_FUEL)?;
            // minijinja counts bytes there, and Python characters.
            let mut ascii = text.is_ascii();
            for arg in args.iter().take_while(|_| widths > 0) {
                ascii = ascii && is_ascii(state, arg, 3)?;
            }
            if widths > 0 && !ascii {
                return Err(invalid(
                    "format: a width or precision beside text that is not ASCII is not supported: use ljust, rjust or center",
                ));
            }
            return Ok(None);
        }
        "split" | "rsplit" => {
            let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = separator.map_or_else(|| named.get("sep"), |given| Ok(Some(given)))?;
            let most = most.map_or_else(|| named.get("maxsplit"), |given| Ok(Some(given)))?;
            named.assert_all_used()?;
            let most = usize::try_from(most.unwrap_or(-1)).unwrap_or(usize::MAX);
            let last_first = method == "rsplit";
            let parts = match separator.filter(|separator| !separator.is_none()) {
                None => by_spaces(text, most, last_first),
                Some(separator) => {
                    let separator = whole_text(method, &separator)?;
                    let parts = most.saturating_add(1);
                    if last_first {
                        let mut parts: Vec<&str> = text.rsplitn(parts, separator).collect();
                        parts.reverse();
                        parts
                    } else {
                        text.splitn(parts, separator).collect()
                    }
                }
            };
            parts.into_iter().map(Value::from).collect()
        }
        "splitlines" => {
            let (keep, named): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.map_or_else(|| named.get("keepends"), |keep| Ok(Some(keep)))?;
            named.assert_all_used()?;
            lines(text, keep.unwrap_or(false))
                .into_iter()
                .map(Value::from)
                .collect()
        }
        "partition" | "rpartition" => {
            let (separator,): (&Value,) = from_args(args)?;
            let separator = whole_text(method, separator)?;
            let parts = if method == "partition" {
                text.split_once(separator)
                    .map_or([text, "", ""], |(a, b)| [a, separator, b])
            } else {
                text.rsplit_once(separator)
                    .map_or(["", "", text], |(a, b)| [a, separator, b])
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "index" | "rindex" => {
            let (wanted,): (&str,) = from_args(args)?;
            let found = if method == "index" {
                text.find(wanted)
            } else {
                text.rfind(wanted)
            };
            let at = found.ok_or_else(|| not_found(method))?;
            text[..at].chars().count().into()
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (i64, Option<&str>) = from_args(args)?;
            let fill = one_char(fill)?;
            let lacking = lacking(state, text, width)?;
            let left = match method {
                "ljust" => 0,
                "rjust" => lacking,
                // As Python rounds: the odd one stands left of a text in an odd width.
                _ => lacking / 2 + (lacking & usize::try_from(width).unwrap_or(0) & 1),
            };
            padded(text, fill, left, lacking - left).into()
        }
        "zfill" => {
            let (width,): (i64,) = from_args(args)?;
            let lacking = lacking(state, text, width)?;
            let signed = text.starts_with(['+', '-']);
            let (sign, digits) = text.split_at(usize::from(signed));
            format!("{sign}{}", padded(digits, '0', lacking, 0)).into()
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swapped = text
                .chars()
                .flat_map(|c| -> Box<dyn Iterator<Item = char>> {
                    if c.is_uppercase() {
                        Box::new(c.to_lowercase())
                    } else {
                        Box::new(c.to_uppercase())
                    }
                });
            swapped.collect::<String>().into()
        }
        "title" => {
            let () = from_args(args)?;
            let mut follows = false;
            let mut titled = String::with_capacity(text.len());
            for c in text.chars() {
                if follows {
                    titled.extend(c.to_lowercase());
                } else {
                    titled.extend(c.to_uppercase());
                }
                follows = c.is_alphabetic();
            }
            titled.into()
        }
        "casefold" => {
            let () = from_args(args)?;
            text.to_lowercase()
                .replace('ß', "ss")
                .replace('ς', "σ")
                .into()
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn not_found(method: &str) -> Error {
    invalid(format!("{method}: what is looked for is not there"))
}

/// A separator, which Python wants not to be empty.
fn whole_text<'v>(method: &str, value: &'v Value) -> Result<&'v str, Error> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| invalid(format!("{method} wants a text that is not empty")))
}

fn one_char(fill: Option<&str>) -> Result<char, Error> {
    let mut chars = fill.unwrap_or(" ").chars();
    match (chars.next(), chars.next()) {
        (Some(fill), None) => Ok(fill),
        _ => Err(Error::new(
            ErrorKind::InvalidOperation,
            "one character fills a text up",
        )),
    }
}

/// How many characters `text` lacks of `width`; they are paid for.
fn lacking(state: &State<'_, '_>, text: &str, width: i64) -> Result<usize, Error> {
    let width = usize::try_from(width).unwrap_or(0);
    let lacking = width.saturating_sub(text.chars().count());
    pay(state, lacking.saturating_mul(4), BYTES_PER_FUEL)?;
    Ok(lacking)
}

fn padded(text: &str, fill: char, left: usize, right: usize) -> String {
    let mut out = String::new();
    out.extend(std::iter::repeat_n(fill, left));
    out.push_str(text);
    out.extend(std::iter::repeat_n(fill, right));
    out
}

/// What Python takes for white space: Unicode's, and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1C'..='\x1F')
}

/// The words of `text`, split `most` times, from the end where `last_first`; what is left is one part, with its spaces.
fn by_spaces(text: &str, most: usize, last_first: bool) -> Vec<&str> {
    let trimmed = |text: &'_ str| -> usize {
        if last_first {
            text.trim_end_matches(is_space).len()
        } else {
            text.len() - text.trim_start_matches(is_space).len()
        }
    };
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let at = trimmed(rest);
        rest = if last_first { &rest[..at] } else { &rest[at..] };
        if rest.is_empty() {
            break;
        }
        let space = if last_first {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        let Some(space) = space.filter(|_| parts.len() < most) else {
            parts.push(rest);
            break;
        };
        let behind = space + rest[space..].chars().next().map_or(1, char::len_utf8);
        let (part, others) = if last_first {
            (&rest[behind..], &rest[..space])
        } else {
            (&rest[..space], &rest[behind..])
        };
        parts.push(part);
        rest = others;
    }
    if last_first {
        parts.reverse();
    }
    parts
}

/// The lines of `text`, with their ends where `keep`.
fn lines(text: &str, keep: bool) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0B' | '\x0C' | '\x1C'..='\x1E' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = rest.find(ends).unwrap_or(rest.len());
        let behind = &rest[line..];
        let end = if behind.starts_with("\r\n") {
            2
        } else {
            behind.chars().next().map_or(0, char::len_utf8)
        };
        lines.push(&rest[..if keep { line + end } else { line }]);
        rest = &rest[line + end..];
    }
    lines
}

/// Whether `value` is ASCII, as a text or in the texts that it holds, down to `depth`. Each value is paid for.
fn is_ascii(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<bool, Error> {
    state.consume_fuel(1)?;
    if let Some(text) = value.as_str() {
        return Ok(text.is_ascii());
    }
    let kind = value.kind();
    let holds = matches!(kind, ValueKind::Map | ValueKind::Seq | ValueKind::Iterable);
    if !holds || value.downcast_object_ref::<Range>().is_some() {
        return Ok(true);
    }
    // What is reached through more of them than that is not followed.
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(false);
    };
    for held in value.try_iter()? {
        let of_map = kind == ValueKind::Map;
        if !is_ascii(state, &held, depth)?
            || of_map && !is_ascii(state, &value.get_item(&held)?, depth)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The sum of the numbers in the fields of `str.format`: no less than the widths and precisions that it asks for.
fn format_widths(format: &str) -> usize {
    let fields = format.split('{').skip(1);
    let fields = fields.map(|rest| rest.split('}').next().unwrap_or_default());
    let numbers = fields.flat_map(|field| field.split(|c: char| !c.is_ascii_digit()));
    let numbers = numbers.filter(|digits| !digits.is_empty());
    let widths = numbers.map(|digits| digits.parse().unwrap_or(usize::MAX));
    widths.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::format_widths;

    #[test]
    fn widths_and_precisions_are_counted_and_text_is_not() {
        assert_eq!(format_widths("{} of 123456789"), 0);
        assert_eq!(format_widths("{:>12}{0:.3f}"), 15);
        assert_eq!(format_widths("{:>99999999999999999999}"), usize::MAX);
    }
}
