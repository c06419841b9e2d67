//! The choices of an answer: every path, or the one that speaks for the vote.

use curt::Answer;
use curt::answer::PathAnswer;
use curt::format::{Section, SectionKind};
use curt::package::TextCodec;
use curt::paths::FinishReason;
use serde_json::{Value, json};

use crate::request::ReplyOptions;

/// Texts of tokens, kept for replies: the engine has its own on another thread.
pub(crate) struct Tokens {
    texts: Vec<String>,
}

impl Tokens {
    pub(crate) fn of(codec: &TextCodec) -> Self {
        let text = |id: usize| {
            let id = u32::try_from(id).ok()?;
            let decoded = codec.decode(&[id]).ok().filter(|text| !text.is_empty());
            decoded.or_else(|| codec.token(id))
        };
        Self {
            texts: (0..codec.vocabulary())
                .map(|id| text(id).unwrap_or_default())
                .collect(),
        }
    }

    fn text(&self, id: u32) -> &str {
        self.texts.get(id as usize).map_or("", String::as_str)
    }
}

/// The choices of a whole reply.
pub(super) fn all(answer: &Answer, reply: &ReplyOptions, tokens: &Tokens) -> Vec<Value> {
    if reply.several {
        let paths = answer.paths.iter();
        return paths
            .map(|path| choice(answer, path, path.id, reply, tokens))
            .collect();
    }
    vec![choice(answer, speaker(answer), 0, reply, tokens)]
}

/// The path that speaks for the answer: the first that gave what won, or that came to its end.
pub(super) fn speaker(answer: &Answer) -> &PathAnswer {
    let voted = answer.votes.first().and_then(|vote| vote.paths.first());
    let ended = || answer.paths.iter().position(|path| path.finish.votes());
    &answer.paths[voted.copied().or_else(ended).unwrap_or(0)]
}

fn choice(
    answer: &Answer,
    path: &PathAnswer,
    index: usize,
    reply: &ReplyOptions,
    tokens: &Tokens,
) -> Value {
    let (content, reasoning) = texts(answer, path);
    let mut message = json!({"role": "assistant", "content": content});
    if !reasoning.is_empty() {
        message["reasoning_content"] = reasoning.into();
    }
    json!({
        "index": index,
        "message": message,
        "logprobs": reply.logprobs.then(|| logprobs(path, tokens)),
        "finish_reason": finish(path.finish),
    })
}

/// What a path answers, and what it says before.
pub(super) fn texts(answer: &Answer, path: &PathAnswer) -> (String, String) {
    if answer.format.is_none() {
        return (path.text.clone(), String::new());
    }
    let sections: Vec<&Section> = sections(answer, path).collect();
    let of = |answers: bool| {
        let these = sections
            .iter()
            .filter(|section| (section.kind == SectionKind::Answer) == answers);
        these
            .map(|s| s.text.as_str())
            .collect::<Vec<_>>()
            .join("\n\n")
    };
    (of(true), of(false))
}

/// Sections of a path, those that it shares with others among them.
pub(super) fn sections<'a>(
    answer: &'a Answer,
    path: &'a PathAnswer,
) -> impl Iterator<Item = &'a Section> {
    let shared = answer
        .format
        .as_ref()
        .map_or(&[][..], |format| &format.shared);
    shared.iter().chain(&path.sections)
}

/// Of every token of the path, tags of sections among them. What several paths share is not part of any.
pub(super) fn logprobs(path: &PathAnswer, tokens: &Tokens) -> Value {
    let content = path
        .tokens
        .iter()
        .zip(&path.logprobs)
        .map(|(&id, &logprob)| {
            let text = tokens.text(id);
            json!({"token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": []})
        });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null})
}

pub(super) fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::MaxTokens | FinishReason::Context => "length",
        _ => "stop",
    }
}
