//! Asks about a picture: the model says what it sees and concludes as far as the question needs it, then answers.
//!
//! Run with `export "$(cargo xtask setup)" && cargo run --release -p see`, from the top of a checkout. Prints
//! `answer: 2` after what was seen. Another picture: `cargo run --release -p see -- FILE "QUESTION"`.

use std::io::{Write, stdout};
use std::path::PathBuf;

use curt::format::SectionEvent;
use curt::vision::Image;
use curt::{AskOptions, Engine, EngineOptions, Event, Question};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let picture = args
        .next()
        .unwrap_or("models/packages/vqa/sample.jpg".into());
    let question = args.next().unwrap_or("How many shapes are red?".into());

    let mut engine = Engine::open("models/packages/vqa", &EngineOptions::default())?;
    let asked = Question::Text(question).about([Image::File(PathBuf::from(picture))]);
    let answer = engine.ask(&asked, &AskOptions::default(), &mut |event| {
        let Event::Section { section, .. } = event else {
            return;
        };
        let mut out = stdout().lock();
        // What went wrong here shows itself at the next line.
        let _ = match section {
            SectionEvent::Began(kind) => write!(out, "{kind}: "),
            SectionEvent::Text(_, text) => write!(out, "{text}").and_then(|()| out.flush()),
            SectionEvent::Ended(_) => writeln!(out),
        };
    })?;
    if let Some(read) = answer.format.as_ref().and_then(|format| format.read_out()) {
        writeln!(stdout(), "P(direct) was {:.2}", read.p_answer)?;
    }
    let (tokens, ms) = (answer.tokens.generated, answer.times.total_ms);
    writeln!(stdout(), "{tokens} tokens in {ms:.0} ms")?;
    Ok(())
}
