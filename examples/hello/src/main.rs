//! Opens a package, asks, streams, and stops at ctrl-C.
//!
//! Run with `export "$(cargo xtask setup)" && cargo run --release -p hello`, from the top of a checkout. Prints the
//! reasoning as it comes, then `answer: 36, 63, 90, 135, 45, 54, 126, 99, 108` and what it took. Another package:
//! `cargo run --release -p hello -- DIR "QUESTION"`.

use std::io::{Write, stdout};

use curt::{AskOptions, CancelToken, Engine, EngineOptions, Event, Question};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or("models/packages/reasoner".into());
    let mut engine = Engine::open(&dir, &EngineOptions::default())?;
    let question = args
        .next()
        .or_else(|| engine.package().prompt()?.question.clone())
        .ok_or_else(|| anyhow::anyhow!("this package has no example question: give one"))?;

    let cancel = CancelToken::new();
    let handler = cancel.clone();
    ctrlc::set_handler(move || handler.cancel())?;
    let options = AskOptions {
        cancel,
        ..AskOptions::default()
    };
    let answer = engine.ask(&Question::Text(question), &options, &mut |event| {
        if let Event::Text { text, .. } = event {
            let mut out = stdout().lock();
            // What went wrong here shows itself at the next line.
            let _ = write!(out, "{text}").and_then(|()| out.flush());
        }
    })?;
    let mut out = stdout().lock();
    writeln!(out)?;
    if let Some(found) = &answer.answer {
        writeln!(out, "answer: {found}")?;
    }
    writeln!(
        out,
        "{} tokens in {:.0} ms",
        answer.tokens.generated, answer.times.total_ms
    )?;
    Ok(())
}
