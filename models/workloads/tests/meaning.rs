//! The digest follows what is asked and how it is graded, and nothing else; and the ways to write a workload down.

use std::fs;
use std::path::Path;

use curt_workload::{Part, Workload};

const MANIFEST: &str =
    "name = \"t\"\nscorer = \"numeric\"\n[prompt]\nsystem = \"Add.\"\nanswer_pattern = '(\\d+)'\n";
const LINE: &str = r#"{"id": "a", "group": "1+1", "question": "1 + 1?", "answer": "2"}"#;
const OTHER: &str = r#"{"id": "b", "question": "2 + 2?", "answer": "4"}"#;

fn digest(manifest: &str, train: &str, held_out: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("workload.toml", manifest),
        ("train.jsonl", train),
        ("held_out.jsonl", held_out),
        ("i.png", "one"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    Workload::open(dir.path(), None)
        .unwrap()
        .digest()
        .to_string()
}

#[test]
fn how_it_is_written_down_does_not_change_the_digest() {
    let digest_of = |manifest: &str, lines: &str| digest(manifest, "", lines);
    let plain = digest_of(MANIFEST, LINE);
    assert_eq!(plain.len(), 64);
    let turned = "{\"answer\":2,\"question\":\"1 + 1?\",\t\"group\":\"1+1\",\"id\":\"a\"}";
    assert_eq!(
        plain,
        digest_of(MANIFEST, turned),
        "order of keys, white space, a number for its digits"
    );
    assert_eq!(
        plain,
        digest_of(MANIFEST, &format!("\u{feff}\n\n{LINE}\r\n\n")),
        "byte order mark, blank lines, line ends"
    );
    let wordy = "# A comment.\nscorer = { kind = \"numeric\", tolerance = 0 }\nname = \"u\"\nlicence = \"MIT\"\nseed = 2\n\
                 recipe = \"r\"\n[prompt]\nanswer_pattern = \"(\\\\d+)\"\nsystem = 'Add.'\nquestion = \"3 + 3?\"\n";
    assert_eq!(
        plain,
        digest_of(wordy, LINE),
        "names, licence, seed, the demo's question"
    );
}

#[test]
fn what_is_asked_and_how_it_is_graded_does() {
    let plain = digest(MANIFEST, "", &format!("{LINE}\n{OTHER}"));
    let mut seen = vec![plain];
    for (manifest, train, held_out) in [
        (MANIFEST.to_string(), "", format!("{OTHER}\n{LINE}")),
        (MANIFEST.into(), LINE, OTHER.into()),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace("\"a\"", "\"c\"")),
        ),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace("1+1", "1+2")),
        ),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace("1?", "1 ?")),
        ),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace("\"2\"", "[\"2\", \"3\"]")),
        ),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace('}', ", \"scorer\": \"exact\"}")),
        ),
        (
            MANIFEST.into(),
            "",
            format!(
                "{}\n{OTHER}",
                LINE.replace('}', ", \"choices\": [\"2\", \"3\"]}")
            ),
        ),
        (
            MANIFEST.into(),
            "",
            format!("{}\n{OTHER}", LINE.replace('}', ", \"image\": \"i.png\"}")),
        ),
        (
            MANIFEST.replace("numeric", "exact"),
            "",
            format!("{LINE}\n{OTHER}"),
        ),
        (
            MANIFEST.replace("Add", "Sum"),
            "",
            format!("{LINE}\n{OTHER}"),
        ),
        (
            MANIFEST.replace("\\d+", "\\d*"),
            "",
            format!("{LINE}\n{OTHER}"),
        ),
        (
            format!("{MANIFEST}sampling = {{ temperature = 0.5 }}\n"),
            "",
            format!("{LINE}\n{OTHER}"),
        ),
        (
            format!("{MANIFEST}turns = [{{ user = \"1?\", assistant = \"1\" }}]\n"),
            "",
            format!("{LINE}\n{OTHER}"),
        ),
    ] {
        let changed = digest(&manifest, train, &held_out);
        assert!(!seen.contains(&changed), "{manifest}\n{train}\n{held_out}");
        seen.push(changed);
    }
}

#[test]
fn an_image_counts_by_its_bytes_and_not_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |image: &str, bytes: &str| {
        let line = format!(r#"{{"id": "a", "question": "?", "answer": "2", "image": "{image}"}}"#);
        fs::write(dir.path().join("workload.toml"), MANIFEST).unwrap();
        fs::write(dir.path().join("held_out.jsonl"), line).unwrap();
        fs::write(dir.path().join(image), bytes).unwrap();
        Workload::open(dir.path(), None)
            .unwrap()
            .digest()
            .to_string()
    };
    assert_eq!(open("i.png", "one"), open("j.png", "one"));
    assert_ne!(open("i.png", "one"), open("i.png", "two"));
}

#[test]
fn a_prompt_file_takes_the_place_of_the_folders_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("workload.toml"), MANIFEST).unwrap();
    fs::write(dir.path().join("held_out.jsonl"), LINE).unwrap();
    let prompt = dir.path().join("p.toml");
    fs::write(&prompt, "system = \"Sum.\"\n").unwrap();
    let own = Workload::open(dir.path(), None).unwrap();
    let other = Workload::open(dir.path(), Some(&prompt)).unwrap();
    assert_eq!(own.prompt().system.as_deref(), Some("Add."));
    assert_eq!(other.prompt().system.as_deref(), Some("Sum."));
    assert_eq!(other.prompt().answer_pattern, None);
    assert_ne!(own.digest(), other.digest());
}

/// A bare file's items, all held out.
fn bare(name: &str, text: &str) -> Workload {
    let dir = tempfile::tempdir().unwrap();
    let prompt = dir.path().join("p.toml");
    fs::write(&prompt, "answer_pattern = '(\\d+)'\n").unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    Workload::open(&dir.path().join(Path::new(name)), Some(&prompt)).unwrap()
}

#[test]
fn a_bare_file_of_lines_or_of_columns_is_a_workload() {
    let lines = bare(
        "w.jsonl",
        "{\"question\": \"1, 2 or \\\"3\\\"?\", \"answer\": 2, \"choices\": [\"1\", \"2\"]}\n{\"id\": \"b\", \"question\": \"2?\", \"answer\": \"2\"}\n",
    );
    assert_eq!((lines.name(), lines.part(Part::Train).len()), ("w", 0));
    let ids: Vec<_> = lines
        .part(Part::HeldOut)
        .iter()
        .map(|i| i.id.as_str())
        .collect();
    assert_eq!(ids, ["line-1", "b"]);
    // Where lines name items, a line is one of the file, as an editor counts: the header is the first.
    let columns = bare(
        "w.csv",
        "id,question,answer,choices\nline-1,\"1, 2 or \"\"3\"\"?\",2,1 | 2\nb,2?,2,\n",
    );
    assert_eq!(lines.part(Part::HeldOut), columns.part(Part::HeldOut));
    assert_eq!(lines.digest(), columns.digest());
    assert_eq!(
        bare("w.csv", "question,answer\n1?,1\n").part(Part::HeldOut)[0].id,
        "line-2"
    );
    assert_eq!(
        lines.part(Part::HeldOut)[0].asked(),
        "1, 2 or \"3\"?\nA. 1\nB. 2"
    );
}
