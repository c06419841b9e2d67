//! Whether what stands behind a number changes it or makes it a part of something else. Where it may, nothing is read.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::Number;
use super::changing::changes;
use super::scan::Scan;
use crate::reading::plain::{COMMAND, CURRENCY, FRACTION};

/// Words of a unit behind a number: "18 apples a day".
const UNIT_WORDS: usize = 3;

/// What comes of looking at what stands behind a number.
pub enum Behind {
    /// The number stands alone.
    Clear,
    /// A calculation goes on behind it.
    Calculation,
    /// It is said to be equal to something.
    Equals,
    /// It is a part of something else.
    Unclear,
}

impl Scan<'_> {
    /// What the text behind `number`, which ends at `end`, makes of it.
    pub fn behind(&self, number: &Number, end: usize) -> Behind {
        let mut from = end;
        let mut leads = false;
        for word in 0..=UNIT_WORDS {
            let at = self.skip(self.decoration(from), |c| c == '{');
            let at = self.decoration(at);
            let joined = self.skip(from, |c| !c.is_whitespace());
            if joined < at && self.chars[joined..at].iter().any(|p| p.char == '\n') {
                return Behind::Clear;
            }
            let Some(char) = self.at(at) else {
                return Behind::Clear;
            };
            match char {
                // "5 feet 3", and not "18 dollars for 3 days"
                c if c.is_numeric() && !matches!(c, '²' | '³') => {
                    let part = word < 2 && !leads;
                    return if part { Behind::Unclear } else { Behind::Clear };
                }
                // "18 cm²", and not "5²"
                '²' | '³' if word > 0 => from = at + 1,
                '^' if word > 0 && self.raised(at).is_some() => {
                    from = self.raised(at).map_or(at, |(_, end)| end);
                }
                c if c.is_alphabetic() => {
                    if let Some(told) = self.behind_word(number, at, word == 0, at > end) {
                        return told;
                    }
                    let unit = self.word(at);
                    leads = matches!(
                        unit.as_str(),
                        "for" | "in" | "at" | "by" | "on" | "after" | "with" | "from" | "per"
                    );
                    from = at + unit.chars().count();
                }
                _ => return self.behind_sign(number, at, word == 0, at == end),
            }
        }
        Behind::Clear
    }

    /// What the word at `at` makes of the number before it: the `first` behind it or not, `spaced` from it or not. `None`
    /// for the word of a unit.
    fn behind_word(&self, number: &Number, at: usize, first: bool, spaced: bool) -> Option<Behind> {
        let word = self.word(at);
        let after = at + word.chars().count();
        let capital = self.at(at).is_some_and(char::is_uppercase);
        let next = self.word(self.spaces(after));
        let known = |word: &str, list: &[&str]| list.contains(&word);
        let unclear = match word.as_str() {
            "or" | "to" | "and" | "through" | "versus" | "vs" | "until" | "till"
                if self.answer_follows(after) =>
            {
                true
            }
            "plus" | "minus" | "times" | "divided" | "multiplied" | "x"
                if self.number_follows(after) =>
            {
                return Some(Behind::Calculation);
            }
            "plus" | "minus" | "times" | "over" | "divided" if self.is_unknown(after) => true,
            "because" | "since" | "as" | "so" | "which" | "that" => return Some(Behind::Clear),
            // "10 to the power of 3", and not "18 to the nearest whole number"
            "to" if first && next == "the" => {
                let power = self.word(self.spaces(self.spaces(after) + next.len()));
                power == "power" || changes(&power) || self.answer_follows(after)
            }
            "point" => self.number_follows(after),
            // Coins and parts of a year; up to four may be fourths.
            "quarters" if first && number.0 > BigRational::from(BigInt::from(4)) => false,
            "below" => known(&next, &["zero", "freezing"]),
            "not" if self.number_follows(after) => return Some(Behind::Clear),
            "not" => true,
            "wrong" | "incorrect" | "false" | "impossible" => true,
            "more" | "less" | "fewer" if next == "than" => {
                self.number_follows(self.spaces(after) + next.len())
            }
            "out" if next == "of" => self.number_follows(self.spaces(after) + next.len()),
            "of" | "over" | "per" | "mod" if first => self.number_follows(after),
            // "2 in 3", and not "18 in 3 days"
            "in" | "by" if first => self.number(self.lead(after)).is_some_and(|(_, end)| {
                !self
                    .at(self.decoration(end))
                    .is_some_and(char::is_alphabetic)
            }),
            // Millions, billions; a metre is written small.
            "m" | "b" if first => capital || (word == "b" && !spaced),
            "t" if first => capital && !spaced,
            // An unknown of algebra.
            "x" | "y" | "z" if first => !spaced || next.is_empty(),
            "n" | "i" | "e" if first => !spaced,
            word if first => {
                changes(word)
                    // "2 million five hundred thousand", and not "5 two-inch nails"
                    || self
                        .spoken(at)
                        .is_some_and(|(_, end)| self.at(end) != Some('-'))
                    || (word.chars().count() == 1
                        && word.contains(|c| matches!(c, 'α'..='λ' | 'ν'..='ω')))
            }
            _ => false,
        };
        unclear.then_some(Behind::Unclear)
    }

    /// What the sign at `at` makes of the number before it: the `first` thing behind it or not, `joined` to it or not.
    fn behind_sign(&self, number: &Number, at: usize, first: bool, joined: bool) -> Behind {
        let unclear = |told: bool| if told { Behind::Unclear } else { Behind::Clear };
        let next = self.at(at + 1);
        match self.at(at) {
            Some('=' | '≈') => Behind::Equals,
            Some('+' | '*' | '×' | '·' | '÷' | '^' | '±') => Behind::Calculation,
            // A rate, "5/hour", or a division.
            Some('/') if first && (self.number_follows(at + 1) || self.is_unknown(at + 1)) => {
                Behind::Calculation
            }
            Some('/') => Behind::Clear,
            Some('-') if self.number_follows(at + 1) || self.is_unknown(at + 1) => {
                Behind::Calculation
            }
            // "18-inch", "18 - a dozen and a half", and not "1-to-3", "3-quarters"
            Some('-') => {
                let word = self.word(at + 1);
                let after = at + 1 + word.chars().count();
                let range = matches!(word.as_str(), "to" | "or" | "and" | "by" | "in")
                    && self.number_follows(self.skip(after, |c| c == '-'));
                unclear(range || changes(&word))
            }
            Some('<' | '>' | '≤' | '≥' | '√' | COMMAND | FRACTION | '²' | '³') if first => {
                Behind::Unclear
            }
            Some('[') if first && self.is_reference(at) => Behind::Clear,
            Some('(' | '[') if first => self.behind_bracket(number, at, joined),
            Some(',') => unclear(self.is_list(at)),
            // "0.(3)", "0.\overline{3}"
            Some('.') if first && matches!(next, Some('(' | '{' | COMMAND | FRACTION)) => {
                Behind::Unclear
            }
            // "18...20", "0.333..."
            Some('.' | '…') if next == Some('.') || self.at(at) == Some('…') => {
                let dots = self.skip(at, |c| matches!(c, '.' | '…'));
                unclear(self.number_follows_here(dots) || !number.0.is_integer())
            }
            Some('.' | '\'' | '_') => unclear(next.is_some_and(|c| c.is_ascii_digit())),
            Some('!') => self.behind_call(at),
            Some('?') if next.is_some_and(char::is_whitespace) => Behind::Clear,
            Some(_) => unclear(self.number_follows_here(at + 1)),
            None => Behind::Clear,
        }
    }

    /// Behind `!`: a factorial where the sentence goes on, and else the end of one.
    fn behind_call(&self, at: usize) -> Behind {
        let after = self.skip(at, |c| c == '!');
        let next = self.skip(after, |c| c == ' ');
        match self.at(next) {
            Some('=') => Behind::Equals,
            Some('+' | '-' | '*' | '×' | '·' | '÷' | '/' | '^') => Behind::Calculation,
            Some(c) if c.is_lowercase() || c.is_numeric() => Behind::Unclear,
            _ => Behind::Clear,
        }
    }

    /// Behind a bracket that opens: a factor, `2(3)`, `5(x+1)`; a second answer, "18 (or 20)"; or something that is said.
    fn behind_bracket(&self, number: &Number, at: usize, joined: bool) -> Behind {
        let inner = self.lead(at + 1);
        if self.answer_follows(inner) && self.number(inner).is_none() {
            return Behind::Unclear;
        }
        if let Some((said, end)) = self.number(inner) {
            let end = self.spaces(end);
            // "18 (eighteen)"
            let words = self.spoken(inner).is_some();
            if words && said == *number && matches!(self.at(end), Some(')' | ']')) {
                return Behind::Clear;
            }
            let close = self.skip(end, |c| !matches!(c, ')' | ']'));
            let calculates = matches!(
                self.at(end),
                Some(')' | ']' | '+' | '-' | '*' | '×' | '·' | '÷' | '/' | '^')
            );
            let explains = self.chars[end..close].iter().any(|p| p.char == '=');
            if joined || (calculates && !explains) {
                return Behind::Calculation;
            }
        } else if self.is_unknown(inner) {
            return Behind::Calculation;
        }
        Behind::Clear
    }

    /// Whether the bracket at `at` is a reference to a source, `[1]`, `[1, 2]`, `[1][2]`, behind which no calculation goes on.
    /// A factor has more in its bracket.
    fn is_reference(&self, at: usize) -> bool {
        let mut end = at;
        while self.at(end) == Some('[') {
            let close = self.skip(end + 1, |c| c.is_ascii_digit() || matches!(c, ',' | ' '));
            let inner: String = self.chars[end + 1..close].iter().map(|p| p.char).collect();
            let known = inner
                .split(',')
                .all(|n| matches!(n.trim().as_bytes(), [b'1'..=b'9']));
            if !known || self.at(close) != Some(']') {
                return false;
            }
            end = close + 1;
            let next = self.skip(end, |c| c == ' ');
            end = if self.at(next) == Some('[') {
                next
            } else {
                end
            };
        }
        match self.at(self.skip(end, |c| c == ' ')) {
            None | Some('\n' | '.' | ',' | ';' | '!' | '?' | ')') => true,
            Some(c) => c.is_alphabetic(),
        }
    }

    /// Whether an unknown of algebra, a root or a bracket stands at `at`.
    fn is_unknown(&self, at: usize) -> bool {
        let at = self.skip(at, |c| c == ' ');
        let word = self.word(at);
        let goes_on = self.at(at + word.chars().count()) == Some(' ');
        match word.as_str() {
            "" => matches!(self.at(at), Some('(' | '√' | COMMAND | FRACTION)),
            "x" | "y" | "z" | "n" | "pi" | "π" | "sqrt" => true,
            // "18 - a dozen"
            "a" | "b" | "c" | "p" | "q" | "r" => !goes_on,
            _ => false,
        }
    }

    fn number_follows(&self, at: usize) -> bool {
        let at = self.skip(at, |c| {
            c.is_whitespace() || matches!(c, '{' | '}' | '(' | ')' | '[' | '~' | CURRENCY)
        });
        self.number(at).is_some()
    }

    /// As [`Self::number_follows`], on the same line.
    fn number_follows_here(&self, at: usize) -> bool {
        let line = self.skip(at, |c| c != '\n' && c.is_whitespace());
        self.at(line) != Some('\n') && self.number_follows(line)
    }

    /// Whether a number follows, in digits or in words, behind "or", "maybe", "x =" and the like.
    pub fn answer_follows(&self, at: usize) -> bool {
        const HEDGES: [&str; 18] = [
            "no", "sorry", "wait", "actually", "rather", "or", "and", "to", "maybe", "perhaps",
            "possibly", "probably", "even", "also", "about", "a", "an", "then",
        ];
        let mut at = at;
        loop {
            at = self.skip(at, |c| {
                c.is_whitespace() || matches!(c, '{' | '}' | '(' | ')' | ',')
            });
            let word = self.word(at);
            if changes(&word) || self.number(at).is_some() {
                return true;
            }
            if !HEDGES.contains(&word.as_str()) {
                return self.number(self.fillers(at)).is_some();
            }
            at += word.chars().count();
        }
    }

    /// Whether a list of numbers goes on at this comma: another stands behind it, and then the end, or one more.
    fn is_list(&self, comma: usize) -> bool {
        if self.digit(comma + 1).is_some() {
            return true;
        }
        let next = self.lead(comma + 1);
        let word = self.word(next);
        let after = next + word.chars().count();
        // "18, or 20", "18, no, 20"
        if matches!(
            word.as_str(),
            "or" | "and"
                | "no"
                | "sorry"
                | "wait"
                | "actually"
                | "rather"
                | "then"
                | "maybe"
                | "perhaps"
        ) && self.answer_follows(after)
        {
            return true;
        }
        // "x = 3, y = 5"
        if word.chars().count() == 1 && self.at(self.spaces(after)) == Some('=') {
            return true;
        }
        let Some((_, end)) = self.number(next) else {
            return false;
        };
        let end = self.decoration(end);
        let ends = match self.at(end) {
            None | Some(',' | ';' | '!') => true,
            Some('.') => self.at(end + 1).is_none_or(char::is_whitespace),
            _ => matches!(self.word(end).as_str(), "and" | "or"),
        };
        ends || self.chars[..end].last().is_some_and(|p| p.char == '\n')
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn what_may_change_a_number_beside_it_makes_it_unread() {
        for text in [
            "x = 3 or x = 5",
            "x=3 and y=5",
            r"3\text{ or }5",
            r"3 \text{ and } 5",
            "18, or 20",
            "18 or maybe 20",
            "18 or twenty",
            "18 (or 20)",
            "18 & 21",
            "18 | 21",
            "3; 5",
            "18—20",
            "18...20",
            "18…20",
            "18 – 20",
            "18~200",
            "5~100",
            r"0.\overline{3}",
            "0.(3)",
            r"0.\bar{3}",
            "1.(3)",
            "0.333...",
            "1،234",
            "5M",
            "1.5M",
            "5 lakh",
            "2 crore",
            "3万",
            "15亿",
            "3百万",
            "2 score",
            "1 gross",
            "5 thousandths",
            "3 hundredths",
            "3 tenths",
            "3 quarters",
            "3 halves",
            "3 thirds",
            "5 and a half",
            "2 pi",
            "2pi",
            "3 sqrt(2)",
            "2(3)",
            "5(x+1)",
            r"2\left(3\right)",
            "10 squared",
            "10 to the power of 3",
            "5 cubed",
            "5! ways",
            r"5! \times 2",
            "5/x",
            "11_{2}",
            "3 : 4",
            "3 out of 4",
            "2 in 3",
            "1-to-3",
            "5 below zero",
            "18 is wrong, it is 20",
            "18, no, 20",
            "18, sorry 20",
            "5 mil",
            "5 minus x",
            "5 over x",
            "3 + x = 5",
            "5(x+1) = 10",
            "18 - x = 3",
            "54 = 3x",
            "5/x = 2",
            "18 (3 + 15)",
            "20% of 50",
            "5 more than 3",
            "18 M",
            "x = 3, y = 5",
            "seventeen (18)",
            r"\not= 18",
            r"\sqrt{x} = 18",
            "3x = 54, x = 18 or x = 20",
            "3x = 54",
            "> 18",
            "| -5 |",
            "-(5 + 3)",
            "7 and 3/2",
            "\n1. 18\n2. 20",
            "\n1. First we add",
            "half of 18",
            "5 M",
            "18 cm x 3",
            "4 quarters",
            "18 halves",
            "18 twentieths",
            "18 not",
            "18 not sure",
            "2[3] + 1",
            "2[3 + 4]",
            "18 [20]",
            "5[x+1]",
            "18 point five",
        ] {
            assert_eq!(Number::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_a_person_does_not_stop_at_does_not_hide_a_number() {
        for text in [
            "18 quarters",
            "18 quarters and that is all",
            "18 not 20",
            "18 apples, not 20",
            "18 [1]",
            "18[1]",
            "18 [1].",
            "18 [1][2], as they say",
            "18 [1, 2]",
            "18 deaths",
            "18 cloths",
            "18 mouths",
            "18 two-inch nails",
        ] {
            let read = Number::read(text).map(|n| n.to_string());
            assert_eq!(read.as_deref(), Some("18"), "{text:?}");
        }
    }
}
