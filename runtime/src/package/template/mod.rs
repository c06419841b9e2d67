//! Chat templates: the conversation as the model was trained to see it.

mod convert;
mod limits;
mod methods;
mod operators;
mod python;
mod range;
mod rewrite;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, State, Value};
use serde::{Deserialize, Serialize};

use super::apart::{Limits, NoResult, apart};
use crate::error::{Error, Result};
use crate::files;

/// What one rendering may take, in minijinja's fuel: one for an instruction or for 64 bytes of text that it makes. SmolLM2's
/// template takes about 60 for each message, and the longest published some thousands for all.
const FUEL: u64 = 200_000;
const FUEL_PER_MESSAGE: u64 = 2_000;
/// Bytes of the conversation for one more: each is cut, joined and written out up to 16 times.
const BYTES_PER_FUEL: u64 = 4;

/// Bytes of text in a list or map that has a name, and four times the conversation's.
const NAMED_BYTES: usize = 64 << 10;

/// Stack of the thread that compiles and renders. minijinja recurses over an expression, as deep as the longest tag, and
/// over values, which a template can nest some ten thousand deep.
const STACK_BYTES: usize = 128 << 20;

/// Wall time of one rendering. Fuel stops what loops; comparing values in each other is not paid for.
const TIME: Duration = Duration::from_secs(20);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Images that stand before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            images: 0,
        }
    }
}

/// A message as a template sees it: its text, or a list of what it is made of.
#[derive(Serialize)]
struct Shown {
    role: Role,
    content: Content,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Part {
    Image,
    Text { text: String },
}

impl Shown {
    fn of(message: Message, in_parts: bool) -> Self {
        let text = message.content;
        let content = match in_parts {
            false => Content::Text(text),
            true => {
                let images = std::iter::repeat_with(|| Part::Image).take(message.images);
                Content::Parts(images.chain([Part::Text { text }]).collect())
            }
        };
        Self {
            role: message.role,
            content,
        }
    }
}

/// A compiled chat template and the special tokens it may name.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    file: PathBuf,
    source: String,
    special_tokens: BTreeMap<&'static str, String>,
    /// Whether it leaves out a text that does not come as a part of a list.
    in_parts: OnceLock<bool>,
}

/// A conversation as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The system text stands before the first question: the template takes no system message.
    pub system_moved: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// A special token is a text, or an object that has one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Object { content: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
    bos_token: Option<Special>,
    eos_token: Option<Special>,
    unk_token: Option<Special>,
    sep_token: Option<Special>,
    pad_token: Option<Special>,
    cls_token: Option<Special>,
    mask_token: Option<Special>,
}

impl TokenizerConfig {
    /// Special tokens by the names that templates know them by.
    fn special_tokens(&mut self) -> BTreeMap<&'static str, String> {
        [
            ("bos_token", self.bos_token.take()),
            ("eos_token", self.eos_token.take()),
            ("unk_token", self.unk_token.take()),
            ("sep_token", self.sep_token.take()),
            ("pad_token", self.pad_token.take()),
            ("cls_token", self.cls_token.take()),
            ("mask_token", self.mask_token.take()),
        ]
        .into_iter()
        .filter_map(|(name, special)| match special? {
            Special::Text(text) | Special::Object { content: text } => Some((name, text)),
        })
        .collect()
    }
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, or else the template inside `chat_template.json`, as processors had it, or inside
    /// `tokenizer_config.json`. `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Template`] where it does not compile, [`Error::Package`] where the config is no JSON of this shape.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let config_file = dir.join("tokenizer_config.json");
        let text = files::read_text_if_there(
            &config_file,
            files::WRITTEN_BYTES,
            "the package's tokenizer config cannot be read",
        )?;
        let mut config: TokenizerConfig = match text {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| Error::package(&config_file, "JSON", "a tokenizer config", e))?,
            None => TokenizerConfig::default(),
        };
        let special_tokens = config.special_tokens();
        let own = dir.join("chat_template.jinja");
        let source = files::read_text_if_there(
            &own,
            files::WRITTEN_BYTES,
            "the package's chat template cannot be read",
        )?;
        let of_processor = dir.join("chat_template.json");
        let (file, source) = if let Some(source) = source {
            (own, source)
        } else if let Some(source) = template_of_processor(&of_processor)? {
            (of_processor, source)
        } else {
            let source = match config.chat_template {
                None => return Ok(None),
                Some(Templates::One(source)) => source,
                Some(Templates::Named(list)) => {
                    let names: Vec<String> = list.iter().map(|t| t.name.clone()).collect();
                    match list.into_iter().find(|t| t.name == "default") {
                        Some(t) => t.template,
                        None => {
                            return Err(Error::package(
                                &config_file,
                                "chat_template",
                                "a template named \"default\"",
                                names.join(", "),
                            ));
                        }
                    }
                }
            };
            (config_file, source)
        };
        Self::compile(file, source, special_tokens).map(Some)
    }

    /// The template `source`, which stands in `file`, and the special tokens that it knows by names like `bos_token`.
    ///
    /// # Errors
    /// [`Error::Template`] where it does not compile, or is longer or deeper than templates are.
    pub fn compile(
        file: PathBuf,
        source: String,
        special_tokens: BTreeMap<&'static str, String>,
    ) -> Result<Self> {
        let limits = Limits {
            stack: STACK_BYTES,
            time: TIME,
            cancelled: &|| false,
        };
        // As jinja2 reads a source: every line ends in a line feed, whatever the editor wrote.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        let text = source.clone();
        let compiled = apart(&limits, move || environment(&text));
        let action = "it does not compile";
        let environment = compiled
            .map_err(|e| no_result(&file, action, e))?
            .map_err(|e| refused(&file, action, e))?;
        Ok(Self {
            environment: Arc::new(environment),
            file,
            source,
            special_tokens,
            in_parts: OnceLock::new(),
        })
    }

    /// The conversation as one text, with what begins the model's turn.
    ///
    /// Where the template refuses a system message, or leaves its text out, the text is put before the first question, as
    /// llama.cpp does and Gemma's own templates.
    ///
    /// # Errors
    /// [`Error::Template`] where it fails, refuses the roles or loops; [`Error::Cancelled`].
    pub fn render(&self, messages: &[Message], cancelled: &dyn Fn() -> bool) -> Result<Rendered> {
        let as_they_are = self.render_plainly(messages.to_vec(), cancelled);
        let as_they_are = as_they_are.map(|text| Rendered {
            text,
            system_moved: false,
        });
        let [first, second, rest @ ..] = messages else {
            return as_they_are;
        };
        let has_system = first.role == Role::System && second.role == Role::User;
        let shown = |text: &str, message: &Message| text.contains(message.content.trim());
        match &as_they_are {
            Err(Error::Cancelled { .. }) => return as_they_are,
            _ if !has_system => return as_they_are,
            Ok(rendered) if shown(&rendered.text, first) => return as_they_are,
            // It may have changed the text: a plain word will be there.
            Ok(_) => {
                let word = Message::new(Role::System, "zebra");
                let probe = self.render_plainly(vec![word.clone(), second.clone()], cancelled)?;
                if shown(&probe.to_lowercase(), &word) {
                    return as_they_are;
                }
            }
            Err(_) => {}
        }
        let moved = Message {
            role: Role::User,
            content: format!("{}\n\n{}", first.content, second.content),
            images: second.images,
        };
        let mut merged = vec![moved];
        merged.extend_from_slice(rest);
        match self.render_plainly(merged, cancelled) {
            Ok(text) => Ok(Rendered {
                text,
                system_moved: true,
            }),
            Err(cancelled @ Error::Cancelled { .. }) => Err(cancelled),
            // That was not what it failed at.
            Err(_) => as_they_are,
        }
    }

    fn render_plainly(
        &self,
        messages: Vec<Message>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<String> {
        let in_parts = messages.iter().any(|m| m.images > 0) || self.in_parts(cancelled)?;
        self.render_as(messages, in_parts, cancelled)
    }

    /// Whether it takes a message's content as a list of parts alone, as those of models that see do: a text as it is, it
    /// leaves out.
    fn in_parts(&self, cancelled: &dyn Fn() -> bool) -> Result<bool> {
        if let Some(&known) = self.in_parts.get() {
            return Ok(known);
        }
        // Whoever tells parts apart names their types.
        let names_types = ["'type'", "\"type\"", ".type"].iter();
        let mut in_parts = false;
        if names_types.clone().any(|name| self.source.contains(name)) {
            let word = || vec![Message::new(Role::User, "zebra")];
            let says = |in_parts| match self.render_as(word(), in_parts, cancelled) {
                Ok(text) => Ok(text.to_lowercase().contains("zebra")),
                Err(cancelled @ Error::Cancelled { .. }) => Err(cancelled),
                Err(_) => Ok(false),
            };
            in_parts = !says(false)? && says(true)?;
        }
        Ok(*self.in_parts.get_or_init(|| in_parts))
    }

    fn render_as(
        &self,
        messages: Vec<Message>,
        in_parts: bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<String> {
        let limits = Limits {
            stack: STACK_BYTES,
            time: TIME,
            cancelled,
        };
        let bytes: usize = messages.iter().map(|m| m.content.len()).sum();
        let fuel = FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + bytes as u64 / BYTES_PER_FUEL;
        let environment = Arc::clone(&self.environment);
        let special_tokens = self.special_tokens.clone();
        let shown = messages.into_iter().map(|m| Shown::of(m, in_parts));
        let messages: Vec<Shown> = shown.collect();
        let rendered = apart(&limits, move || {
            let mut environment = Environment::clone(&environment);
            environment.set_fuel(Some(fuel));
            let kept = python::Kept {
                most_bytes: NAMED_BYTES + 4 * bytes,
            };
            environment.add_filter(rewrite::KEPT, move |state: &State<'_, '_>, value: Value| {
                kept.keep(state, value)
            });
            let times = move |state: &State<'_, '_>, a, b| kept.times(state, a, b);
            environment.add_filter(rewrite::TIMES, times);
            // What transformers gives, where it is given no tools and no documents.
            let mut context: BTreeMap<&str, Value> = special_tokens
                .into_iter()
                .map(|(name, token)| (name, Value::from(token)))
                .collect();
            // A template may name these two whether the tokenizer has them or not.
            context.entry("bos_token").or_insert("".into());
            context.entry("eos_token").or_insert("".into());
            context.insert("messages", Value::from(Serde(&messages)));
            context.insert("add_generation_prompt", true.into());
            context.insert("tools", ().into());
            context.insert("documents", ().into());
            environment.get_template(NAME)?.render(context)
        });
        rendered
            .map_err(|e| no_result(&self.file, "it failed", e))?
            .map_err(|e| match e.kind() {
                minijinja::ErrorKind::OutOfFuel => refused(
                    &self.file,
                    "stopped where it had taken a thousand times what templates take: does it loop?",
                    e,
                ),
                _ => refused(&self.file, "it refuses this conversation", e),
            })
    }

    /// The template as it is written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The texts that it may put for special tokens: of those that begin and end a text, and of others that it names.
    pub(super) fn special_tokens(&self) -> impl Iterator<Item = &str> {
        let known = |name: &str| self.special_tokens.get(name).map(String::as_str);
        let first = ["bos_token", "eos_token"];
        let others = self.special_tokens.keys().copied();
        let others = others.filter(move |name| !first.contains(name));
        let others = others.filter(|name| self.source.contains(name));
        let first = first
            .into_iter()
            .map(move |name| known(name).unwrap_or_default());
        first.chain(others.filter_map(known))
    }

    /// The file the template stands in.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// The template that the file of a processor holds, where there is one.
fn template_of_processor(file: &Path) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct File {
        chat_template: String,
    }
    let action = "the package's chat template cannot be read";
    let text = files::read_text_if_there(file, files::WRITTEN_BYTES, action)?;
    let read = text
        .map(|text| serde_json::from_str::<File>(&text))
        .transpose();
    let read = read.map_err(|e| Error::package(file, "JSON", "a chat_template", e))?;
    Ok(read.map(|file| file.chat_template))
}

/// What the template is called in its environment.
const NAME: &str = "chat";

/// The environment that transformers gives its templates, with the template `source` in it.
fn environment(source: &str) -> std::result::Result<Environment<'static>, minijinja::Error> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    let source = rewrite::rewrite(source, &syntax)?.into_owned();
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_unknown_method_callback(methods::method);
    environment.set_formatter(text::write);
    environment.add_function("raise_exception", |message: String| {
        python::raise_exception(&message)
    });
    environment.add_function("strftime_now", |format: String| {
        python::strftime_now(&format)
    });
    environment.add_filter("tojson", python::tojson);
    environment.add_filter(rewrite::PLAIN, python::plain);
    environment.add_filter(rewrite::MODULO, operators::modulo);
    environment.add_filter(rewrite::TEXT, text::string);
    environment.add_filter("string", text::string);
    environment.add_filter("format", operators::format_filter);
    environment.add_filter("int", convert::int);
    environment.add_filter("float", convert::float);
    environment.add_function("range", range::Range::of);
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

fn refused(file: &Path, action: &'static str, source: minijinja::Error) -> Error {
    Error::Template {
        file: file.into(),
        action,
        source: Box::new(source),
    }
}

fn no_result(file: &Path, action: &'static str, no_result: NoResult) -> Error {
    match no_result {
        NoResult::Cancelled => Error::Cancelled { tokens: 0 },
        other => Error::Template {
            file: file.into(),
            action,
            source: Box::new(other),
        },
    }
}
