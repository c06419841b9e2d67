//! What happens while a question is answered, as a callback sees it.

use std::ffi::{c_char, c_void};

use curt::Event;
use curt::format::SectionEvent;
use serde_json::json;

/// What happened. A number that is not here is news from a newer library: go on.
#[repr(u32)]
pub enum CurtEventKind {
    /// `text` is what is new of a path's text. A response with a format is told by its sections instead.
    Text = 1,
    /// A section begins; `text` is its name: perception, reasoning or answer.
    SectionBegan = 2,
    /// `text` is what is new of a path's section.
    SectionText = 3,
    /// A section has ended; `text` is its name.
    SectionEnded = 4,
    /// `text` is JSON: keys, values and logits as they will be, before they are allocated.
    Planned = 5,
    /// The prompt is cached. `text` is JSON: `tokens` that were run, `reused` ones that were cached.
    Prefilled = 6,
    /// Paths were scored, and some perhaps dropped. `text` is JSON: `at_tokens`, `scored`, `kept`, `signal`.
    Checked = 7,
    /// An answer of the cascade was not accepted; what comes is path 0's anew. `text` is JSON: `from`, `to`, `reason`.
    Escalated = 8,
    /// The cache at one of the option `show_kv_at`: curt_kv_borrow may be called now. `text` is JSON: `prompt_tokens`,
    /// `at_tokens`, `rows` (the path of each row).
    Cached = 9,
}

/// What happened. It and its text are gone when the callback returns.
#[repr(C)]
pub struct CurtEvent {
    /// One of CurtEventKind.
    pub kind: u32,
    /// The path that it happened to, or 0.
    pub path: u32,
    /// UTF-8 with a NUL at its end.
    pub text: *const c_char,
    /// Bytes of the text, without the NUL.
    pub text_length: usize,
}

/// The callback, as the header says.
pub type CurtOnEvent = Option<extern "C" fn(user: *mut c_void, event: *const CurtEvent) -> i32>;

/// Whom events are told to.
pub(super) struct Listener {
    on_event: CurtOnEvent,
    user: *mut c_void,
    text: String,
}

impl Listener {
    pub(super) fn new(on_event: CurtOnEvent, user: *mut c_void) -> Self {
        Self {
            on_event,
            user,
            text: String::new(),
        }
    }

    /// Tells `event`; says whether to go on.
    pub(super) fn tell(&mut self, event: &Event<'_>) -> bool {
        use CurtEventKind as Kind;
        match event {
            Event::Text { path, text } => self.told(Kind::Text, *path, text),
            Event::Section { path, section } => match section {
                SectionEvent::Began(kind) => {
                    self.told(Kind::SectionBegan, *path, &kind.to_string())
                }
                SectionEvent::Text(_, text) => self.told(Kind::SectionText, *path, text),
                SectionEvent::Ended(section) => {
                    self.told(Kind::SectionEnded, *path, &section.kind.to_string())
                }
            },
            Event::Planned(plan) => self.told(Kind::Planned, 0, &json!(plan).to_string()),
            Event::Prefilled { tokens, reused } => {
                let facts = json!({ "tokens": tokens, "reused": reused });
                self.told(Kind::Prefilled, 0, &facts.to_string())
            }
            Event::Checked { check, .. } => self.told(Kind::Checked, 0, &json!(check).to_string()),
            Event::Escalated(escalation) => {
                self.told(Kind::Escalated, 0, &json!(escalation).to_string())
            }
            Event::Cached(paths) => {
                let facts = json!({
                    "prompt_tokens": paths.prompt_tokens,
                    "at_tokens": paths.at_tokens,
                    "rows": paths.rows,
                });
                self.told(Kind::Cached, 0, &facts.to_string())
            }
            // A token is told by its text.
            _ => true,
        }
    }

    fn told(&mut self, kind: CurtEventKind, path: usize, text: &str) -> bool {
        let Some(on_event) = self.on_event else {
            return true;
        };
        self.text.clear();
        self.text.push_str(text);
        self.text.push('\0');
        let event = CurtEvent {
            kind: kind as u32,
            path: path as u32,
            text: self.text.as_ptr().cast(),
            text_length: text.len(),
        };
        on_event(self.user, &raw const event) == 0
    }
}
