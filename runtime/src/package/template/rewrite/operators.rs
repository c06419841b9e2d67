//! Makes filters of the operators that Python and minijinja do not have alike.

use minijinja::machinery::{Span, Token};

use super::{Edit, MODULO, TEXT, TIMES};

/// Words that stand between operands.
const WORDS: [&str; 7] = ["and", "or", "not", "in", "if", "else", "is"];

/// `a * b` becomes `(a)|times(b)`, `a % b` becomes `(a)|modulo(b)`, and `a ~ b` becomes `(a)|text ~ (b)|text`, wherever they
/// stand in `tag`.
pub(super) fn rewrite(tag: &[(Token<'_>, Span)], edits: &mut Vec<Edit>) {
    let tag = Tag(tag);
    let mut at = 0;
    while at < tag.0.len() {
        at = tag.next(at, edits);
    }
}

/// The tokens of a tag.
struct Tag<'a, 't>(&'a [(Token<'t>, Span)]);

impl<'t> Tag<'_, 't> {
    fn at(&self, at: usize) -> Option<&Token<'t>> {
        self.0.get(at).map(|(token, _)| token)
    }

    fn word(&self, at: usize) -> Option<&'t str> {
        match self.at(at) {
            Some(Token::Ident(name)) => Some(name),
            _ => None,
        }
    }

    fn start(&self, at: usize) -> usize {
        self.0[at].1.start_offset as usize
    }

    /// Where the text of the tokens before `at` ends.
    fn end(&self, at: usize) -> usize {
        self.0[at - 1].1.end_offset as usize
    }

    /// Past what is joined at `at`, and past the sign behind it; or past the one token that no operand begins with.
    fn next(&self, at: usize, edits: &mut Vec<Edit>) -> usize {
        match self.joined(at, edits) {
            // Between two operands, and not the sign of the second.
            Some(end) => end + usize::from(self.is_sign(end)),
            None => at + 1,
        }
    }

    fn is_sign(&self, at: usize) -> bool {
        matches!(self.at(at), Some(Token::Minus | Token::Plus))
    }

    /// The end of the products at `at` that `~` joins. `None` where no operand stands there.
    fn joined(&self, at: usize, edits: &mut Vec<Edit>) -> Option<usize> {
        let mut parts = Vec::new();
        let mut next = at;
        loop {
            let Some(end) = self.product(next, edits) else {
                // A sign without an operand: minijinja says so.
                return parts.last().map(|&(_, end)| end);
            };
            parts.push((next, end));
            if !matches!(self.at(end), Some(Token::Tilde)) {
                break;
            }
            next = end + 1;
        }
        if let [_, _, ..] = parts[..] {
            for &(start, end) in &parts {
                edits.push(Edit::insert(self.start(start), "("));
                edits.push(Edit::insert(self.end(end), format!(")|{TEXT}")));
            }
        }
        parts.last().map(|&(_, end)| end)
    }

    /// The end of the powers at `at` that `*`, `/`, `//` and `%` join.
    fn product(&self, at: usize, edits: &mut Vec<Edit>) -> Option<usize> {
        let mut end = self.power(at, edits)?;
        loop {
            let filter = match self.at(end) {
                Some(Token::Mul) => Some(TIMES),
                Some(Token::Mod) => Some(MODULO),
                Some(Token::Div | Token::FloorDiv) => None,
                _ => return Some(end),
            };
            let operator = end;
            let Some(next) = self.power(operator + 1, edits) else {
                return Some(end);
            };
            end = next;
            if let Some(filter) = filter {
                edits.push(Edit::insert(self.start(at), "("));
                edits.push(Edit {
                    from: self.start(operator),
                    to: self.end(operator + 1),
                    text: format!(")|{filter}(").into(),
                });
                edits.push(Edit::insert(self.end(end), ")"));
            }
        }
    }

    fn power(&self, at: usize, edits: &mut Vec<Edit>) -> Option<usize> {
        let mut end = self.operand(at, edits)?;
        while matches!(self.at(end), Some(Token::Pow)) {
            match self.operand(end + 1, edits) {
                Some(next) => end = next,
                None => break,
            }
        }
        Some(end)
    }

    /// The end of the operand at `at`: signs, a name, a literal or a bracket, and what is called, taken, filtered or tested of
    /// it. What stands in its brackets is rewritten.
    fn operand(&self, at: usize, edits: &mut Vec<Edit>) -> Option<usize> {
        let mut at = at;
        while self.is_sign(at) {
            at += 1;
        }
        let mut end = self.primary(at, edits)?;
        loop {
            end = match self.at(end) {
                Some(Token::Pipe) => self.called(self.name(end + 1), edits),
                Some(Token::Ident("is")) => self.tested(end, edits),
                Some(Token::ParenOpen) => self.called(end, edits),
                _ => return Some(end),
            };
        }
    }

    /// The end of a name, a literal or a bracket, and of what is called or taken of it.
    fn primary(&self, at: usize, edits: &mut Vec<Edit>) -> Option<usize> {
        let mut end = match self.at(at)? {
            Token::Ident(word) if WORDS.contains(word) => return None,
            Token::Ident(_)
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_) => at + 1,
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.bracket(at, edits),
            _ => return None,
        };
        loop {
            end = match (self.at(end), self.at(end + 1)) {
                (Some(Token::Dot), Some(_)) => end + 2,
                (Some(Token::ParenOpen | Token::BracketOpen), _) => self.bracket(end, edits),
                _ => return Some(end),
            };
        }
    }

    /// The end of the name at `at`: `selectattr`, `loop.index`.
    fn name(&self, at: usize) -> usize {
        let mut end = at + 1;
        while let (Some(Token::Dot), Some(Token::Ident(_))) = (self.at(end), self.at(end + 1)) {
            end += 2;
        }
        end.min(self.0.len())
    }

    /// The end of the arguments at `at`, or `at` where there are none.
    fn called(&self, at: usize, edits: &mut Vec<Edit>) -> usize {
        match self.at(at) {
            Some(Token::ParenOpen) => self.bracket(at, edits),
            _ => at,
        }
    }

    /// The end of the test at `is`: `is defined`, `is not none`, `is divisibleby(3)`, `is divisibleby 3`.
    fn tested(&self, is: usize, edits: &mut Vec<Edit>) -> usize {
        let negated = self.word(is + 1) == Some("not");
        let end = self.name(is + 1 + usize::from(negated));
        match self.at(end) {
            Some(Token::ParenOpen) => self.bracket(end, edits),
            Some(Token::BracketOpen | Token::BraceOpen | Token::Str(_) | Token::Int(_))
            | Some(Token::String(_) | Token::Float(_) | Token::Int128(_) | Token::Ident(_)) => {
                self.primary(end, edits).unwrap_or(end)
            }
            _ => end,
        }
    }

    /// The end of the bracket that opens at `open`, whose inner is rewritten.
    fn bracket(&self, open: usize, edits: &mut Vec<Edit>) -> usize {
        let mut at = open + 1;
        loop {
            match self.at(at) {
                None => return at,
                Some(Token::ParenClose | Token::BracketClose | Token::BraceClose) => {
                    return at + 1;
                }
                Some(_) => at = self.next(at, edits),
            }
        }
    }
}
