//! Chat templates: the conversation as the model was trained to see it.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

/// Instructions one rendering may take. SmolLM2's template takes about 60 for each message; a template that loops is
/// stopped after some milliseconds.
const FUEL: u64 = 2_000_000;

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
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
        }
    }
}

/// A compiled chat template and the special tokens it may name.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    file: PathBuf,
    source: String,
    bos: String,
    eos: String,
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
struct TokenizerConfig {
    #[serde(default)]
    chat_template: Option<Templates>,
    #[serde(default)]
    bos_token: Option<Special>,
    #[serde(default)]
    eos_token: Option<Special>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, or else the template inside `tokenizer_config.json`. `None` where there is neither.
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
        let config: TokenizerConfig = match text {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| Error::package(&config_file, "JSON", "a tokenizer config", e))?,
            None => TokenizerConfig::default(),
        };
        let own = dir.join("chat_template.jinja");
        let source = files::read_text_if_there(
            &own,
            files::WRITTEN_BYTES,
            "the package's chat template cannot be read",
        )?;
        let (file, source) = if let Some(source) = source {
            (own, source)
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
        let text = |special: Option<Special>| match special {
            None => String::new(),
            Some(Special::Text(text) | Special::Object { content: text }) => text,
        };
        Self::compile(file, source, text(config.bos_token), text(config.eos_token)).map(Some)
    }

    fn compile(file: PathBuf, source: String, bos: String, eos: String) -> Result<Self> {
        let mut environment = Environment::new();
        // As transformers compiles them.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|e| Error::Template {
                file: file.clone(),
                message: describe(&e),
            })?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| {
            Err::<String, _>(minijinja::Error::new(
                minijinja::ErrorKind::InvalidOperation,
                message,
            ))
        });
        environment.add_function("strftime_now", |format: String| {
            strftime_now(&format).map_err(|message| {
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)
            })
        });
        let failed = |e: minijinja::Error| Error::Template {
            file: file.clone(),
            message: describe(&e),
        };
        environment
            .add_template_owned("chat", source.clone())
            .map_err(failed)?;
        Ok(Self {
            environment,
            file,
            source,
            bos,
            eos,
        })
    }

    /// The conversation as one text, with what begins the model's turn.
    pub(super) fn render(&self, messages: &[Message]) -> Result<String> {
        let failed = |e: minijinja::Error| Error::Template {
            file: self.file.clone(),
            message: match e.kind() {
                minijinja::ErrorKind::OutOfFuel => format!(
                    "stopped after {FUEL} instructions: does it loop? {}",
                    describe(&e)
                ),
                _ => describe(&e),
            },
        };
        let template = self.environment.get_template("chat").map_err(failed)?;
        template
            .render(context! {
                messages => Value::from(Serde(messages)),
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
            })
            .map_err(failed)
    }

    /// The template as it is written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The texts that it may put for the tokens that begin and end a text.
    pub(super) fn special_tokens(&self) -> [&str; 2] {
        [&self.bos, &self.eos]
    }

    /// The file the template stands in.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// An error with its cause: minijinja keeps what `raise_exception` said in the source.
fn describe(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The date, in the `strftime` notation that templates use.
fn strftime_now(format: &str) -> std::result::Result<String, String> {
    let items = time::format_description::parse_strftime_owned(format)
        .map_err(|e| format!("strftime_now({format:?}): {e}"))?;
    time::OffsetDateTime::now_utc()
        .format(&items)
        .map_err(|e| format!("strftime_now({format:?}): {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<ChatTemplate> {
        ChatTemplate::compile(
            "chat_template.jinja".into(),
            source.into(),
            "<s>".into(),
            "</s>".into(),
        )
    }

    fn hello() -> Vec<Message> {
        vec![
            Message::new(Role::System, "Be brief."),
            Message::new(Role::User, " Hi "),
        ]
    }

    #[test]
    fn renders_as_transformers_does() {
        // Block lines vanish (trim_blocks, lstrip_blocks), Python's string methods work.
        let source = "{{ bos_token }}\n{% for m in messages %}\n    {% if m['role'] == 'user' %}\n[{{ m.content.strip() }}]\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}";
        assert_eq!(
            template(source).unwrap().render(&hello()).unwrap(),
            "<s>\n[Hi]\n>"
        );
    }

    #[test]
    fn a_template_that_loops_is_stopped() {
        let looping =
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
        let error = template(looping).unwrap().render(&hello()).unwrap_err();
        assert!(error.to_string().contains("does it loop?"), "{error}");
    }

    #[test]
    fn what_the_template_says_is_kept() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = template(source).unwrap().render(&hello()).unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
        let error = template("{% for %}").unwrap_err();
        assert!(error.to_string().contains("chat_template.jinja"), "{error}");
    }

    #[test]
    fn a_date_can_be_asked_for() {
        let year = template("{{ strftime_now('%Y') }}")
            .unwrap()
            .render(&hello())
            .unwrap();
        assert_eq!(year.len(), 4, "{year}");
    }
}
