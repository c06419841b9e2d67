//! The sections that a package's model was trained to write, in TOML.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files;

/// File of a package that holds them.
pub(super) const FORMATS_FILE: &str = "formats.toml";

/// Most bytes of a tag.
const TAG_BYTES: usize = 64;

/// Most bytes of white space between sections.
const BETWEEN_BYTES: usize = 16;

/// Most tokens that a section may be allowed: more than any context.
const MOST_TOKENS: usize = 1 << 24;

/// The tags of a section as a model writes them, white space that belongs to them included.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionTags {
    /// What begins it.
    pub open: String,
    /// What ends it.
    pub close: String,
    /// Tokens that no right section has more of, where that is known.
    #[serde(default)]
    pub max_tokens: Option<usize>,
}

impl SectionTags {
    /// These tags, for a section of any length.
    pub fn new(open: &str, close: &str) -> Self {
        Self {
            open: open.into(),
            close: close.into(),
            max_tokens: None,
        }
    }
}

/// `formats.toml`: the sections of a response, in the order perception, reasoning, answer.
///
/// ```toml
/// between = "\n\n"               # white space between sections; none where it is left out
/// [perception]
/// open = "<perception>\n"
/// close = "\n</perception>"
/// max_tokens = 192               # may be left out
/// [reasoning]
/// open = "<reasoning>\n"
/// close = "\n</reasoning>"
/// [answer]                       # left out where the answer is what follows the reasoning
/// open = "<answer>\n"
/// close = "\n</answer>"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatsFile {
    /// White space between two sections.
    #[serde(default)]
    pub between: String,
    /// Of what is seen.
    #[serde(default)]
    pub perception: Option<SectionTags>,
    /// Of what follows from it.
    #[serde(default)]
    pub reasoning: Option<SectionTags>,
    /// Of the answer.
    #[serde(default)]
    pub answer: Option<SectionTags>,
}

impl FormatsFile {
    /// Reads the file of the package in `dir`, where it has one.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Package`] where it is no TOML of this shape, or its tags cannot be told
    /// apart.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(FORMATS_FILE);
        let action = "the package's formats cannot be read";
        let text = files::read_text_if_there(&file, files::WRITTEN_BYTES, action)?;
        text.map(|text| Self::parse(&file, &text)).transpose()
    }

    /// The formats that `text` says, which came from `file`.
    ///
    /// # Errors
    /// [`Error::Package`] where it is no TOML of this shape, or its tags cannot be told apart.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let formats: Self = toml::from_str(text).map_err(|e| {
            let expected = "sections (perception, reasoning, answer, each with open, close, max_tokens) and between";
            // Its backticks hold keys of the file, not fields of an option.
            let got = e.to_string().trim_end().replace('`', "\"");
            Error::package(file, "TOML", expected, got)
        })?;
        let refused = |field: &str, expected: String, got: String| {
            Err(Error::package(file, field, expected, got))
        };
        if !formats.between.chars().all(char::is_whitespace)
            || formats.between.len() > BETWEEN_BYTES
        {
            let expected = format!("white space of at most {BETWEEN_BYTES} bytes");
            return refused("between", expected, format!("{:?}", formats.between));
        }
        let sections = [&formats.perception, &formats.reasoning, &formats.answer];
        let sections: Vec<&SectionTags> = sections.into_iter().flatten().collect();
        if sections.is_empty() || (formats.perception.is_some() && formats.answer.is_none()) {
            let expected = "tags of the answer, since others have some".to_string();
            return refused("answer", expected, "none".into());
        }
        let tags: Vec<&String> = sections.iter().flat_map(|s| [&s.open, &s.close]).collect();
        let matched: Vec<String> = tags.iter().map(|t| t.trim().to_ascii_lowercase()).collect();
        let sized = |tag: &&String| tag.trim().is_empty() || tag.len() > TAG_BYTES;
        if let Some(odd) = tags.iter().copied().find(sized) {
            let expected = format!("a tag of 1 to {TAG_BYTES} bytes");
            return refused("open, close", expected, format!("{odd:?}"));
        }
        for (number, tag) in matched.iter().enumerate() {
            let mut others = matched.iter().enumerate();
            let held = |(other, held): &(usize, &String)| *other != number && tag.contains(*held);
            if let Some((other, _)) = others.find(held) {
                let expected = format!("tags of which none holds another ({:?})", tags[other]);
                return refused("open, close", expected, format!("{:?}", tags[number]));
            }
        }
        let caps = sections.iter().filter_map(|section| section.max_tokens);
        if let Some(cap) = caps
            .into_iter()
            .find(|cap| !(1..=MOST_TOKENS).contains(cap))
        {
            return refused("max_tokens", format!("1 to {MOST_TOKENS}"), cap.to_string());
        }
        Ok(formats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[perception]\nopen = '<p>'\nclose = '</p>'\nmax_tokens = 9\n[answer]\nopen = '<a>'\nclose = '</a>'\n";

    fn refusal(text: &str) -> String {
        FormatsFile::parse(Path::new("f"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_by_its_field() {
        let formats = FormatsFile::parse(Path::new("f"), WHOLE).unwrap();
        assert_eq!(formats.perception.unwrap().max_tokens, Some(9));
        for (from, to, said) in [
            ("'<a>'", "'</P>'", "none holds another"),
            ("'<a>'", "' <p>x'", "none holds another"),
            ("'<a>'", "' '", "1 to 64 bytes"),
            ("max_tokens = 9", "max_tokens = 0", "max_tokens"),
            ("[answer]", "between = 'x'\n[answer]", "unknown field"),
            ("[answer]", "[anser]", "unknown field"),
        ] {
            let error = refusal(&WHOLE.replace(from, to));
            assert!(error.contains(said), "{to}: {error}");
        }
        assert!(refusal("between = 'x'").contains("white space"));
        assert!(refusal(&WHOLE[..WHOLE.find("[answer]").unwrap()]).contains("answer"));
        assert!(refusal("").contains("answer"));
    }
}
