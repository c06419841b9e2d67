//! A model package: a folder with a graph, a tokenizer, a config and, where it has them, a chat template and a prompt.
//!
//! The only reader of configs. Names, element types, ranks and sizes come from the graph; the configs give what a graph
//! cannot say. Where the two disagree, the package is refused.

mod attention;
mod config;
mod fingerprint;
mod graph;
mod onnx;
mod prompt;
mod report;
mod rotary;
mod template;
mod text;

use std::path::{Path, PathBuf};

use memmap2::Mmap;

pub use graph::DecoderGraph;
pub(crate) use graph::LogitsDtype;
pub use prompt::{ExampleTurn, PromptFile, SamplingDefaults};
pub use report::{LoadReport, QuantisedWeights};
pub use rotary::{KeyRotation, Rotary};
pub use template::{Message, Role};
pub use text::TextCodec;
pub(crate) use text::TextStream;

use config::GenaiConfig;
use template::ChatTemplate;

use crate::error::{Error, Result};
use crate::files;

/// File of a package that holds its prompt.
const PROMPT_FILE: &str = "prompt.toml";

/// An opened package. Opening reads the graph's structure and the texts, not the weights.
#[derive(Debug)]
pub struct Package {
    dir: PathBuf,
    config: GenaiConfig,
    graph: DecoderGraph,
    text: TextCodec,
    template: Option<ChatTemplate>,
    prompt: Option<PromptFile>,
}

impl Package {
    /// Opens the onnxruntime-genai folder `dir` and holds its files against each other.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is missing or unreadable, [`Error::Package`] for one that is cut short or
    /// disagrees with another, [`Error::Template`] for a chat template that does not compile.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::package(
                dir,
                "package",
                "a folder with genai_config.json (see `curt inspect`)",
                if dir.exists() { "a file" } else { "nothing" },
            ));
        }
        let (config, config_file) = GenaiConfig::read(dir)?;
        let graph = DecoderGraph::read(dir, &config, &config_file)?;
        let tokenizer_file = text::tokenizer_file(dir);
        let text = TextCodec::read(&tokenizer_file)?;
        if text.vocabulary() > graph.vocabulary() {
            return Err(Error::package(
                tokenizer_file,
                "vocabulary",
                format!(
                    "at most {} tokens, as the graph has logits",
                    graph.vocabulary()
                ),
                text.vocabulary(),
            ));
        }
        for id in config.model.eos_token_id.to_vec() {
            if id as usize >= graph.vocabulary() {
                return Err(Error::package(
                    config_file,
                    "model.eos_token_id",
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
        Ok(Self {
            template: ChatTemplate::read(dir)?,
            dir: dir.into(),
            config,
            graph,
            text,
            prompt,
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

    /// The tokenizer.
    pub fn text(&self) -> &TextCodec {
        &self.text
    }

    /// The prompt that the package brings.
    pub fn prompt(&self) -> Option<&PromptFile> {
        self.prompt.as_ref()
    }

    /// How its graph rotates the keys that it caches.
    ///
    /// # Errors
    /// [`Error::Io`] where its table can no longer be read.
    pub fn key_rotation(&self) -> Result<KeyRotation> {
        rotary::key_rotation(&self.dir, &self.graph)
    }

    /// The architecture as the config names it.
    pub fn model_type(&self) -> &str {
        &self.config.model.model_type
    }

    /// Tokens the model can attend to: prompt and answer together.
    pub fn context_tokens(&self) -> usize {
        self.config.model.context_length
    }

    /// Ids that end a path.
    pub fn eos_ids(&self) -> Vec<u32> {
        self.config.model.eos_token_id.to_vec()
    }

    /// How the package's config wants it to be sampled; its prompt file comes before that.
    pub fn sampling(&self) -> SamplingDefaults {
        let search = &self.config.search;
        if search.do_sample {
            SamplingDefaults {
                temperature: search.temperature,
                top_k: search.top_k,
                top_p: search.top_p,
                repetition_penalty: search.repetition_penalty,
                ..SamplingDefaults::default()
            }
        } else {
            SamplingDefaults::default()
        }
    }

    /// The conversation as one text, through the package's chat template.
    ///
    /// A package without a template gets the messages' texts, one a line.
    ///
    /// # Errors
    /// [`Error::Template`] where the template fails, refuses the roles or loops.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        match &self.template {
            Some(template) => template.render(messages),
            None => {
                let lines: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
                Ok(lines.join("\n"))
            }
        }
    }

    /// The package's identity: SHA-256 in hex over tensor contents, graph, tokenizer, template and the config's facts.
    /// Reads every weight.
    ///
    /// # Errors
    /// [`Error::Io`] where a file can no longer be read.
    pub fn fingerprint(&self) -> Result<String> {
        let model = &self.config.model;
        let facts = format!(
            "{} bos={:?} eos={:?} context={}",
            model.model_type,
            model.bos_token_id,
            model.eos_token_id.to_vec(),
            model.context_length
        );
        let tokenizer = files::read_text(
            &text::tokenizer_file(&self.dir),
            text::TOKENIZER_BYTES,
            "the package's tokenizer cannot be read",
        )?;
        let template = self.template.as_ref().map_or("", ChatTemplate::source);
        fingerprint::fingerprint(
            &self.dir,
            &self.graph,
            &[
                ("config", facts.as_bytes()),
                ("tokenizer", tokenizer.as_bytes()),
                ("template", template.as_bytes()),
            ],
        )
    }

    /// What is in the package, for a person to read.
    ///
    /// # Errors
    /// [`Error::Io`] where a file can no longer be read.
    pub fn report(&self) -> Result<LoadReport> {
        report::report(self)
    }
}

/// Maps a file for reading.
fn map(file: &Path) -> Result<Mmap> {
    const ACTION: &str = "the package's graph or weights cannot be read";
    let failed = |source| Error::Io {
        file: file.into(),
        action: ACTION,
        source,
    };
    let opened = files::open(file, ACTION)?.file;
    // SAFETY: the map is private and read-only. A file that another process shortens while it is mapped can fault: the
    // price of not copying gigabytes. Package files are written once and renamed into place.
    unsafe { Mmap::map(&opened) }.map_err(failed)
}
