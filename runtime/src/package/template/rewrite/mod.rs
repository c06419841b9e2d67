//! Validates a template's source and makes it one that minijinja takes.
//!
//! minijinja's own tokenizer says where a tag begins and ends, so that nothing hides from these rules in a string.

mod operators;

use std::borrow::Cow;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// Bytes of a template. The longest published are below 40,000.
const SOURCE_BYTES: usize = 128 << 10;
/// Tokens in one tag: an expression is parsed and compiled by recursion, as deep as it is long.
const TAG_TOKENS: usize = 1_024;
/// `elif`s of a template, each of which lies within the one before.
const ELIFS: usize = 256;

/// The filter through which values go into a namespace: [`super::python::plain`].
pub(super) const PLAIN: &str = "__plain";
/// The filter through which values get a name: [`super::python::Kept`].
pub(super) const KEPT: &str = "__kept";
/// The filters that stand for `*`, `Kept::times` of [`super::operators`], and `%`, [`super::operators::modulo`].
pub(super) const TIMES: &str = "__times";
pub(super) const MODULO: &str = "__modulo";
/// The filter through which what `~` joins goes: [`super::text::string`].
pub(super) const TEXT: &str = "__text";

/// The source as minijinja shall compile it:
///
/// * `{% generation %}` … `{% endgeneration %}`, which transformers defines to mark what the model has said, is a scope
///   of its own and nothing else;
/// * what is assigned to an attribute goes through the filter [`PLAIN`]: a namespace is the one value that can be made to
///   hold itself, and minijinja follows such a value until the stack ends;
/// * what gets a name goes through [`KEPT`]: a value that has one can be put into another twice, and again, and then has
///   more items to write out than any memory holds;
/// * `*` is [`TIMES`], since minijinja's list times a number is as long as the number and costs nothing, and `%` is
///   [`MODULO`], since minijinja formats no text with it;
/// * what `~` joins goes through [`TEXT`]: Python prints some values otherwise.
///
/// # Errors
/// For a source that is too long or has a tag that is, and those of the tokenizer.
pub(super) fn rewrite<'s>(source: &'s str, syntax: &SyntaxConfig) -> Result<Cow<'s, str>, Error> {
    limit("bytes in a template", SOURCE_BYTES, source.len())?;
    let mut edits: Vec<Edit> = Vec::new();
    let mut tag: Vec<(Token<'_>, Span)> = Vec::new();
    let mut elifs = 0;
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token?;
        match token {
            Token::TemplateData(_) | Token::BlockStart | Token::VariableStart => tag.clear(),
            Token::VariableEnd => operators::rewrite(&tag, &mut edits),
            Token::BlockEnd => {
                if matches!(tag.first(), Some((Token::Ident("elif"), _))) {
                    elifs += 1;
                    limit("elif", ELIFS, elifs)?;
                }
                operators::rewrite(&tag, &mut edits);
                edit(source, &tag, span, &mut edits);
            }
            _ => {
                limit("tokens in a tag", TAG_TOKENS, tag.len() + 1)?;
                tag.push((token, span));
            }
        }
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(source));
    }
    // Stable: of two at one place, the one that was found first comes first.
    edits.sort_by_key(|edit| edit.from);
    let mut rewritten = String::with_capacity(source.len() + 16 * edits.len());
    let mut done = 0;
    for Edit { from, to, text } in edits {
        rewritten.push_str(&source[done..from]);
        rewritten.push_str(&text);
        done = to;
    }
    rewritten.push_str(&source[done..]);
    Ok(Cow::Owned(rewritten))
}

fn limit(what: &str, most: usize, got: usize) -> Result<(), Error> {
    if got <= most {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SyntaxError,
        format!("expected at most {most} {what}, got {got}"),
    ))
}

/// Bytes `from..to` of the source become `text`.
struct Edit {
    from: usize,
    to: usize,
    text: Cow<'static, str>,
}

impl Edit {
    fn insert(at: usize, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            from: at,
            to: at,
            text: text.into(),
        }
    }
}

/// What becomes of a statement, the tokens between `{%` and `%}`; the latter is at `block_end`.
fn edit(source: &str, tag: &[(Token<'_>, Span)], block_end: Span, edits: &mut Vec<Edit>) {
    let (Some((Token::Ident(name), at)), Some((_, last))) = (tag.first(), tag.last()) else {
        return;
    };
    let end = last.end_offset as usize;
    let named: Vec<&str> = match *name {
        "generation" | "endgeneration" if tag.len() == 1 => {
            let begins = *name == "generation";
            edits.push(Edit {
                from: at.start_offset as usize,
                to: at.end_offset as usize,
                text: if begins { "with" } else { "endwith" }.into(),
            });
            return;
        }
        "set" => {
            set(tag, end, edits);
            return;
        }
        // The names before `in`; those that are called like parameters; those before a `=`.
        "for" => identifiers(tag[1..].iter().map(|(token, _)| token))
            .take_while(|name| *name != "in")
            .collect(),
        "macro" if tag.len() > 2 => parameters(tag[2..].iter().map(|(token, _)| token)),
        // What follows the name of what is called are values; parameters stand before it.
        "call" => parameters(tag[1..].iter().map(|(token, _)| token)),
        "with" => tag
            .windows(2)
            .filter(|pair| matches!(pair[1].0, Token::Assign))
            .flat_map(|pair| identifiers(std::iter::once(&pair[0].0)))
            .collect(),
        _ => return,
    };
    // With the mark that the statement ends with, so that the space after it is treated as it was.
    let (from, to) = (
        block_end.start_offset as usize,
        block_end.end_offset as usize,
    );
    let mark = &source[from..to];
    let sets = named
        .iter()
        .map(|name| format!("{{% set {name} = {name}|{KEPT} {mark}"));
    edits.push(Edit::insert(to, sets.collect::<String>()));
}

fn set(tag: &[(Token<'_>, Span)], end: usize, edits: &mut Vec<Edit>) {
    let divides = |token: &Token<'_>| matches!(token, Token::Assign | Token::Pipe);
    let Some(middle) = tag.iter().position(|(token, _)| divides(token)) else {
        return;
    };
    let (target, rest) = tag.split_at(middle);
    let attribute = target.iter().any(|(token, _)| matches!(token, Token::Dot));
    let filter = if attribute { PLAIN } else { KEPT };
    match rest {
        [(Token::Assign, assign), _, ..] => {
            edits.push(Edit::insert(assign.end_offset as usize, "("));
            edits.push(Edit::insert(end, format!(")|{filter}")));
        }
        // A block that is filtered: `{% set ns.x | trim %} … {% endset %}`.
        [(Token::Pipe, _), ..] => edits.push(Edit::insert(end, format!("|{filter}"))),
        _ => {}
    }
}

fn identifiers<'t>(tokens: impl Iterator<Item = &'t Token<'t>>) -> impl Iterator<Item = &'t str> {
    tokens.filter_map(|token| match token {
        Token::Ident(name) => Some(*name),
        _ => None,
    })
}

/// The names in the list of parameters that `tokens` begin with, none where they begin otherwise: each stands after the
/// opening bracket or a comma of the list.
fn parameters<'t>(tokens: impl Iterator<Item = &'t Token<'t>>) -> Vec<&'t str> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth -= 1,
            Token::Ident(name)
                if depth == 1 && matches!(before, Some(Token::ParenOpen | Token::Comma)) =>
            {
                names.push(*name);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        before = Some(token);
    }
    names
}
