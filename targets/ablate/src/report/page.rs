//! The report: one page that needs nothing beside it.

use std::fmt::Write as _;

use super::bars::{controls, differences, latency, tokens};
use super::class_of;
use super::scatter::scatter;
use super::scores::scores;
use super::svg::{Drawing, escape};
use super::table::{columns, mebibytes, number};
use super::worst::worst;
use crate::record::{Measure, Records};
use crate::summary::{ArmSummary, Summary};
use crate::verdict::Decision;

const STYLE: &str = concat!(
    include_str!("colors.css"),
    include_str!("style.css"),
    include_str!("drawing.css")
);

/// The page of `summary`, and, where `records` hold paths, what they show. It loads nothing and runs nothing.
pub fn page(summary: &Summary, records: &Records) -> String {
    let run = &summary.run;
    let title = format!("{} on {}", run.workload, run.package);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{} · curt ablate</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<header><h1>{}</h1><p>{}</p></header>\n",
        escape(&title),
        escape(&title),
        escape(&subtitle(summary)),
    );
    html.push_str(&verdict(summary));
    html.push_str(&tiles(summary));
    if !summary.notes.is_empty() {
        let notes: String = summary
            .notes
            .iter()
            .map(|note| format!("<li>{}</li>", escape(note)))
            .collect();
        section(
            &mut html,
            "",
            "Read this first",
            None,
            &format!("<ul class=\"notes\">{notes}</ul>"),
        );
    }
    html.push_str("<div class=\"two\">");
    let against = format!("{} against each other arm", run.candidate);
    let plots = [
        (
            "Accuracy against tokens",
            "Up is better, left is cheaper. Whiskers are 95 % intervals of each arm alone; whether two arms differ, the plot \
             beside says.",
            scatter(summary).map(Drawing::finish),
            "<li><i class=\"dash\"></i>accuracy of the baseline</li>",
        ),
        (
            "Against the baseline, question by question",
            "Both arms answer the same questions, so that the difference is known better than either accuracy.",
            differences(summary),
            "<li><i class=\"dash\"></i>no difference</li><li><i class=\"dash bad\"></i>largest drop allowed</li>",
        ),
        (
            against.as_str(),
            "On the same questions: right of the line, it is the more accurate. The oracle, which nothing can reach, is left \
             out.",
            controls(summary),
            "<li><i class=\"dash\"></i>no difference</li>",
        ),
        (
            "Where the tokens go",
            "Tokens generated for a question, over all paths.",
            tokens(summary),
            "<li><i style=\"background:var(--other)\"></i>by paths that voted</li><li><i \
             style=\"background:var(--unused)\"></i>thrown away</li>",
        ),
        (
            "Time to the answer",
            latency_lead(summary),
            latency(summary),
            "<li>light box: 10 to 90 % of the questions, dark: 30 to 70 %, line: half, end: 95 %</li>",
        ),
    ];
    for (title, lead, plot, key) in plots {
        if let Some(plot) = plot {
            section(
                &mut html,
                "",
                title,
                Some(lead),
                &format!("{plot}<ul class=\"key\">{key}</ul>"),
            );
        }
    }
    html.push_str("</div>\n");
    let lead =
        "A cell is empty where nothing was measured. What a column means stands under the table.";
    section(&mut html, "", "All figures", Some(lead), &table(summary));
    let figures = scores(summary, records);
    if !figures.is_empty() {
        let lead = "All paths ordered by score, in tenths: a signal that knows something climbs from left to right, one that \
                    knows nothing stays flat.";
        let all = format!("<div class=\"smalls\">{}</div>", figures.concat());
        section(
            &mut html,
            "",
            "Does a higher score mean a better path?",
            Some(lead),
            &all,
        );
    }
    if let Some(cases) = worst(summary, records) {
        let lead = format!(
            "Questions that {} got wrong, those that {} got right first. A bar is a path: green is right, red is wrong, pale is \
             what dropping it saved. A click opens its text.",
            run.candidate, run.baseline
        );
        section(
            &mut html,
            " class=\"long\"",
            "Worst questions",
            Some(&lead),
            &cases,
        );
    }
    section(&mut html, "", "How this was made", None, &method(summary));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn section(html: &mut String, attributes: &str, title: &str, lead: Option<&str>, body: &str) {
    let lead = lead.map_or(String::new(), |text| {
        format!("<p class=\"lead\">{}</p>", escape(text))
    });
    // Writing to a string cannot fail.
    let _ = writeln!(
        html,
        "<section{attributes}><h2>{}</h2>{lead}{body}</section>",
        escape(title)
    );
}

fn subtitle(summary: &Summary) -> String {
    let mut parts = vec![format!(
        "{} questions, {} arms",
        summary.items,
        summary.arms.len()
    )];
    if summary.run.repeats > 1 {
        parts.push(format!("{} repeats", summary.run.repeats));
    }
    parts.extend(summary.machines.iter().map(|m| {
        let cores = if m.cores == 1 { "core" } else { "cores" };
        format!("{}, {} {cores}, {}", m.cpu, m.cores, m.system)
    }));
    parts.extend(summary.dates.first().cloned());
    parts.join(" · ")
}

fn verdict(summary: &Summary) -> String {
    let head = summary.verdict.decision.head();
    let class = match summary.verdict.decision {
        Decision::Ready => "ready",
        Decision::NotReady => "not_ready",
        Decision::NotEnoughItems | Decision::NothingToCompare | Decision::NoVerdict => {
            "not_enough_items"
        }
    };
    let sentence = summary
        .verdict
        .sentence
        .trim_start_matches(head)
        .trim_start_matches(": ");
    let mut letters = sentence.chars();
    let first = letters
        .next()
        .map_or(String::new(), |c| c.to_uppercase().collect());
    format!(
        "<div class=\"verdict {class}\"><b>{head}</b><p>{}{}</p></div>\n",
        escape(&first),
        escape(letters.as_str())
    )
}

fn tiles(summary: &Summary) -> String {
    let Some(candidate) = summary.arm(&summary.run.candidate) else {
        return String::new();
    };
    let baseline = summary.arm(&summary.run.baseline);
    let versus = |text: Option<String>| {
        text.map_or(String::new(), |text| {
            format!("{} {text}", summary.run.baseline)
        })
    };
    let mut tiles = Vec::new();
    let right = |arm: &ArmSummary| {
        arm.accuracy
            .as_ref()
            .map(|a| format!("{:.1} %", 100.0 * a.mean))
    };
    tiles.extend(
        right(candidate).map(|value| ("right answers", value, versus(baseline.and_then(right)))),
    );
    let spent = |arm: &ArmSummary| arm.tokens.as_ref().map(|t| number(t.generated));
    tiles.extend(spent(candidate).map(|value| {
        (
            "tokens for a question",
            value,
            versus(baseline.and_then(spent)),
        )
    }));
    let saved = candidate.tokens.as_ref().and_then(|t| t.of_baseline);
    tiles.extend(saved.map(|share| {
        let fewer = 100.0 * (1.0 - share);
        let title = if fewer >= 0.0 {
            "fewer tokens"
        } else {
            "more tokens"
        };
        (
            title,
            format!("{:.0} %", fewer.abs()),
            format!("than {}", summary.run.baseline),
        )
    }));
    let survivors = |arm: &ArmSummary| arm.survivors.map(|s| format!("{:.1} %", 100.0 * s));
    tiles.extend(survivors(candidate).map(|value| {
        (
            "of finished paths are right",
            value,
            versus(baseline.and_then(survivors)),
        )
    }));
    let p95 = |arm: &ArmSummary| {
        arm.latency.as_ref().map(|l| {
            format!(
                "{}{} ms",
                if l.modelled { "~" } else { "" },
                number(l.p95_ms)
            )
        })
    };
    tiles.extend(
        p95(candidate).map(|value| ("p95 to the answer", value, versus(baseline.and_then(p95)))),
    );
    let tiles: String = tiles
        .into_iter()
        .map(|(what, value, beside)| {
            format!(
                "<div class=\"tile\"><span>{}</span><b>{}</b><small>{}</small></div>",
                escape(what),
                escape(&value),
                escape(&beside)
            )
        })
        .collect();
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

fn table(summary: &Summary) -> String {
    let columns = columns(summary);
    let mut html = String::from("<div class=\"wide\"><table><thead><tr><th>arm</th>");
    for column in &columns {
        let _ = write!(
            html,
            "<th title=\"{}\">{}</th>",
            escape(column.meaning),
            escape(column.title)
        );
    }
    html.push_str("</tr></thead><tbody>");
    for arm in summary.arms.iter().filter(|arm| arm.results > 0) {
        let class = class_of(summary, &arm.name);
        let about = arm.about.as_deref().unwrap_or_default();
        let _ = write!(
            html,
            "<tr class=\"{class}\"><td title=\"{}\">{}</td>",
            escape(about),
            escape(&arm.name)
        );
        for column in &columns {
            let cell = escape(&column.cell(arm));
            // The interval is set smaller than its figure.
            let cell = cell.replacen(" (", " <small>(", 1);
            let end = if cell.contains("<small>") {
                "</small>"
            } else {
                ""
            };
            let _ = write!(html, "<td>{cell}{end}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div><details class=\"more\"><summary>What the columns and the arms mean</summary><dl>");
    for column in &columns {
        let _ = write!(
            html,
            "<dt>{}</dt><dd>{}</dd>",
            escape(column.title),
            escape(column.meaning)
        );
    }
    html.push_str("</dl><h3 style=\"margin-top:16px\">The arms</h3><dl>");
    for arm in &summary.arms {
        let about = arm.about.as_deref().unwrap_or("an arm of your own");
        let _ = write!(
            html,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&arm.name),
            escape(&about.replace('`', ""))
        );
    }
    html.push_str("</dl></details>");
    html
}

fn latency_lead(summary: &Summary) -> &'static str {
    if summary.latency_model.is_some() {
        "From question to answer. Arms that did not run themselves are modelled from the work they would have been (~ in the \
         table)."
    } else {
        "From question to answer, measured."
    }
}

fn method(summary: &Summary) -> String {
    let run = &summary.run;
    let mut lines = Vec::new();
    lines.push(match run.measure {
        Measure::Replay => {
            let exact = match summary.tokens_exact {
                Some(true) => "On this machine a row's numbers do not depend on its batch, so that tokens and answers are exact.",
                Some(false) => "On this machine a row's numbers depend on its batch, so that tokens and answers are approximate.",
                None => "",
            };
            format!("Full paths were sampled once for each question, and every arm that samples was derived from them. {exact}")
        }
        Measure::Run => "Every arm ran, question by question, another first each time.".into(),
    });
    if let Some(model) = &summary.latency_model {
        lines.push(format!(
            "Modelled times: {:.3} ms for a decode step and {:.3} ms for each of its rows, fitted to {} questions that ran (half \
             of them within {:.1} %); each arm's decode time is that of its sample, scaled by this model; prefill and scoring as measured.",
            model.step_ms,
            model.row_ms,
            model.questions,
            100.0 * model.median_error
        ));
    }
    lines.push(format!(
        "Intervals at 95 %: Wilson's for an accuracy of one result a unit, else percentiles of {} bootstrap resamples of {} {}, \
         with all their repeats; where fewer than ten of them differ, a difference's interval is widened to Tango's score \
         interval, and where fewer than ten have a right answer or fewer than ten a wrong one, an accuracy's to Wilson's.",
        number(run.replicates as f64),
        summary.units,
        if summary.grouped { "groups of questions" } else { "questions" },
    ));
    lines.push(test(summary));
    lines.push(format!(
        "Verdict: ready when the lower end of the one-sided 95 % interval of the difference lies above −{} points{}; not ready when \
         the upper end lies below{}; else not enough items.",
        run.max_accuracy_drop,
        run.latency_budget_ms.map_or(String::new(), |ms| format!(" and p95 is at most {ms} ms")),
        run.latency_budget_ms.map_or("", |_| " or p95 is beyond"),
    ));
    if let Some(cold) = &summary.cold_start {
        let first = cold.first_answer_ms.map_or(String::new(), |ms| {
            format!(", the first answer of a process {} ms", number(ms))
        });
        lines.push(format!(
            "Cold start, apart from the figures: loading {} ms{first}.",
            number(cold.load_ms)
        ));
        lines.extend(cold.peak_resident_bytes.map(|bytes| {
            format!(
                "Most memory resident in the process while it answered: {} MiB, over all arms. What one arm has used stays with \
                 the process, so that no arm has a figure of its own.",
                mebibytes(bytes)
            )
        }));
    }
    let list: String = lines
        .iter()
        .map(|line| format!("<li>{}</li>", escape(line)))
        .collect();
    let mut facts = vec![
        (
            "package",
            format!("{} ({})", run.package, short(&run.package_fingerprint)),
        ),
        (
            "workload",
            format!(
                "{}, {} part ({})",
                run.workload,
                run.part,
                short(&run.workload_digest)
            ),
        ),
        ("seed", run.seed.to_string()),
        ("curt", run.curt.clone()),
        ("ONNX Runtime", summary.onnxruntime.join(", ")),
    ];
    facts.extend(
        run.heads
            .iter()
            .map(|(name, digest)| ("head", format!("{name} ({})", short(digest)))),
    );
    let facts: String = facts
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd><code>{}</code></dd>", escape(value)))
        .collect();
    format!("<ul class=\"method\">{list}</ul><dl style=\"margin-top:12px\">{facts}</dl>")
}

/// Which test gave p, over which families, and when the arm of the verdict was named.
fn test(summary: &Summary) -> String {
    let candidate = &summary.run.candidate;
    let test = if summary.grouped {
        "sign-flip test over the groups of questions, exact over every pattern of signs, since questions of a group are not \
         independent of each other; McNemar's exact p, which takes them to be, stands in summary.json"
    } else {
        "exact McNemar test on the first repeat, which takes questions for independent"
    };
    let named = if summary.chosen_afterwards.is_empty() {
        "named before the run".into()
    } else {
        format!(
            "with {} chosen afterwards",
            summary.chosen_afterwards.join(", ")
        )
    };
    format!(
        "p: {test}. Adjusted by Holm over the arms held against {}, and over those that {candidate} is held against as a family \
         of their own. The verdict is about one arm, {named}, and its interval is not adjusted.",
        summary.run.baseline
    )
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
