//! What a step takes, and what of it can be reused.

use sha2::{Digest, Sha256};

/// What a decoder is given for new positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// Token ids.
    Tokens(&'a [u32]),
    /// Vectors in place of tokens, as an embedding graph gives them for text and images: `[positions, hidden]`.
    Embeddings(&'a [f32]),
}

impl<'a> From<&'a [u32]> for Input<'a> {
    fn from(tokens: &'a [u32]) -> Self {
        Input::Tokens(tokens)
    }
}

impl<'a> From<&'a Vec<u32>> for Input<'a> {
    fn from(tokens: &'a Vec<u32>) -> Self {
        Input::Tokens(tokens)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for Input<'a> {
    fn from(tokens: &'a [u32; N]) -> Self {
        Input::Tokens(tokens)
    }
}

/// What stands at a cached position. Equal keys, with equal keys before them, have equal keys and values.
///
/// An image's positions all have the same placeholder id, so that an id does not say what stands there: those are keyed
/// by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKey {
    /// A token.
    Token(u32),
    /// SHA-256 of what took a token's place.
    Content([u8; 32]),
}

impl CacheKey {
    /// The key of a position where a vector stands: its `hidden` numbers.
    pub fn of_embedding(vector: &[f32]) -> Self {
        let mut digest = Sha256::new();
        for number in vector {
            digest.update(number.to_le_bytes());
        }
        CacheKey::Content(digest.finalize().into())
    }
}

impl From<u32> for CacheKey {
    fn from(token: u32) -> Self {
        CacheKey::Token(token)
    }
}

/// What stands at the positions that a cache's row 0 holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedKeys(Vec<CacheKey>);

impl CachedKeys {
    /// Positions of `prompt` whose keys and values are cached: those before the first that differs.
    pub fn in_common<K: Into<CacheKey>>(&self, prompt: impl IntoIterator<Item = K>) -> usize {
        let cached = self.0.iter().copied();
        cached
            .zip(prompt.into_iter().map(Into::into))
            .take_while(|(cached, wanted)| cached == wanted)
            .count()
    }

    /// Forgets all positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Adds what stands at the positions that follow.
    pub fn extend<K: Into<CacheKey>>(&mut self, keys: impl IntoIterator<Item = K>) {
        self.0.extend(keys.into_iter().map(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_images_behind_equal_placeholders_share_nothing() {
        const PLACEHOLDER: u32 = 9;
        let prompt = |image: [f32; 2]| {
            let image = image.map(|x| CacheKey::of_embedding(&[x, 1.0]));
            [CacheKey::Token(5), image[0], image[1], CacheKey::Token(6)]
        };
        let mut cached = CachedKeys::default();
        cached.extend(prompt([0.25, 0.5]));
        assert_eq!(cached.in_common(prompt([0.25, 0.5])), 4);
        assert_eq!(cached.in_common(prompt([0.25, 0.75])), 2);
        assert_eq!(cached.in_common(prompt([-0.25, 0.5])), 1);
        assert_eq!(cached.in_common([5, PLACEHOLDER, PLACEHOLDER, 6]), 1);
        cached.truncate(1);
        assert_eq!(cached.in_common([5, 6]), 1);
    }

    #[test]
    fn the_digest_is_of_every_bit() {
        assert_ne!(
            CacheKey::of_embedding(&[0.0]),
            CacheKey::of_embedding(&[-0.0])
        );
        assert_ne!(
            CacheKey::of_embedding(&[1.0]),
            CacheKey::of_embedding(&[1.0, 0.0])
        );
    }
}
