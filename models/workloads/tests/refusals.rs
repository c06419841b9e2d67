//! Everything that can be wrong with a workload is told with its file, its line and a remedy.

use std::fs;
use std::path::{Path, PathBuf};

use curt_workload::{Error, Part, Workload};
use tempfile::TempDir;

const MANIFEST: &str = "name = \"t\"\nscorer = \"numeric\"\n[prompt]\nanswer_pattern = '(\\d+)'\n";

/// A workload's folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The message for a workload whose held-out part is `lines`, without the folder's name.
fn refusal(lines: &str) -> String {
    let dir = folder(&[("workload.toml", MANIFEST), ("held_out.jsonl", lines)]);
    refused(dir.path(), None)
}

fn refused(path: &Path, prompt: Option<&Path>) -> String {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap()
    };
    let error = Workload::open(path, prompt).unwrap_err().to_string();
    error
        .replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "DIR")
}

#[test]
fn a_faulty_line_is_told_with_its_number_and_a_remedy() {
    let good = r#"{"id": "a", "question": "1 + 1?", "answer": "2"}"#;
    for (line, message) in [
        (
            r#"{"id": "a", "question": "2 + 2?", "answer": "4"}"#,
            r#"held_out.jsonl:2: the id "a" stands at held_out.jsonl:1 too: rename one of the two"#,
        ),
        (
            r#"{"question": "2 + 2?", "answer": "4"}"#,
            "held_out.jsonl:2: has no id: give it one that no other item has",
        ),
        (
            r#"{"id": "b", "answer": "4"}"#,
            "held_out.jsonl:2: has no question: write what the model is asked",
        ),
        (
            r#"{"id": "b", "question": " ", "answer": "4"}"#,
            "held_out.jsonl:2: question is blank: write a text, or leave the field out where it may be absent",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?"}"#,
            "held_out.jsonl:2: has no answer: write the right answer, or a list of all that are right",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": []}"#,
            "held_out.jsonl:2: has no answer: write the right answer, or a list of all that are right",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": ""}"#,
            "held_out.jsonl:2: answer holds blank: write texts or numbers, none of them blank",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": null}"#,
            "held_out.jsonl:2: answer holds null: write texts or numbers, none of them blank",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "many"}"#,
            "held_out.jsonl:2: the numeric scorer reads no number in the answer \"many\": write a number, or name another \
             scorer",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "anwser": "4"}"#,
            "held_out.jsonl:2: the field \"anwser\" is unknown: items have id, group, question, image, choices, answer, scorer",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "image": "no.png"}"#,
            "held_out.jsonl:2: the image no.png is not there: put it there, or correct the path (it counts from DIR)",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "choices": ["4"]}"#,
            "held_out.jsonl:2: has 1 choices: give 2 to 26, or none for an open question",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "5", "choices": ["3", "4"], "scorer": "choice"}"#,
            "held_out.jsonl:2: the answer \"5\" is none of the choices: write the letter of a choice, or the choice in full",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "scorer": "choice"}"#,
            "held_out.jsonl:2: the choice scorer has no choices to choose from: give choices, or name another scorer",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "(", "scorer": "regex"}"#,
            "held_out.jsonl:2: the answer \"(\" is no regular expression",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "scorer": "fuzzy"}"#,
            "held_out.jsonl:2: scorer: \"fuzzy\" is unknown: scorers are exact, numeric, choice, contains, regex and command",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "scorer": {"kind": "numeric", "tolerance": -1}}"#,
            "held_out.jsonl:2: scorer: tolerance is -1 and not a number from 0",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "scorer": {"kind": "exact", "tolerance": 1}}"#,
            "held_out.jsonl:2: scorer: exact has no \"tolerance\"",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "scorer": {"kind": "command", "argv": ["true"]}}"#,
            "held_out.jsonl:2: a line may not name a command to run: put the command scorer into workload.toml",
        ),
        (
            r#"{"id": "b", "question": "2 + 2?", "answer": "4", "answer": "5"}"#,
            "held_out.jsonl:2: has the field \"answer\" twice: remove one of the two",
        ),
        (
            r#"{"id": "b\u001b[2J", "question": "2 + 2?", "answer": "4"}"#,
            "held_out.jsonl:2: id holds a control character:",
        ),
        (
            r#"["b", "2 + 2?"]"#,
            "held_out.jsonl:2: holds a list and not an object: write one",
        ),
        (
            r#"{"id": "b", "question""#,
            "held_out.jsonl:2: is no JSON (EOF while parsing",
        ),
    ] {
        let told = refusal(&format!("{good}\n{line}\n"));
        assert!(
            told.starts_with(message),
            "{line}\n got {told}\nwant {message}"
        );
    }
}

#[test]
fn every_fault_is_told_not_the_first_alone() {
    let lines = "{\"id\": \"a\", \"question\": \"1?\"}\n\nnot JSON\n{\"answer\": \"1\"}\n";
    let dir = folder(&[("workload.toml", MANIFEST), ("held_out.jsonl", lines)]);
    let error = Workload::open(dir.path(), None).unwrap_err();
    let text = error.to_string();
    let Error::Invalid { problems } = error else {
        panic!("{error}")
    };
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.what.as_str())).collect();
    assert_eq!(
        places,
        [
            (Some(3), "is no JSON (expected ident at line 1 column 2)"),
            (Some(1), "has no answer"),
            (Some(4), "has no id"),
            (Some(4), "has no question"),
        ]
    );
    assert!(
        text.ends_with("(and 3 more: `curt workload check` lists them)"),
        "{text}"
    );
}

#[test]
fn a_line_that_is_not_utf8_is_told() {
    let dir = folder(&[("workload.toml", MANIFEST)]);
    fs::write(dir.path().join("train.jsonl"), b"\n{\"id\": \"\xff\"}\n").unwrap();
    assert_eq!(
        refused(dir.path(), None),
        "train.jsonl:2: is not UTF-8 text: save the file as UTF-8"
    );
}

#[test]
fn nothing_may_stand_in_both_parts() {
    let both = |train: &str, held_out: &str| {
        let dir = folder(&[
            ("workload.toml", MANIFEST),
            ("train.jsonl", train),
            ("held_out.jsonl", held_out),
        ]);
        Workload::open(dir.path(), None)
            .map(drop)
            .map_err(|_| refused(dir.path(), None))
    };
    let item = |id: &str, group: &str, question: &str| {
        format!(r#"{{"id": "{id}", "group": "{group}", "question": "{question}", "answer": 2}}"#)
    };
    assert_eq!(
        both(&format!("\n{}", item("a", "1+1", "One and one?")), &item("b", "1+1", "Once more one?")),
        Err("held_out.jsonl:1: the group \"1+1\" stands in train.jsonl:2 too: move all of its items into one part".into())
    );
    assert_eq!(
        both(
            &item("a", "x", "One and one?"),
            &item("b", "y", "One and one?")
        ),
        Err(
            "held_out.jsonl:1: the same question stands in train.jsonl:1: remove it from one part"
                .into()
        )
    );
    assert_eq!(
        both(
            &item("a", "x", "One and one?"),
            &item("a", "y", "Two and two?")
        ),
        Err(
            "held_out.jsonl:1: the id \"a\" stands at train.jsonl:1 too: rename one of the two"
                .into()
        )
    );
    assert_eq!(
        both(
            &item("a", "x", "One and one?"),
            &item("b", "y", "Two and two?")
        ),
        Ok(())
    );
    // Within a part a group may have many items, and a question may stand twice.
    assert_eq!(
        both(
            "",
            &format!("{}\n{}", item("a", "x", "1?"), item("b", "x", "1?"))
        ),
        Ok(())
    );
}

#[test]
fn what_is_no_workload_is_told_with_what_it_should_be() {
    let prompt = folder(&[("p.toml", "answer_pattern = '(\\d+)'\n")]);
    let prompt = prompt.path().join("p.toml");
    let empty = folder(&[]);
    assert_eq!(
        refused(empty.path(), None),
        "DIR: expected workload.toml and train.jsonl or held_out.jsonl, got a folder without workload.toml"
    );
    let none = folder(&[("workload.toml", MANIFEST)]);
    assert_eq!(
        refused(none.path(), None),
        "workload.toml: the workload has no items: write them into train.jsonl and held_out.jsonl, one a line"
    );
    let line = r#"{"id": "a", "question": "1 + 1?", "answer": "2"}"#;
    let bare = folder(&[
        ("w.jsonl", line),
        ("w.txt", line),
        ("e.csv", "question,answer\n"),
    ]);
    assert_eq!(
        refused(&bare.path().join("w.jsonl"), None),
        "w.jsonl: expected a prompt file beside it: --prompt FILE, got none"
    );
    assert_eq!(
        refused(&bare.path().join("w.txt"), Some(&prompt)),
        "w.txt: expected a folder, or a .jsonl or .csv file, got a file that ends in \"txt\""
    );
    assert_eq!(
        refused(&bare.path().join("e.csv"), Some(&prompt)),
        "e.csv: the workload has no items: write them into train.jsonl and held_out.jsonl, one a line"
    );
    assert_eq!(
        refused(&bare.path().join("gone"), None),
        "gone: the workload cannot be opened"
    );
}

#[test]
fn a_faulty_manifest_is_told() {
    for (manifest, message) in [
        ("[prompt]\n", "missing field `name`"),
        ("name = \" \"\n[prompt]\n", "got an empty name"),
        (
            "name = \"t\"\n",
            "expected a [prompt] table (system, answer_pattern, turns, sampling), or --prompt FILE, got neither",
        ),
        (
            "name = \"t\"\nauthor = \"me\"\n[prompt]\n",
            "unknown field `author`",
        ),
        (
            "name = \"t\"\n[prompt]\nsytem = \"x\"\n",
            "unknown field `sytem`",
        ),
        (
            "name = \"t\"\nscorer = \"best\"\n[prompt]\n",
            "scorer: \"best\" is unknown",
        ),
        (
            "name = \"t\"\nscorer = 3\n[prompt]\n",
            "scorer: is a number and not a name or a table",
        ),
        (
            "name = \"t\"\n[scorer]\nargv = [\"x\"]\n[prompt]\n",
            "scorer: the table has no kind",
        ),
        (
            "name = \"t\"\n[scorer]\nkind = \"command\"\n[prompt]\n",
            "scorer: argv is no list of texts that begins with a program",
        ),
        (
            "name = \"t\"\n[scorer]\nkind = \"command\"\nargv = [\"x\"]\ntimeout_s = 0\n[prompt]\n",
            "scorer: timeout_s is no length of time",
        ),
        (
            "name = \"t\"\n[prompt]\nanswer_pattern = '('\n",
            "`answer_pattern`: expected a regular expression, got regex parse error",
        ),
    ] {
        let dir = folder(&[
            ("workload.toml", manifest),
            (
                "train.jsonl",
                r#"{"id": "a", "question": "1 + 1?", "answer": "2"}"#,
            ),
        ]);
        let told = refused(dir.path(), None);
        assert!(
            told.starts_with("workload.toml") && told.contains(message),
            "{manifest}\n{told}"
        );
    }
}

#[test]
fn a_faulty_csv_is_told() {
    let prompt = folder(&[("p.toml", "")]);
    let prompt = prompt.path().join("p.toml");
    for (text, message) in [
        (
            "question,answer,answer\n1?,1,1\n",
            "w.csv:1: the column \"answer\" stands twice: remove or rename one of the two",
        ),
        ("question,answer\n1?,1\n2?,2,3\n", "w.csv:3: cannot be read"),
        (
            "question,result\n1?,1\n",
            "w.csv:2: the field \"result\" is unknown",
        ),
        (
            "question,answer\n\"1\n?\",1\n2?,\n",
            "w.csv:4: has no answer",
        ),
    ] {
        let dir = folder(&[("w.csv", text)]);
        let told = refused(&dir.path().join("w.csv"), Some(&prompt));
        assert!(told.starts_with(message), "{text}\n{told}");
    }
}

/// The path of an opened item's image.
fn image(dir: &Path) -> PathBuf {
    Workload::open(dir, None).unwrap().part(Part::HeldOut)[0]
        .image
        .clone()
        .unwrap()
}

#[test]
fn an_image_is_looked_for_in_the_folder() {
    let line = r#"{"id": "a", "question": "What is it?", "answer": "2", "image": "i.png"}"#;
    let dir = folder(&[
        ("workload.toml", MANIFEST),
        ("held_out.jsonl", line),
        ("i.png", ""),
    ]);
    assert_eq!(image(dir.path()), dir.path().join("i.png"));
}

#[test]
fn an_answer_that_the_pattern_does_not_find_is_refused() {
    let told = |scorer: &str, pattern: &str, item: &str| {
        let manifest =
            format!("name = \"t\"\nscorer = {scorer}\n[prompt]\nanswer_pattern = '{pattern}'\n");
        let lines = format!("{{\"id\": \"a\", \"question\": \"?\", {item}}}\n");
        let dir = folder(&[("workload.toml", &manifest), ("held_out.jsonl", &lines)]);
        match Workload::open(dir.path(), None) {
            Ok(_) => None,
            Err(_) => Some(refused(dir.path(), None)),
        }
    };
    let exact = "\"exact\"";
    for (scorer, pattern, item, message) in [
        (
            exact,
            r"(?i)answer:\s*([^\n.]+)",
            r#""answer": "2.50""#,
            "finds \"2\", which is not \"2.50\"",
        ),
        (
            exact,
            r"is (.+?)",
            r#""answer": "13""#,
            "finds \"1\", which is not \"13\"",
        ),
        (
            exact,
            r"is ([a-z]+)",
            r#""answer": "13""#,
            "finds nothing, and not \"13\"",
        ),
        (
            exact,
            r"\\boxed\{([^{}]*)\}",
            r#""answer": "\\frac{1}{2}""#,
            "finds nothing",
        ),
        (
            "\"choice\"",
            r"is ([0-9])",
            r#""answer": "A", "choices": ["red", "blue"]"#,
            "finds nothing",
        ),
        (
            exact,
            r"is ([a-z]+)",
            r#""answer": ["red", "Red"]"#,
            "finds nothing, and not \"Red\"",
        ),
    ] {
        let told = told(scorer, pattern, item).unwrap_or_default();
        assert!(
            told.starts_with("held_out.jsonl:1: in \""),
            "{pattern}: {told}"
        );
        assert!(told.contains(message), "{pattern}: {told}");
    }
    for (scorer, pattern, item) in [
        (exact, r"\boxed{}", r#""answer": "\\frac{1}{2}""#),
        (exact, r"(?m)^Answer:\s*(.*)$", r#""answer": "2.50""#),
        (exact, r"(?:is|was) \b(\w+)\b", r#""answer": "red""#),
        (exact, r"is (\w+)|#### (\w+)", r#""answer": "red""#),
        (exact, r"[0-9]+", r#""answer": "13""#),
        (exact, r"<answer>(.*?)</answer>", r#""answer": "a b""#),
        ("\"numeric\"", r"(\d+)", r#""answer": "1,234.5""#),
        ("\"numeric\"", r"(?i)answer is:?", r#""answer": "-5""#),
        (
            "\"choice\"",
            r"is ([A-Z])\b",
            r#""answer": "blue", "choices": ["red", "blue"]"#,
        ),
        ("\"contains\"", r"is (.*)", r#""answer": "red""#),
        ("\"regex\"", r"is (\d)", r#""answer": "^[a-z]$""#),
    ] {
        assert_eq!(told(scorer, pattern, item), None, "{pattern}");
    }
}

#[test]
fn a_line_that_is_far_too_long_is_told_and_so_is_a_file_that_is_none_of_items() {
    let long = format!(
        "{{\"id\": \"a\", \"question\": \"{}\"}}\n",
        "x".repeat(5 << 20)
    );
    assert!(refusal(&long).contains("bytes long: write one item a line"));
    let dir = folder(&[
        ("workload.toml", MANIFEST),
        ("held_out.jsonl", &"no item\n".repeat(100_000)),
    ]);
    let Error::Invalid { problems } = Workload::open(dir.path(), None).unwrap_err() else {
        panic!("it was read")
    };
    assert!(problems.len() < 200, "{}", problems.len());
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_before_it_is_read() {
    let dir = folder(&[("workload.toml", MANIFEST)]);
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("held_out.jsonl")).unwrap();
    assert!(refused(dir.path(), None).contains("regular file"));
}
