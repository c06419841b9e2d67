//! Tags as a tokenizer writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::package::TextCodec;

/// Texts before a tag that a tokenizer may be given, so that it writes the tag as it does within a text: some put a space
/// before the first word.
const ANCHORS: [&str; 4] = ["", "\n", ".", "a"];

/// Tokens of tags, found once for each.
#[derive(Debug, Default)]
pub struct Spelling {
    tails: BTreeMap<(String, String), Arc<[u32]>>,
    openers: BTreeMap<u32, Arc<[u32]>>,
}

impl Spelling {
    /// The tokens of `tail` where it follows `before`, which stands already: as the tokenizer writes both together, where its
    /// tokens do not reach across.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where it refuses.
    pub fn tail(&mut self, codec: &TextCodec, before: &str, tail: &str) -> Result<Arc<[u32]>> {
        let key = (before.to_string(), tail.to_string());
        if let Some(known) = self.tails.get(&key) {
            return Ok(Arc::clone(known));
        }
        let mut unsure = None;
        let mut sure = None;
        for anchor in std::iter::once(before).chain(ANCHORS) {
            let head = match anchor {
                "" => Vec::new(),
                anchor => codec.encode(anchor)?,
            };
            let both = codec.encode(&format!("{anchor}{tail}"))?;
            let Some(own) = both.strip_prefix(head.as_slice()) else {
                continue;
            };
            if written(codec, own) == tail {
                sure = Some(own.to_vec());
                break;
            }
            unsure.get_or_insert_with(|| own.to_vec());
        }
        let ids: Arc<[u32]> = match sure.or(unsure) {
            Some(ids) => ids.into(),
            None => codec.encode(tail)?.into(),
        };
        self.tails.insert(key, Arc::clone(&ids));
        Ok(ids)
    }

    /// Tokens that may stand in place of `last`, the last of an opening tag: its text, and perhaps the beginning of what
    /// follows, which many vocabularies fuse with it (`>B`); but nothing that a tag may begin with.
    pub fn openers(&mut self, codec: &TextCodec, last: u32) -> Arc<[u32]> {
        if let Some(known) = self.openers.get(&last) {
            return Arc::clone(known);
        }
        let text = codec.token(last).unwrap_or_default();
        let fuses = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        let specials: Vec<u32> = codec.special_tokens().map(|(id, _)| id).collect();
        let begins = |id: &u32| {
            let token = codec.token(*id);
            token.is_some_and(|token| {
                token
                    .strip_prefix(&text)
                    .is_some_and(|rest| !rest.contains('<'))
            }) && !specials.contains(id)
        };
        let ids: Arc<[u32]> = if fuses {
            (0..codec.vocabulary() as u32)
                .filter(|id| *id == last || begins(id))
                .collect()
        } else {
            [last].into()
        };
        self.openers.insert(last, Arc::clone(&ids));
        ids
    }
}

/// The text of tokens as their vocabulary writes them, the signs for white space read back.
fn written(codec: &TextCodec, ids: &[u32]) -> String {
    let mut text = String::new();
    for &id in ids {
        for c in codec.token(id).unwrap_or_default().chars() {
            text.push(match c {
                // Byte-level vocabularies: space and line feed. SentencePiece's: space.
                '\u{120}' | '\u{2581}' => ' ',
                '\u{10a}' => '\n',
                other => other,
            });
        }
    }
    text
}
