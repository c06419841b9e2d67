//! Validates a template's source and makes it one that minijinja takes.
//!
//! minijinja's own tokenizer says where a tag begins and ends, so that nothing hides from these rules in a string.

use std::borrow::Cow;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// Bytes of a template. The longest published are below 40,000.
const SOURCE_BYTES: usize = 128 << 10;
/// Tokens in one tag: an expression is parsed and compiled by recursion, as deep as it is long.
const TAG_TOKENS: usize = 2_048;
/// `elif`s of a template, each of which lies within the one before.
const ELIFS: usize = 256;

/// The filter through which values go into a namespace: [`super::python::plain`].
pub(super) const PLAIN: &str = "__plain";

/// The source as minijinja shall compile it:
///
/// * `{% generation %}` … `{% endgeneration %}`, which transformers defines to mark what the model has said, is a scope
///   of its own and nothing else;
/// * what is assigned to an attribute goes through the filter [`PLAIN`]: a namespace is the one value that can be made to
///   hold itself, and minijinja follows such a value until the stack ends.
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
            Token::BlockEnd => {
                if matches!(tag.first(), Some((Token::Ident("elif"), _))) {
                    elifs += 1;
                    limit("elif", ELIFS, elifs)?;
                }
                edit(&tag, &mut edits);
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

/// What becomes of a statement, the tokens between `{%` and `%}`.
fn edit(tag: &[(Token<'_>, Span)], edits: &mut Vec<Edit>) {
    let (Some((Token::Ident(name), at)), Some((_, last))) = (tag.first(), tag.last()) else {
        return;
    };
    let end = last.end_offset as usize;
    let mut insert = |at: usize, text: Cow<'static, str>| {
        edits.push(Edit {
            from: at,
            to: at,
            text,
        });
    };
    match *name {
        "generation" | "endgeneration" if tag.len() == 1 => edits.push(Edit {
            from: at.start_offset as usize,
            to: at.end_offset as usize,
            text: if *name == "generation" {
                "with".into()
            } else {
                "endwith".into()
            },
        }),
        "set" => {
            let divides = |token: &Token<'_>| matches!(token, Token::Assign | Token::Pipe);
            let Some(middle) = tag.iter().position(|(token, _)| divides(token)) else {
                return;
            };
            let (target, rest) = tag.split_at(middle);
            if !target.iter().any(|(token, _)| matches!(token, Token::Dot)) {
                return;
            }
            match rest {
                [(Token::Assign, assign), _, ..] => {
                    insert(assign.end_offset as usize, "(".into());
                    insert(end, format!(")|{PLAIN}").into());
                }
                // A block that is filtered: `{% set ns.x | trim %} … {% endset %}`.
                [(Token::Pipe, _), ..] => insert(end, format!("|{PLAIN}").into()),
                _ => {}
            }
        }
        _ => {}
    }
}
