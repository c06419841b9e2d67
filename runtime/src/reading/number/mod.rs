//! A number as people and models write it, read exactly: 0.1 is one tenth, and no digit is lost.

mod behind;
mod changing;
mod corrected;
mod said;
mod scan;
mod spoken;
mod written;

use std::fmt;
use std::ops::Range;

use num_rational::BigRational;
use num_traits::Signed;

use super::plain::plain;
use scan::Scan;

/// As much of a text as is looked at for one number, in bytes.
const REACH_BYTES: usize = 2_000;

/// An exact number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(BigRational);

impl Number {
    /// The number that `text` says: see [`number`].
    pub fn read(text: &str) -> Option<Self> {
        number(text).map(|(number, _)| number)
    }

    /// The number that `text` is, in digits: nothing but white space, marks around it, a currency, a per cent sign and a full stop stand
    /// beside it.
    pub fn strict(text: &str) -> Option<Self> {
        let chars = plain(text, REACH_BYTES);
        let scan = Scan { chars: &chars };
        let (number, end) = scan.in_digits(scan.lead(0))?;
        let behind = scan.decoration(end);
        let behind = if scan.at(behind) == Some('.') {
            behind + 1
        } else {
            behind
        };
        let whole = text.len() <= REACH_BYTES && scan.decoration(behind) == chars.len();
        whole.then_some(number)
    }

    /// Whether the two are no further apart than `tolerance`, which is compared as it is written: 0.1 is one tenth.
    pub fn is_within(&self, other: &Self, tolerance: f64) -> bool {
        if tolerance == 0.0 {
            return self == other;
        }
        // The shortest decimal that is read as this f64.
        Self::strict(&format!("{tolerance:e}"))
            .is_some_and(|tolerance| (&self.0 - &other.0).abs() <= tolerance.0)
    }
}

impl fmt::Display for Number {
    /// A whole number, or a reduced fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that `text` begins with, and where it stands. `None` where it begins with none, or is not clear: "18 or 21",
/// "18-20", "5 + 3", "36, 63, 90", "10:30"; or where what stands beside it may change it: "5 lakh", "2(3)", "0.(3)",
/// "3 out of 4".
///
/// What a number looks like:
/// * digits, in groups of three with commas, spaces, apostrophes or underscores between them, or points where there are
///   several or a decimal comma follows; a decimal point, or a decimal comma behind groups (`1.234,56`, `1 234,5`) unless
///   three digits follow it, which may be a group; an exponent (`1e3`, `1.2 × 10^3`);
/// * whole numbers in English words: "eighteen", "two hundred and five thousand";
/// * fractions and mixed numbers: `1/2`, `3 1/2`, `½`, `\frac{1}{2}`;
/// * a sign before or behind a currency, as a hyphen, a minus sign or a word;
/// * hundred to trillion, and dozen, behind it.
///
/// Not part of it: words such as "about" and "x =" before it; a currency, a per cent sign, a unit behind it; Markdown, LaTeX
/// and HTML around it. Of a calculation the result is read (`3 + 15 = 18`), of one without a result nothing.
pub fn number(text: &str) -> Option<(Number, Range<usize>)> {
    let chars = plain(text, REACH_BYTES);
    Scan { chars: &chars }.said(0)
}

/// Whether `text` begins with a number, clear or not.
pub(super) fn begins(text: &str) -> bool {
    let chars = plain(text, REACH_BYTES);
    let scan = Scan { chars: &chars };
    let start = scan.fillers(0);
    scan.digit(scan.money(scan.sign(start).1)).is_some() || scan.number(start).is_some()
}

/// The number that `at` lies in, where the text is looked at on both sides of it; else the number that follows `at`.
pub(super) fn around(text: &str, at: usize) -> Option<(Number, Range<usize>)> {
    let window = at.saturating_sub(REACH_BYTES);
    let window = (window..=at).find(|&b| text.is_char_boundary(b))?;
    let before: Vec<(usize, char)> = text[window..at].char_indices().collect();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_numeric());
    let inside = digit(text[at..].chars().next());
    let mut start = at;
    let mut next = text[at..].chars().next();
    for (index, &(place, char)) in before.iter().enumerate().rev() {
        let earlier = index.checked_sub(1).map(|i| before[i].1);
        let joins = match char {
            _ if !inside => false,
            '.' => digit(next),
            ',' | '/' | '\'' | '_' | '\u{2019}' => digit(next) && digit(earlier),
            '-' | '\u{2212}' => {
                (digit(next) || next == Some('.'))
                    && !earlier.is_some_and(|c| c.is_alphanumeric() || c == ')')
            }
            _ => char.is_numeric(),
        };
        if !joins {
            break;
        }
        start = window + place;
        next = Some(char);
    }
    let rest = &text[start..];
    let (number, place) = number(rest)?;
    Some((number, start + place.start..start + place.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        number(text).map(|(number, _)| number.to_string())
    }

    #[test]
    fn numbers_are_read_past_what_people_write_around_them() {
        for (text, value) in [
            ("13", "13"),
            (" 13. ", "13"),
            ("-4", "-4"),
            ("\u{2212}4", "-4"),
            ("+4", "4"),
            ("$1,234.50", "2469/2"),
            ("-$5", "-5"),
            ("$-5", "-5"),
            ("US$ 5", "5"),
            ("EUR 5", "5"),
            ("Rs. 500", "500"),
            ("£18", "18"),
            ("18 €", "18"),
            ("12 %", "12"),
            (r"12\%", "12"),
            ("1,000,000", "1000000"),
            ("12,34,567", "1234567"),
            ("1 234", "1234"),
            ("1\u{202F}234,", "1234"),
            ("1'234", "1234"),
            ("1_234", "1234"),
            ("1.234.567", "1234567"),
            ("1.234,56", "30864/25"),
            ("1.234,5", "2469/2"),
            ("-1.234,56 €", "-30864/25"),
            ("12.345.678,90", "123456789/10"),
            ("1 234,56", "30864/25"),
            ("1\u{202F}234\u{202F}567,8", "6172839/5"),
            ("1'234,56", "30864/25"),
            ("1'234.56", "30864/25"),
            ("1.234", "617/500"),
            (r"1{,}234", "1234"),
            (r"1\,234", "1234"),
            (".5", "1/2"),
            ("007", "7"),
            ("-0", "0"),
            ("2e3", "2000"),
            ("1.5E-3", "3/2000"),
            ("1.2 × 10^3", "1200"),
            (r"1.2 \times 10^{-3}", "3/2500"),
            ("10^3", "1000"),
            ("1/2", "1/2"),
            ("3 1/2", "7/2"),
            ("-3 1/2", "-7/2"),
            ("3½", "7/2"),
            ("½ cup", "1/2"),
            (r"\frac{1}{2}", "1/2"),
            (r"-\dfrac12", "-1/2"),
            (r"3\frac{1}{2}", "7/2"),
            ("2 million", "2000000"),
            ("3 dozen eggs", "36"),
            ("minus 5", "-5"),
            ("１８", "18"),
            ("٣", "3"),
            ("**18**", "18"),
            (r"$\boxed{18}$.", "18"),
            (r"\(18\)", "18"),
            ("`18`", "18"),
            ("<b>18</b>", "18"),
            ("(18)", "18"),
            ("\n\n$$\n18\n$$\n5", "18"),
            ("- 5", "-5"),
            ("\n- 5", "5"),
            (r"45^\circ", "45"),
            (r"18\text{ cm}", "18"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn what_is_said_around_a_number_is_not_part_of_it() {
        for (text, value) in [
            ("18 apples", "18"),
            ("18kg", "18"),
            ("18-inch", "18"),
            ("18 dollars for 3 days", "18"),
            ("18, since 20 - 2 is that", "18"),
            ("18, 3 of which are red", "18"),
            ("18. Then 5 + 3", "18"),
            ("18.Then", "18"),
            ("18!", "18"),
            ("$5/hour", "5"),
            ("about 18", "18"),
            ("exactly **18**", "18"),
            ("x = 5", "5"),
            (r"\text{Total} = 18", "18"),
            (": 18", "18"),
            ("18 because 3 + 15 = 18", "18"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn of_a_calculation_the_result_is_read() {
        for (text, value) in [
            ("3 + 15 = 18.", Some("18")),
            ("3 apples + 15 apples = 18 apples", Some("18")),
            (r"3 \times 6 = 18", Some("18")),
            ("3 * 6 = 18", Some("18")),
            ("18 = 3 + 15", Some("18")),
            ("20 - 2 = 18", Some("18")),
            ("3 + 15", None),
            ("3 times 6", None),
            ("3 + 15. So it = 18", None),
            ("2**3", None),
        ] {
            assert_eq!(read(text).as_deref(), value, "{text:?}");
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
            "1,23",
            "12,3456",
            "1234,567",
            "1234,56",
            "1.234,567",
            "1 234,567",
            "1.234,56,78",
            "0.123,45",
            "0,123",
            "--4",
            "- -4",
            "1 2",
            "0x10",
            "18 or 21",
            "18 to 21",
            "18-20",
            "18 and 21",
            "36, 63, 90",
            "5, 7.",
            "10:30",
            "1/2/2020",
            "2024-01-05",
            "18.5.2",
            "1/0",
            "5 feet 3 inches",
            r"2\sqrt{3}",
            "3π",
            "5x",
            "18k",
            "5²",
            "not 18",
            "1e10001",
            "1e99999999999999999999",
            "<18",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&"9".repeat(1_001)), None);
        // Said once, however long the text goes on.
        assert_eq!(
            read(&format!("18 {}", "x ".repeat(100_000))).as_deref(),
            Some("18")
        );
    }

    #[test]
    fn what_leaves_a_number_as_it_is_does_not_hide_it() {
        for (text, value) in [
            ("5!", "5"),
            ("18!", "18"),
            ("18! So yes", "18"),
            ("2(9) = 18", "18"),
            ("(5)", "5"),
            ("18 cm^2", "18"),
            ("18 cm²", "18"),
            ("18 m².", "18"),
            ("18 ft²", "18"),
            ("18 in^2", "18"),
            ("18 cm^{2}", "18"),
            ("18 cm³", "18"),
            ("18 m/s^2", "18"),
            (r"18 \text{ cm}^2", "18"),
            (r"18\,\mathrm{cm}^2", "18"),
            ("5 with 2 left over", "5"),
            ("「18」", "18"),
            ("18<|im_end|>", "18"),
            ("18 or so", "18"),
            ("18 (since 20 - 2 = 18)", "18"),
            ("18 (apples)", "18"),
            ("18 apples (not 20)", "18"),
            ("18 and that is all", "18"),
            ("18 dollars and she has 3 left", "18"),
            ("18.", "18"),
            ("18.\nAnd 20", "18"),
            ("18; that is final", "18"),
            ("18 students in 3 classes", "18"),
            ("18 in total", "18"),
            ("18 in.", "18"),
            ("18 out of the box", "18"),
            ("5 m", "5"),
            ("x = 18", "18"),
            ("18 = x", "18"),
            ("18 |", "18"),
            ("18 & done", "18"),
            ("18...", "18"),
            ("18…", "18"),
            ("18 — that is all", "18"),
            ("18—that is all", "18"),
            ("18 months", "18"),
            ("18 meters", "18"),
            ("18 pieces of fruit", "18"),
            ("a total of 18", "18"),
            ("there are 18", "18"),
            ("eighteen (18)", "18"),
            (r"\sqrt{324} = 18", "18"),
            ("3x = 54, x = 18", "18"),
            ("| 18 |", "18"),
            ("\n> 18", "18"),
            ("-(5)", "-5"),
            ("1.5 × 10³", "1500"),
            ("10⁻²", "1/100"),
            ("7 and 1/2", "15/2"),
            ("\n1. 18", "18"),
            ("18 T-shirts", "18"),
            (r"3 \text{ million}", "3000000"),
            ("5 times as many", "5"),
            ("18 = x", "18"),
            ("3 x 6 = 18", "18"),
            ("20 - (1 + 1) = 18", "18"),
            ("18 to the nearest whole number", "18"),
            ("18 (20 - 2 = 18)", "18"),
            ("18 more than she needs", "18"),
            ("1٫5", "3/2"),
            ("1٬234", "1234"),
            ("1\u{AD}8", "18"),
        ] {
            assert_eq!(read(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_exact() {
        for (a, b, same) in [
            ("0.3", "0.30000000000000004", false),
            ("123456789012345678901", "123456789012345678902", false),
            (
                "123456789012345678901",
                "123,456,789,012,345,678,901.0",
                true,
            ),
            ("1e400", "1e401", false),
            ("1e400", "10e399", true),
            ("1/3", "0.3333333333333333", false),
            ("1/3", "2/6", true),
        ] {
            assert_eq!(Number::read(a) == Number::read(b), same, "{a} {b}");
            assert!(Number::read(a).is_some(), "{a}");
        }
        let within = |a: &str, b: &str, tolerance| {
            Number::read(a)
                .unwrap()
                .is_within(&Number::read(b).unwrap(), tolerance)
        };
        // In f64, 0.3 - 0.2 is less than 0.1, and 13.3 - 13 more than 0.3.
        assert!(within("0.3", "0.2", 0.1));
        assert!(within("13.3", "13", 0.3));
        assert!(!within("13.31", "13", 0.3));
        assert!(within("2.5e-7", "0", 2.5e-7));
    }

    #[test]
    fn where_it_stands_is_told_and_read_the_same_again() {
        for (text, shown) in [
            ("**$18.00**, ok", "$18.00"),
            (r"$\frac{1}{2}$", r"\frac{1}{2}"),
            ("3 + 15 = 18 apples", "18"),
            ("-$5", "-$5"),
            ("US$ 5.", "US$ 5"),
            ("2 million people", "2 million"),
            ("\n- 5", "5"),
        ] {
            let (value, place) = number(text).unwrap();
            assert_eq!(&text[place], shown, "{text}");
            assert_eq!(Number::read(shown), Some(value), "{text}");
        }
    }

    #[test]
    fn a_number_is_read_on_both_sides_of_a_place_within_it() {
        for (text, part, value) in [
            ("is 18.5 kg", "5", Some("37/2")),
            ("is 18.5 kg", "18", Some("37/2")),
            ("is 1/2", "2", Some("1/2")),
            ("is 1/2", "1", Some("1/2")),
            ("is -5", "5", Some("-5")),
            ("3-5", "5", Some("5")),
            ("is 1,234", "234", Some("1234")),
            ("is 1.5.2", "2", None),
            ("is 3 + 15 = 18", "3", Some("18")),
        ] {
            let at = text.find(part).unwrap();
            let got = around(text, at).map(|(number, _)| number.to_string());
            assert_eq!(got.as_deref(), value, "{text} at {part}");
        }
    }
}
