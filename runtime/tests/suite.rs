//! Every integration test of the crate in one binary: linked once.

mod checks;
mod configs;
mod embeddings;
mod engine;
mod formats;
mod frames;
mod heads;
mod hostile_templates;
mod hostile_tokenizers;
mod identity;
mod images;
mod kv;
mod last_logits;
mod packages;
mod reference;
mod sampling;
mod session;
mod shared_attention;
mod shown;
mod support;
mod templates;
mod texts;
mod vision;
mod vision_packages;
