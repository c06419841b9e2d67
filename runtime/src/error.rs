//! One error type for the runtime: each variant is something a caller can do differently.

use std::path::PathBuf;

use curt_kernels::ShapeError;

/// What went wrong, with the operands and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the package is missing, cut short, or disagrees with another.
    #[error("{}: {field}: expected {expected}, got {got}", file.display())]
    Package {
        /// The file that holds the field.
        file: PathBuf,
        /// The field, or the part of the file.
        field: String,
        /// What this runtime or another file of the package needs there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A file could not be read.
    #[error("{}: {action}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was being done, and the remedy where one is known.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// There is no usable ONNX Runtime, or it refused or failed.
    #[error(transparent)]
    Session(curt_session::Error),
    /// The chat template could not be rendered.
    #[error("{}: chat template: {action}", file.display())]
    Template {
        /// The file the template came from.
        file: PathBuf,
        /// What it did not do.
        action: &'static str,
        /// The template engine's words, with the line.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer refused a text or an id.
    #[error("tokenizer: {action}")]
    Tokenizer {
        /// What it did not do.
        action: &'static str,
        /// The tokenizer's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text is too long for the model's context whatever its tokens are, and was not encoded.
    #[error(
        "the prompt has {bytes} bytes of text, and the model's context and tokenizer take {most_bytes} at the most: shorten \
         the question, the system text or the turns before it"
    )]
    LongText {
        /// Bytes of the rendered prompt.
        bytes: usize,
        /// Bytes that may fit.
        most_bytes: usize,
    },
    /// An option that cannot be honoured.
    #[error("`{field}`: expected {expected}, got {got}")]
    Option {
        /// The option's field. Messages write fields in backticks, so that a command line can put its flags in their place.
        field: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// An image that cannot be seen.
    #[error("{name}: expected {expected}, got {got}")]
    Image {
        /// Its file, or what it was called.
        name: String,
        /// What it needs to be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The prompt and the tokens asked for do not fit the model's context.
    #[error(
        "the prompt has {prompt_tokens} tokens and the model's context {context_tokens}: no room to answer; shorten the \
         question, the system text or the turns before it"
    )]
    Context {
        /// Tokens of the rendered prompt.
        prompt_tokens: usize,
        /// Tokens the model can attend to.
        context_tokens: usize,
    },
    /// Keys, values and logits would need more memory than allowed.
    #[error(
        "{needed_bytes} bytes of memory are needed ({} × {bytes_per_token} bytes of keys and \
         values{}{}) and {limit_bytes} are allowed: ask for fewer `paths` or `max_tokens`, or raise \
         `max_kv_bytes`",
        positions(*rows, *capacity_tokens, *shared_tokens), times(*copies), logits(*logits_bytes)
    )]
    Capacity {
        /// Rows planned (one for each path).
        rows: usize,
        /// Positions planned in each row.
        capacity_tokens: usize,
        /// Of these, positions that are held once for all rows.
        shared_tokens: usize,
        /// Bytes of one position in one row, over all layers.
        bytes_per_token: u64,
        /// Copies of each row.
        copies: usize,
        /// Bytes of logits, where they were counted.
        logits_bytes: u64,
        /// Bytes of the whole plan.
        needed_bytes: u64,
        /// The limit it passed.
        limit_bytes: u64,
    },
    /// The model produced logits that no token can be drawn from.
    #[error(
        "path {path}, step {step}: {count} of {vocabulary} logits are NaN or infinite: the model or its quantisation is \
         broken, or this library computes it wrongly (`curt doctor` replays a known transcript)"
    )]
    NonFiniteLogits {
        /// The path.
        path: usize,
        /// Tokens it had generated.
        step: usize,
        /// Logits that are NaN or infinite.
        count: usize,
        /// Logits in all.
        vocabulary: usize,
    },
    /// A check gave a path a score that is no number.
    #[error(
        "head {head:?}, row {row}, {tokens} tokens: score {score}: keys and values or log-probabilities are not finite, or \
         the head is broken (`curt doctor` replays a known transcript)"
    )]
    Check {
        /// The head's name.
        head: String,
        /// The path's row in the cache.
        row: usize,
        /// Tokens the path had generated.
        tokens: usize,
        /// What it scored.
        score: f64,
    },
    /// Somebody asked to stop.
    #[error("cancelled after {tokens} generated tokens")]
    Cancelled {
        /// Tokens generated by then, over all paths.
        tokens: usize,
    },
    /// A KV buffer's shape does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// The runtime's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn package(
        file: impl Into<PathBuf>,
        field: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Error::Package {
            file: file.into(),
            field: field.into(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    pub(crate) fn option(field: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Error::Option {
            field,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

/// What a cache of several copies adds to the product of rows, tokens and bytes.
/// How many positions there are.
fn positions(rows: usize, capacity_tokens: usize, shared_tokens: usize) -> String {
    match shared_tokens {
        0 => format!("{rows} rows × {capacity_tokens} tokens"),
        n => format!(
            "({n} shared tokens + {rows} rows × {} tokens)",
            capacity_tokens.saturating_sub(n)
        ),
    }
}

fn times(copies: usize) -> String {
    match copies {
        1 => String::new(),
        n => format!(", {n} times"),
    }
}

fn logits(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        n => format!(", and {n} bytes of logits"),
    }
}
