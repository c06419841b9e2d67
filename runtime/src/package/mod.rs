//! A model package: a folder with graphs, a tokenizer, a config and, where it has them, a chat template and a prompt.
//!
//! The only reader of configs. `layout` turns a folder's own config into one neutral description. Names, element types,
//! ranks and sizes come from the graph; the config gives what a graph cannot say. Where the two disagree, the package is
//! refused; a context that the graph's table of positions does not reach is cut to it, with a note.

mod apart;
mod attention;
mod before;
mod description;
mod encode;
mod fingerprint;
mod formats;
mod graph;
mod last_logits;
mod layout;
mod onnx;
mod processor;
mod prompt;
mod report;
mod rotary;
mod shared_attention;
mod template;
mod text;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) use apart::caught;
pub use apart::panic_is_caught;
pub(crate) use before::{EmbeddingGraph, MaskDtype, VisionGraph};
pub use encode::{EncodedPrompt, ImageGrid};
pub use formats::{FormatsFile, SectionTags};
pub use graph::DecoderGraph;
pub(crate) use graph::{FloatDtype, GraphInput};
pub use processor::{Filter, ImageProcessor, Resize, Tiling, Wording};
pub use prompt::{ExampleTurn, PromptFile, SamplingDefaults};
pub use report::{LoadReport, QuantizedWeights};
pub use rotary::{KeyRotation, Rotary};
pub(crate) use shared_attention::SharedGraph;
pub use shared_attention::{Attention, AttentionReport};
pub use template::{ChatTemplate, Message, Rendered, Role};
pub use text::TextCodec;
pub(crate) use text::TextStream;

use before::GraphsBefore;
use description::{Description, GraphRole};
use fingerprint::Fingerprint;
use graph::read_model;

use crate::error::{Error, Result};
use crate::files;

/// File of a package that holds its prompt.
const PROMPT_FILE: &str = "prompt.toml";

/// Most bytes of a file that says how an image becomes a tensor.
const PROCESSOR_BYTES: u64 = files::WRITTEN_BYTES;

/// An opened package. Opening reads the graph's structure and the texts, not the weights.
///
/// ```
/// use curt::Package;
///
/// let package = Package::open("../models/packages/reasoner".as_ref())?;
/// let geometry = package.graph().geometry();
/// assert!(geometry.bytes_per_token() > 0);
/// assert!(package.prompt().is_some(), "a package may bring its own prompt");
/// # Ok::<(), curt::Error>(())
/// ```
#[derive(Debug)]
pub struct Package {
    dir: PathBuf,
    description: Description,
    graph: DecoderGraph,
    before: GraphsBefore,
    processor: Option<ImageProcessor>,
    text: TextCodec,
    template: Option<ChatTemplate>,
    prompt: Option<PromptFile>,
    formats: Option<FormatsFile>,
    context_tokens: usize,
    min_capacity_tokens: usize,
    notes: Vec<String>,
    fingerprint: OnceLock<String>,
}

impl Package {
    /// Opens the folder `dir` and holds its files against each other.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or unreadable, [`Error::Package`] for one that is cut short, is no regular
    /// file, lies outside the folder or disagrees with another, [`Error::Template`] for a chat template that does not
    /// compile.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_as(dir, None)
    }

    /// As [`Self::open`]; `dtype` says which files are taken where a folder of transformers.js has several of one graph: one
    /// of its names for all (`q4`), or `graph=name` parted by commas.
    ///
    /// # Errors
    /// Those of [`Self::open`], and [`Error::Option`] for a name that is none, or of which there is no file.
    pub fn open_as(dir: &Path, dtype: Option<&str>) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::package(
                dir,
                "package",
                "a folder with genai_config.json or onnx/ (see `curt inspect`)",
                if dir.exists() { "a file" } else { "nothing" },
            ));
        }
        let description = layout::read(dir, dtype)?;
        // Whoever copied a package in part is told here, whatever is asked of it.
        for graph in &description.others {
            files::open(
                &graph.file,
                "a graph that the package's config names cannot be read",
            )?;
        }
        let graph = DecoderGraph::read(&description.decoder, &description)?;
        let before = GraphsBefore::read(&description, &graph)?;
        let text = TextCodec::read(&text::tokenizer_file(&description.texts))?;
        for &id in &description.eos_ids {
            if id as usize >= graph.vocabulary() {
                return Err(Error::package(
                    &description.file,
                    description.eos_field,
                    format!("ids below {}", graph.vocabulary()),
                    id,
                ));
            }
        }
        let prompt_file = dir.join(PROMPT_FILE);
        let prompt = if files::is_there(&prompt_file) {
            Some(PromptFile::read(&prompt_file)?)
        } else {
            None
        };
        let mut notes = description.notes.clone();
        let processor = match before.vision {
            Some(_) => image_processor(&description, &mut notes)?,
            None => None,
        };
        let context_tokens = context(&description, &graph, &mut notes);
        Ok(Self {
            template: ChatTemplate::read(&description.texts)?,
            min_capacity_tokens: window(&description, &graph)?,
            dir: dir.into(),
            description,
            graph,
            before,
            processor,
            text,
            prompt,
            formats: FormatsFile::read(dir)?,
            context_tokens,
            notes,
            fingerprint: OnceLock::new(),
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The decoder graph.
    pub fn graph(&self) -> &DecoderGraph {
        &self.graph
    }

    /// The graph that embeds tokens, where the decoder takes embeddings.
    pub(crate) fn embedding(&self) -> Option<&EmbeddingGraph> {
        self.before.embedding.as_ref()
    }

    /// The graph that turns pixels into image features.
    pub(crate) fn vision(&self) -> Option<&VisionGraph> {
        self.before.vision.as_ref()
    }

    /// How an image becomes a tensor, where the package takes images.
    pub fn image_processor(&self) -> Option<&ImageProcessor> {
        self.processor.as_ref()
    }

    /// The token that stands in a prompt for each image feature.
    pub fn image_token_id(&self) -> Option<u32> {
        self.description.image_token_id
    }

    /// The tokenizer.
    pub fn text(&self) -> &TextCodec {
        &self.text
    }

    /// The prompt that the package brings.
    pub fn prompt(&self) -> Option<&PromptFile> {
        self.prompt.as_ref()
    }

    /// The sections that its model was trained to write, where it says so.
    pub fn formats(&self) -> Option<&FormatsFile> {
        self.formats.as_ref()
    }

    /// How its graph rotates the keys that it caches.
    ///
    /// # Errors
    /// [`Error::Io`] where its table can no longer be read.
    pub fn key_rotation(&self) -> Result<KeyRotation> {
        rotary::key_rotation(&self.graph)
    }

    /// The architecture as the config names it.
    pub fn model_type(&self) -> &str {
        &self.description.model_type
    }

    /// Tokens the model can attend to: prompt and answer together.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Fewest positions that a cache must have room for, however short the question: attention that looks back on a
    /// window fails in a buffer that is smaller. 0 for most packages.
    pub fn min_capacity_tokens(&self) -> usize {
        self.min_capacity_tokens
    }

    /// The id that begins a text, where the config names one.
    pub fn bos_id(&self) -> Option<u32> {
        self.description.bos_id
    }

    /// Ids that end a path.
    pub fn eos_ids(&self) -> Vec<u32> {
        self.description.eos_ids.clone()
    }

    /// How the package's config wants it to be sampled; its prompt file comes before that.
    pub fn sampling(&self) -> SamplingDefaults {
        self.description.sampling
    }

    /// What the package's config says and curt does not follow, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The package's identity: SHA-256 in hex over what its graphs compute (every one, with all weights), their names for
    /// keys and values, tokenizer, template, processors, and the config's facts. How it is asked does not count: prompt
    /// file and sampling. Reads every weight at its first call, and remembers it.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Package`] where a file has gone or changed.
    pub fn fingerprint(&self) -> Result<String> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let description = &self.description;
        let mut hash = Fingerprint::default();
        let facts = format!(
            "{} bos={:?} eos={:?} context={}",
            description.model_type, description.bos_id, description.eos_ids, self.context_tokens
        );
        hash.add("config", facts.as_bytes());
        let tokenizer = files::read_text(
            &text::tokenizer_file(&description.texts),
            text::TOKENIZER_BYTES,
            "the package's tokenizer cannot be read",
        )?;
        hash.add("tokenizer", tokenizer.as_bytes());
        if let Some(template) = &self.template {
            hash.add("template", template.source().as_bytes());
            for token in template.special_tokens() {
                hash.add("special token", token.as_bytes());
            }
        }
        for file in &description.processors {
            let action = "the package's processor cannot be read";
            hash.add("processor", &files::read(file, PROCESSOR_BYTES, action)?);
        }
        let graph = &self.graph;
        let bound = [&graph.input_name, &graph.logits];
        let optional = [&graph.attention_mask, &graph.position_ids];
        for name in bound.into_iter().chain(graph.kv_names.iter().flatten()) {
            hash.add("name", name.as_bytes());
        }
        for name in optional {
            hash.add("name", name.as_deref().unwrap_or_default().as_bytes());
        }
        hash.add_graph("Decoder", &graph.file)?;
        // Of packages that take images: what is bound in the graphs before the decoder, and what their features replace.
        if let Some(id) = description.image_token_id {
            hash.add("image token", &id.to_le_bytes());
        }
        if let Some(graph) = &self.before.embedding {
            let features = graph.image_features.as_ref();
            let features = features.map_or("", |(name, _)| name.as_str());
            for name in [graph.input_ids.as_str(), features, &graph.output] {
                hash.add("embedding name", name.as_bytes());
            }
        }
        if let Some(graph) = &self.before.vision {
            let mask = graph.mask.as_ref().map_or("", |(name, _)| name.as_str());
            for name in [graph.pixel_values.as_str(), mask, &graph.output] {
                hash.add("vision name", name.as_bytes());
            }
        }
        for graph in &description.others {
            hash.add_graph(&format!("{:?}", graph.role), &graph.file)?;
        }
        Ok(self.fingerprint.get_or_init(|| hash.finish()).clone())
    }

    /// What is in the package, for a person to read.
    ///
    /// # Errors
    /// [`Error::Io`] where a file can no longer be read.
    pub fn report(&self) -> Result<LoadReport> {
        report::report(self)
    }
}

/// What the package's processor says. What makes images impossible to ask about becomes a note: texts still can be.
fn image_processor(
    description: &Description,
    notes: &mut Vec<String>,
) -> Result<Option<ImageProcessor>> {
    let missing = |what: &str| format!("images cannot be asked about: {what}");
    if description.image_token_id.is_none() {
        notes.push(missing("the config names no image token"));
        return Ok(None);
    }
    if !description
        .others
        .iter()
        .any(|graph| graph.role == GraphRole::Embedding)
    {
        notes.push(missing("there is no graph that embeds tokens"));
        return Ok(None);
    }
    match processor::read(&description.processors)? {
        Some(processor::Read::Known(processor)) => Ok(Some(processor)),
        Some(processor::Read::Unknown(name)) => {
            notes.push(processor::Read::refusal(&name));
            Ok(None)
        }
        None => {
            notes.push(missing(
                "no preprocessor_config.json of Hugging Face's form",
            ));
            Ok(None)
        }
    }
}

/// Tokens the model can attend to: what the config says, as far as the graph's table of positions goes.
fn context(description: &Description, graph: &DecoderGraph, notes: &mut Vec<String>) -> usize {
    let stated = description.context;
    match rotary::positions(&graph.model.graph) {
        Some(positions) if positions < stated.number => {
            notes.push(format!(
                "{} is {}, and the graph's table of positions ends at {positions}: the context is {positions} tokens",
                stated.field, stated.number
            ));
            positions
        }
        _ => stated.number,
    }
}

/// Fewest positions of a cache, after the windows that config and graph name.
///
/// # Errors
/// [`Error::Package`] where the cache would have to slide with the window.
fn window(description: &Description, graph: &DecoderGraph) -> Result<usize> {
    let in_graph = attention::window(&graph.model.graph);
    let Some(window) = &description.window else {
        return Ok(0);
    };
    // Not said: what attention itself cuts off need not be dropped from the cache.
    if window.slides.unwrap_or(in_graph.is_none()) {
        return Err(Error::package(
            &description.file,
            window.field,
            format!(
                "a window that neither the cache nor the inputs slide with (slide_key_value_cache and slide_inputs \
                 false): {}",
                window.remedy
            ),
            format!("one of {} positions that they slide with", window.positions),
        ));
    }
    Ok(window.positions.max(in_graph.unwrap_or(0)))
}
