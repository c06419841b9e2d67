//! A question's images: seen, and put in their places.

use std::sync::Arc;
use std::time::Instant;

use super::{AskOptions, Engine, EngineOptions};
use crate::answer::ImageFacts;
use crate::error::{Error, Result};
use crate::generate::CacheKey;
use crate::package::{ImageGrid, Package};
use crate::session::SessionOptions;
use crate::vision::{Digest, Encoder, EncoderCache, Features, Image, ImageLimits, decode, process};

/// What an engine sees with.
pub(super) struct Sight {
    /// Loaded when the first image comes.
    encoder: Option<Encoder>,
    cache: EncoderCache,
    session: SessionOptions,
    keep_encoder: bool,
}

/// An image that was seen.
pub(super) struct Seen {
    digest: Digest,
    features: Arc<Features>,
    pub(super) facts: ImageFacts,
}

impl Sight {
    pub(super) fn new(options: &EngineOptions) -> Self {
        Self {
            encoder: None,
            cache: EncoderCache::new(options.image_cache_bytes),
            session: options.session(),
            keep_encoder: options.keep_encoder,
        }
    }

    /// Gives up the vision graph; the next new image loads it again. Says whether there was one.
    pub(super) fn release(&mut self) -> bool {
        self.encoder.take().is_some()
    }

    /// Gives up the vision graph, and what it made of images.
    pub(super) fn forget(&mut self) {
        self.release();
        self.cache.clear();
    }

    /// Sees `image`, or finds that it was seen before.
    fn see(&mut self, package: &Package, image: &Image, options: &AskOptions) -> Result<Seen> {
        let Some(processor) = package.image_processor() else {
            let mut expected = String::from("none: this package takes texts alone");
            if let Some(why) = package.notes().iter().find(|n| n.starts_with("images ")) {
                expected = format!("none: {why}");
            }
            return Err(Error::option("images", expected, image.name()));
        };
        let milliseconds = |clock: Instant| clock.elapsed().as_secs_f64() * 1e3;
        let clock = Instant::now();
        let limits = ImageLimits {
            max_pixels: options.max_image_pixels,
        };
        let decoded = decode(image, &limits)?;
        let digest = Digest::of(&decoded, processor, &package.dir().to_string_lossy());
        let mut facts = ImageFacts {
            name: image.name(),
            width: decoded.width,
            height: decoded.height,
            tiles: 0,
            tokens: 0,
            cached: true,
            decode_ms: milliseconds(clock),
            process_ms: None,
            load_ms: None,
            encode_ms: None,
            notes: decoded.notes.clone(),
        };
        let features = match self.cache.get(&digest) {
            Some(features) => features,
            None => {
                facts.cached = false;
                let clock = Instant::now();
                let pixels = process(decoded, processor)?;
                facts.process_ms = Some(milliseconds(clock));
                let clock = Instant::now();
                let encoder = match &mut self.encoder {
                    Some(encoder) => encoder,
                    empty => {
                        let session = SessionOptions {
                            cancel: options.cancel.clone(),
                            ..self.session.clone()
                        };
                        let loaded = empty.insert(Encoder::open(package, &session)?);
                        facts.load_ms = Some(milliseconds(clock));
                        loaded
                    }
                };
                let clock = Instant::now();
                let features = Arc::new(Features {
                    values: encoder.encode(&pixels, &options.cancel)?,
                    hidden: encoder.hidden(),
                    tiles: pixels.tiles,
                    rows: pixels.rows,
                    columns: pixels.columns,
                });
                facts.encode_ms = Some(milliseconds(clock));
                self.cache.keep(digest, &features);
                features
            }
        };
        facts.tiles = features.tiles;
        facts.tokens = features.count();
        Ok(Seen {
            digest,
            features,
            facts,
        })
    }
}

impl Seen {
    /// How it lies in the prompt.
    pub(super) fn grid(&self) -> ImageGrid {
        ImageGrid {
            rows: self.features.rows,
            columns: self.features.columns,
            features: self.features.count(),
        }
    }
}

impl Engine {
    /// Sees `images`, in their order.
    ///
    /// # Errors
    /// [`Error::Option`] where the package takes none; [`Error::Image`]; those of [`Encoder`].
    pub(super) fn see(&mut self, images: &[&Image], options: &AskOptions) -> Result<Vec<Seen>> {
        let (package, sight) = (&self.package, &mut self.sight);
        let seen = images
            .iter()
            .map(|image| sight.see(package, image, options))
            .collect::<Result<Vec<_>>>();
        if !self.sight.keep_encoder {
            self.sight.release();
        }
        seen
    }

    /// What stands at each position of `prompt`: a token, or a part of an image.
    pub(super) fn keys(&self, prompt: &[u32], seen: &[Seen]) -> Vec<CacheKey> {
        let mut parts = seen
            .iter()
            .flat_map(|seen| (0..seen.features.count()).map(|index| seen.digest.key(index)));
        let placeholder = self.package.image_token_id().filter(|_| !seen.is_empty());
        prompt
            .iter()
            .map(|&token| match Some(token) == placeholder {
                true => parts.next().unwrap_or(CacheKey::Token(token)),
                false => CacheKey::Token(token),
            })
            .collect()
    }

    /// Appends what follows the first `reused` positions of `prompt` to row 0.
    ///
    /// # Errors
    /// Those of [`crate::generate::Decoder::prefill`] and [`crate::generate::Decoder::embed`].
    pub(super) fn prefill(
        &mut self,
        prompt: &[u32],
        reused: usize,
        seen: &[Seen],
        options: &AskOptions,
    ) -> Result<()> {
        let (before, rest) = prompt.split_at(reused);
        let placeholder = self.package.image_token_id().filter(|_| !seen.is_empty());
        let Some(placeholder) = placeholder.filter(|id| rest.contains(id)) else {
            return self.decoder.prefill(rest, &options.cancel);
        };
        let skipped = before.iter().filter(|&&id| id == placeholder).count();
        let features: Vec<f32> = seen
            .iter()
            .flat_map(|seen| seen.features.values.chunks_exact(seen.features.hidden))
            .skip(skipped)
            .flatten()
            .copied()
            .collect();
        let embedded = self
            .decoder
            .embed(rest, placeholder, &features, &options.cancel)?;
        let input = crate::generate::Input::Embeddings(&embedded);
        self.decoder.prefill(input, &options.cancel)
    }
}
