//! How a number is written: signs, currencies, digits in groups, fractions, exponents, words that multiply.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::Number;
use super::scan::Scan;
use crate::reading::plain::{CURRENCY, FRACTION};

/// More digits than any answer has; a number of more is not read.
const MOST_DIGITS: usize = 1_000;
/// The largest power of ten, either way.
const MOST_EXPONENT: i64 = 10_000;

impl Scan<'_> {
    /// The number at `at`, in digits or in words, sign and currency and all, and its end.
    pub fn number(&self, at: usize) -> Option<(Number, usize)> {
        self.in_digits(at).or_else(|| {
            let (negative, at) = self.sign(at);
            let (value, end) = self.spoken(self.money(at))?;
            let (value, end) = self.scaled(value, end)?;
            Some((Number(if negative { -value } else { value }), end))
        })
    }

    /// The number at `at`, sign and currency and all, and its end.
    pub fn in_digits(&self, at: usize) -> Option<(Number, usize)> {
        let (negative, at) = self.sign(at);
        let at = self.money(at);
        // "$-5"
        let (negative, at) = match self.sign(at) {
            (_, same) if same == at => (negative, at),
            (inner, at) if !negative => (inner, at),
            _ => return None,
        };
        let at = self.skip(at, |c| matches!(c, '{' | CURRENCY));
        // "-(5)"
        let bracket = negative && self.at(at) == Some('(');
        let (value, end) = self.unsigned(at + usize::from(bracket))?;
        if bracket && self.at(end) != Some(')') {
            return None;
        }
        let (value, end) = self.scaled(value, end + usize::from(bracket))?;
        Some((Number(if negative { -value } else { value }), end))
    }

    pub fn sign(&self, at: usize) -> (bool, usize) {
        match self.at(at) {
            Some('-') => (true, self.spaces(at + 1)),
            Some('+') => (false, self.spaces(at + 1)),
            Some('m' | 'M' | 'n' | 'N') => match self.word(at).as_str() {
                word @ ("minus" | "negative") => (true, self.spaces(at + word.len())),
                _ => (false, at),
            },
            _ => (false, at),
        }
    }

    /// Past a currency: "$", "US$", "EUR", "Rs.".
    pub fn money(&self, at: usize) -> usize {
        const CODES: [&str; 14] = [
            "usd", "eur", "gbp", "jpy", "chf", "cad", "aud", "inr", "cny", "rmb", "sek", "krw",
            "brl", "rs",
        ];
        let letters = self.skip(at, |c| c.is_ascii_alphabetic());
        if letters > at {
            if letters - at <= 3 && self.at(letters) == Some(CURRENCY) {
                return self.spaces(letters + 1);
            }
            if CODES.contains(&self.word(at).as_str()) {
                return self.spaces(self.skip(letters, |c| c == '.'));
            }
            return at;
        }
        match self.at(at) {
            Some(CURRENCY) => self.lead(at),
            _ => at,
        }
    }

    /// Digits, fractions and exponents.
    fn unsigned(&self, at: usize) -> Option<(BigRational, usize)> {
        if let Some(fraction) = self.latex_fraction(at).or_else(|| self.vulgar(at)) {
            return Some(fraction);
        }
        let (decimal, end) = self.decimal(at)?;
        if !decimal.is_whole {
            return self.exponent(decimal.value()?, end);
        }
        let value = decimal.value()?;
        // "3½", "3 1/2", "3\frac{1}{2}"
        let close = self.skip(end, |c| c == '}');
        let inner = self.spaces(close);
        if let Some((part, end)) = self.vulgar(inner).or_else(|| self.latex_fraction(inner)) {
            return Some((value + part, end));
        }
        if inner > end
            && let Some((part, end)) = self.slashed(inner)
            && part < BigRational::from(BigInt::from(1))
        {
            return Some((value + part, end));
        }
        // "3 and 1/2"
        let and = self.spaces(end);
        if self.word(and) == "and"
            && let Some((part, end)) = self.slashed(self.spaces(and + 3))
            && part < BigRational::from(BigInt::from(1))
        {
            return Some((value + part, end));
        }
        if let Some(fraction) = self.slashed(at) {
            return Some(fraction);
        }
        self.exponent(value, end)
    }

    /// `1/2`. Not a date, and not over 0.
    fn slashed(&self, at: usize) -> Option<(BigRational, usize)> {
        let (over, end) = self.decimal(at)?;
        let slash = self.spaces(end);
        if self.at(slash) != Some('/') {
            return None;
        }
        let (under, end) = self.decimal(self.spaces(slash + 1))?;
        if self.at(end) == Some('/') {
            return None;
        }
        ratio(over.value()?, under.value()?).map(|value| (value, end))
    }

    /// `\frac{1}{2}` and `\frac12`.
    fn latex_fraction(&self, at: usize) -> Option<(BigRational, usize)> {
        if self.at(at) != Some(FRACTION) {
            return None;
        }
        let (over, end) = self.argument(at + 1)?;
        let (under, end) = self.argument(end)?;
        ratio(over, under).map(|value| (value, end))
    }

    fn argument(&self, at: usize) -> Option<(BigRational, usize)> {
        let at = self.spaces(at);
        if self.at(at) != Some('{') {
            let digit = self.digit(at)?;
            return Some((BigRational::from(BigInt::from(digit)), at + 1));
        }
        let (negative, inner) = self.sign(self.lead(at + 1));
        let (decimal, end) = self.decimal(self.lead(inner))?;
        let end = self.spaces(end);
        let value = decimal.value()?;
        (self.at(end) == Some('}')).then(|| (if negative { -value } else { value }, end + 1))
    }

    /// `½`
    fn vulgar(&self, at: usize) -> Option<(BigRational, usize)> {
        let (over, under) = match self.at(at)? {
            '½' => (1, 2),
            '⅓' => (1, 3),
            '⅔' => (2, 3),
            '¼' => (1, 4),
            '¾' => (3, 4),
            '⅕' => (1, 5),
            '⅖' => (2, 5),
            '⅗' => (3, 5),
            '⅘' => (4, 5),
            '⅙' => (1, 6),
            '⅚' => (5, 6),
            '⅛' => (1, 8),
            '⅜' => (3, 8),
            '⅝' => (5, 8),
            '⅞' => (7, 8),
            _ => return None,
        };
        Some((BigRational::new(over.into(), under.into()), at + 1))
    }

    /// Digits in groups, with a decimal point.
    fn decimal(&self, at: usize) -> Option<(Decimal, usize)> {
        let mut digits = String::new();
        let mut end = self.digits(at, &mut digits);
        let first = end - at;
        let separator = self.at(end).filter(|&c| self.separates(c, first, at, end));
        if let Some(separator) = separator {
            if first > 3 || self.digit(at) == Some(0) {
                return None;
            }
            while self.at(end) == Some(separator) {
                let group = self.skip(end + 1, |c| c.is_ascii_digit()) - (end + 1);
                let last = self.at(end + 1 + group) != Some(separator)
                    || self.digit(end + 2 + group).is_none();
                // Three, or two before the last, as in India.
                if !(group == 3 || (group == 2 && separator == ',' && first <= 2 && !last)) {
                    // A space may end the number; another sign does not stand before a digit for nothing.
                    if separator == ' ' || group == 0 {
                        break;
                    }
                    return None;
                }
                end = self.digits(end + 1, &mut digits);
            }
        }
        let mut places = 0;
        let point = match separator {
            Some('.') => ',',
            Some(' ' | '\'') if self.is_decimal_comma(end) => ',',
            _ => '.',
        };
        if self.at(end) == Some(point) && self.digit(end + 1).is_some() {
            let before = digits.len();
            end = self.digits(end + 1, &mut digits);
            places = digits.len() - before;
        }
        let known = !digits.is_empty() && digits.len() <= MOST_DIGITS;
        known.then_some((
            Decimal {
                is_whole: places == 0,
                digits,
                places,
            },
            end,
        ))
    }

    /// Whether `c` at `end` stands between thousands, the first group being `first` digits from `at`.
    fn separates(&self, c: char, first: usize, at: usize, end: usize) -> bool {
        let three = |from: usize| {
            (0..3).all(|i| self.digit(from + i).is_some()) && self.digit(from + 3).is_none()
        };
        let short = (1..=3).contains(&first);
        match c {
            // Wherever digits follow, so that "1,23" is not taken for 1.
            ',' => first > 0 && self.digit(end + 1).is_some(),
            ' ' => short && self.digit(at) != Some(0) && three(end + 1),
            '\'' => short && three(end + 1),
            '_' => first > 0 && self.digit(end + 1).is_some(),
            // One point is a decimal point, unless a decimal comma follows.
            '.' => {
                let comma = self.at(end + 4) == Some(',') && self.is_decimal_comma(end + 4);
                let more = self.at(end + 4) == Some('.') && three(end + 5);
                short && three(end + 1) && (more || comma)
            }
            _ => false,
        }
    }

    /// Whether a comma at `at`, behind groups of another sign, can only be a decimal comma: no three digits follow, which
    /// could be one more group.
    fn is_decimal_comma(&self, at: usize) -> bool {
        let digits = || self.skip(at + 1, |c| c.is_ascii_digit()) - (at + 1);
        self.at(at) == Some(',') && !matches!(digits(), 0 | 3)
    }

    fn digits(&self, at: usize, into: &mut String) -> usize {
        let end = self.skip(at, |c| c.is_ascii_digit());
        into.extend(self.chars[at..end].iter().map(|p| p.char));
        end
    }

    /// `e3`, `× 10^3`, `× 10^{-3}`; and `10^3` itself.
    fn exponent(&self, value: BigRational, end: usize) -> Option<(BigRational, usize)> {
        if matches!(self.at(end), Some('e' | 'E'))
            && let Some((exponent, after)) = self.whole(end + 1)
            && !self.at(after).is_some_and(char::is_alphabetic)
        {
            return Some((value * power(exponent?)?, after));
        }
        let ten = BigRational::from(BigInt::from(10));
        if value == ten
            && let Some((exponent, after)) = self.raised(end)
        {
            return Some((power(exponent?)?, after));
        }
        let times = self.spaces(end);
        if matches!(self.at(times), Some('×' | '*' | '·' | 'x')) {
            let base = self.spaces(times + 1);
            if self.digit(base) == Some(1)
                && self.digit(base + 1) == Some(0)
                && let Some((exponent, after)) = self.raised(base + 2)
            {
                return Some((value * power(exponent?)?, after));
            }
        }
        Some((value, end))
    }

    /// `^3`, `^{-3}`, `³`: the exponent, if it is not too large, and its end.
    pub fn raised(&self, at: usize) -> Option<(Option<i64>, usize)> {
        const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
        let negative = self.at(at) == Some('⁻');
        let first = at + usize::from(negative);
        let end = self.skip(first, |c| SUPERSCRIPTS.contains(c));
        if end > first {
            let exponent = self.chars[first..end].iter().try_fold(0i64, |value, p| {
                let digit = SUPERSCRIPTS.chars().position(|c| c == p.char)?;
                let value = value * 10 + i64::try_from(digit).ok()?;
                (value <= MOST_EXPONENT).then_some(value)
            });
            return Some((exponent.map(|e| if negative { -e } else { e }), end));
        }
        if self.at(at) != Some('^') {
            return None;
        }
        let inner = self.skip(at + 1, |c| matches!(c, '{' | '('));
        let (exponent, end) = self.whole(inner)?;
        Some((exponent, self.skip(end, |c| matches!(c, '}' | ')'))))
    }

    /// A whole number with a sign; `None` within where it is too large.
    fn whole(&self, at: usize) -> Option<(Option<i64>, usize)> {
        let (negative, at) = match self.at(at) {
            Some('-') => (true, at + 1),
            Some('+') => (false, at + 1),
            _ => (false, at),
        };
        let mut digits = String::new();
        let end = self.digits(at, &mut digits);
        if digits.is_empty() {
            return None;
        }
        let value = digits.parse::<i64>().ok().filter(|&e| e <= MOST_EXPONENT);
        Some((value.map(|e| if negative { -e } else { e }), end))
    }

    /// Multiplied by the word behind it.
    fn scaled(&self, value: BigRational, end: usize) -> Option<(BigRational, usize)> {
        let mut value = value;
        let mut end = end;
        loop {
            let at = self.skip(end, |c| {
                c.is_whitespace() || matches!(c, '{' | '}' | CURRENCY)
            });
            let word = self.word(at);
            let by: i64 = match word.as_str() {
                "dozen" => 12,
                "hundred" => 100,
                "thousand" => 1_000,
                "million" => 1_000_000,
                "billion" => 1_000_000_000,
                "trillion" => 1_000_000_000_000,
                _ => return Some((value, end)),
            };
            value *= BigRational::from(BigInt::from(by));
            end = at + word.len();
        }
    }
}

/// Digits and how many of them stand behind the point.
struct Decimal {
    digits: String,
    places: usize,
    is_whole: bool,
}

impl Decimal {
    fn value(&self) -> Option<BigRational> {
        let digits: BigInt = self.digits.parse().ok()?;
        Some(BigRational::from(digits) * power(-i64::try_from(self.places).ok()?)?)
    }
}

fn ratio(over: BigRational, under: BigRational) -> Option<BigRational> {
    (!under.is_zero()).then(|| over / under)
}

/// Ten to the `exponent`.
fn power(exponent: i64) -> Option<BigRational> {
    let steps = i32::try_from(exponent).ok()?;
    Some(BigRational::from(BigInt::from(10)).pow(steps))
}
