//! What a folder says of its package, whatever its layout: all that a graph cannot say of itself.

use std::path::PathBuf;

use super::prompt::SamplingDefaults;

/// What a graph before the decoder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GraphRole {
    /// A text to what a decoder attends to.
    Encoder,
    /// Token ids to embeddings.
    Embedding,
    /// An image to image features.
    Vision,
    /// A sound to its features.
    Speech,
}

/// A graph by its role.
#[derive(Debug, Clone)]
pub(super) struct GraphFile {
    pub(super) role: GraphRole,
    pub(super) file: PathBuf,
}

/// Names of what the decoder graph takes and gives.
#[derive(Debug, Clone)]
pub(super) struct DecoderNames {
    pub(super) input_ids: String,
    /// Of graphs that take embeddings in place of ids.
    pub(super) inputs_embeds: String,
    pub(super) attention_mask: String,
    pub(super) position_ids: String,
    /// Of graphs that are two in one: whether there is a past.
    pub(super) use_cache_branch: String,
    pub(super) logits: String,
    /// Of past key, past value, present key and present value; each has one `%d` for the layer.
    pub(super) kv: [String; 4],
}

/// Names of what the embedding graph takes and gives.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingNames {
    pub(super) input_ids: String,
    /// Of graphs that put image features in place themselves.
    pub(super) image_features: String,
    pub(super) inputs_embeds: String,
}

/// Names of what the vision graph takes and gives.
#[derive(Debug, Clone)]
pub(super) struct VisionNames {
    pub(super) pixel_values: String,
    /// Of graphs that are told which pixels are the picture's.
    pub(super) attention_mask: String,
    pub(super) image_features: String,
}

/// A number that the graph has too, and the field that states it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    pub(super) field: &'static str,
    pub(super) number: usize,
}

/// Attention to the last positions alone, in some layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) field: &'static str,
    /// Positions attended to.
    pub(super) positions: usize,
    /// Whether the cache or the inputs are to slide with it; `None` where that is not said.
    pub(super) slides: Option<bool>,
    /// What gives a package that does not slide.
    pub(super) remedy: &'static str,
}

/// What a folder says of its package.
#[derive(Debug, Clone)]
pub(super) struct Description {
    /// The file that says it, for errors to name.
    pub(super) file: PathBuf,
    /// The architecture.
    pub(super) model_type: String,
    /// The decoder graph.
    pub(super) decoder: PathBuf,
    /// Graphs that stand before it.
    pub(super) others: Vec<GraphFile>,
    pub(super) names: DecoderNames,
    pub(super) embedding_names: EmbeddingNames,
    pub(super) vision_names: VisionNames,
    /// The placeholder that stands in a prompt for each vector of an image.
    pub(super) image_token_id: Option<u32>,
    /// Layers that have keys and values, heads of each, elements of one, tokens that have logits: where they are stated.
    pub(super) layers: Option<Stated>,
    pub(super) kv_heads: Option<Stated>,
    pub(super) head_dim: Option<Stated>,
    pub(super) vocabulary: Option<Stated>,
    /// The field that says that one buffer is past and present, where one does.
    pub(super) one_buffer: Option<&'static str>,
    pub(super) window: Option<Window>,
    /// Tokens the model can attend to.
    pub(super) context: Stated,
    pub(super) bos_id: Option<u32>,
    /// Ids that end a path, and the field that names them.
    pub(super) eos_ids: Vec<u32>,
    pub(super) eos_field: &'static str,
    /// The folder of tokenizer and template.
    pub(super) texts: PathBuf,
    /// Files that say how an image or a sound becomes a tensor.
    pub(super) processors: Vec<PathBuf>,
    pub(super) sampling: SamplingDefaults,
    /// What is said and not followed, a sentence each.
    pub(super) notes: Vec<String>,
}
