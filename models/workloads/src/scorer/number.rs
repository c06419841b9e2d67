//! A number as people and models write it.

const CURRENCY: [char; 4] = ['$', '€', '£', '¥'];

/// The number that `text` is, or `None` where it is something else or more than a number.
pub fn read(text: &str) -> Option<f64> {
    let text = text.trim().replace('\u{2212}', "-"); // the minus sign of typesetting
    let text = text.strip_suffix('.').unwrap_or(&text);
    let text = text.strip_suffix('%').unwrap_or(text).trim_end();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text.strip_prefix(CURRENCY).unwrap_or(text).trim_start();
    // Else "inf", "nan" and a second sign would be numbers.
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let (whole, rest) = text.split_at(text.find(['.', 'e', 'E']).unwrap_or(text.len()));
    let digits = thousands(whole)?;
    let value: f64 = format!("{digits}{rest}").parse().ok()?;
    value.is_finite().then_some(sign * value)
}

/// The digits without the commas between thousands; `None` where commas stand elsewhere.
fn thousands(whole: &str) -> Option<String> {
    let mut parts = whole.split(',');
    let first = parts.next()?;
    let mut digits = first.to_string();
    for part in parts {
        if !(1..=3).contains(&first.len()) || part.len() != 3 {
            return None;
        }
        digits.push_str(part);
    }
    digits.chars().all(|c| c.is_ascii_digit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn numbers_are_read_past_what_people_write_around_them() {
        for (text, value) in [
            ("13", 13.0),
            (" 13. ", 13.0),
            ("-4", -4.0),
            ("\u{2212}4", -4.0),
            ("+4", 4.0),
            ("$1,234.50", 1234.5),
            ("-$5", -5.0),
            ("12 %", 12.0),
            ("1,000,000", 1e6),
            (".5", 0.5),
            ("007", 7.0),
            ("2e3", 2000.0),
        ] {
            assert_eq!(read(text), Some(value), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_single_number_is_not_read() {
        for text in [
            "",
            "-",
            ".",
            "inf",
            "nan",
            "1e999",
            "13 apples",
            "1,23",
            "12,3456",
            "3/4",
            "--4",
            "- -4",
            "1 2",
            "1,",
            "0x10",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
