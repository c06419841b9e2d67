//! The importers read files in the shapes of the public sets, and say what is wrong with others. The files under
//! `layouts/` were written for this test: their texts are ours, their keys and folders those of the sets.

use std::fs;
use std::path::{Path, PathBuf};

use curt_workload::import::{Imported, Layout, import};
use curt_workload::{Item, Part, Workload};

fn layouts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts")
}

/// The workload that an import writes.
fn imported(
    layout: Layout,
    name: &str,
    limit: Option<usize>,
) -> (tempfile::TempDir, Imported, Workload) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/er/out");
    let counts = import(layout, &layouts().join(name), &out, limit).unwrap();
    let workload = Workload::open(&out, None).unwrap();
    (dir, counts, workload)
}

fn ids(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.id.as_str()).collect()
}

#[test]
fn gsm8k() {
    let (_dir, counts, workload) = imported(Layout::Gsm8k, "gsm8k", None);
    // The second train question stands in the test file too, and the held-out part keeps it.
    let expected = Imported {
        train: 1,
        held_out: 2,
        in_both: 1,
    };
    assert_eq!(counts, expected);
    let [first] = workload.part(Part::Train) else {
        panic!("{counts:?}")
    };
    assert!(first.question.starts_with("Mia folds 12 paper boats"));
    assert_eq!(
        (first.id.as_str(), &first.answer[..]),
        ("train-0", &["36".to_string()][..])
    );
    let [jars, coins] = workload.part(Part::HeldOut) else {
        panic!("{counts:?}")
    };
    assert!(workload.grade(jars, Some("1,200"), "").unwrap());
    assert!(workload.grade(coins, Some("-3"), "").unwrap());
    assert!(!workload.grade(coins, Some("3"), "").unwrap());
}

#[test]
fn a_single_file_is_held_out_and_a_limit_keeps_the_first() {
    let (_dir, counts, workload) = imported(Layout::Gsm8k, "gsm8k/train.jsonl", Some(1));
    assert_eq!((counts.train, counts.held_out), (0, 1));
    assert_eq!(ids(workload.part(Part::HeldOut)), ["test-0"]);
}

#[test]
fn math_in_folders_and_in_lines() {
    let (_dir, _, workload) = imported(Layout::Math, "math", None);
    // By number, and not by the letters of the file's name.
    assert_eq!(
        ids(workload.part(Part::Train)),
        ["train/algebra/2", "train/algebra/10"]
    );
    assert_eq!(workload.part(Part::Train)[1].answer, [r"\frac{1}{6}"]);
    assert_eq!(ids(workload.part(Part::HeldOut)), ["test/geometry/1"]);
    let cups = &workload.part(Part::Train)[1];
    let reader = workload.reader(cups).unwrap();
    let found = reader.read(r"so it is \boxed{\frac{1}{6}} cups").unwrap();
    assert!(workload.grade(cups, Some(found.text()), "").unwrap());

    let (_dir, _, workload) = imported(Layout::Math, "math.jsonl", None);
    assert_eq!(
        ids(workload.part(Part::HeldOut)),
        ["test/algebra/7", "test-1"]
    );
    let answers: Vec<_> = workload
        .part(Part::HeldOut)
        .iter()
        .map(|i| i.answer[0].as_str())
        .collect();
    assert_eq!(answers, ["2", "4"]);
}

#[test]
fn vqav2() {
    let (dir, counts, workload) = imported(Layout::VqaV2, "vqav2", None);
    assert_eq!((counts.train, counts.held_out), (0, 2));
    let [color, count] = workload.part(Part::HeldOut) else {
        panic!("{counts:?}")
    };
    assert_eq!(
        color.answer,
        ["red", "red and blue"],
        "given by three people or more"
    );
    assert_eq!(
        count.answer,
        ["2"],
        "given by most, where none was given by three"
    );
    assert_eq!(color.group.as_deref(), Some("image-42"));
    assert_eq!(color.group, count.group);
    let image = fs::canonicalize(color.image.as_ref().unwrap()).unwrap();
    let there = layouts().join("vqav2/Images/mscoco/val2014/COCO_val2014_000000000042.jpg");
    assert_eq!(image, fs::canonicalize(there).unwrap());
    assert!(workload.grade(color, Some("Red"), "").unwrap());
    assert!(!workload.grade(color, Some("blue"), "").unwrap());
    let written = fs::read_to_string(dir.path().join("deep/er/out/held_out.jsonl")).unwrap();
    assert!(
        written.contains(r#""image":"../"#),
        "images are named from the workload: {written}"
    );
}

#[test]
fn scienceqa() {
    let (_dir, counts, workload) = imported(Layout::ScienceQa, "scienceqa", None);
    assert_eq!((counts.train, counts.held_out), (1, 1));
    let item = &workload.part(Part::HeldOut)[0];
    assert_eq!(
        item.asked(),
        "The map has north at its top.\nWhich way is north?\nA. up\nB. down\nC. left"
    );
    assert!(
        item.image
            .as_ref()
            .unwrap()
            .ends_with("images/test/2/image.png")
    );
    assert!(workload.grade(item, Some("A"), "").unwrap());
    assert!(!workload.grade(item, Some("B"), "").unwrap());
    assert!(
        workload
            .grade(&workload.part(Part::Train)[0], Some("ice"), "")
            .unwrap()
    );
}

/// The message of an import of these files.
fn refusal(layout: Layout, files: &[(&str, &str)], input: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let out = dir.path().join("out");
    let error = import(layout, &dir.path().join(input), &out, None).unwrap_err();
    let rest: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !out.exists()
            && rest
                .iter()
                .all(|f| !f.to_string_lossy().starts_with(".tmp")),
        "{rest:?}"
    );
    error
        .to_string()
        .replace(&format!("{}/", dir.path().display()), "")
        .replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn what_does_not_have_the_layout_is_told_and_leaves_nothing_behind() {
    const QUESTIONS: &str = "v2_OpenEnded_mscoco_val2014_questions.json";
    const ANNOTATIONS: &str = "v2_mscoco_val2014_annotations.json";
    let question = r#"{"questions": [{"image_id": 1, "question": "What?", "question_id": 5}]}"#;
    let annotation =
        r#"{"annotations": [{"question_id": 5, "multiple_choice_answer": "cat", "answers": []}]}"#;
    let problem = |changed: &str| {
        format!(
            r#"{{"9": {{"question": "Which?", "choices": ["a", "b"], "answer": 0, "split": "test", {changed}}}}}"#
        )
    };
    for (layout, files, input, message) in [
        (
            Layout::Gsm8k,
            vec![("x/y", "")],
            "x",
            "x: the folder: expected train.jsonl or test.jsonl, got neither",
        ),
        (
            Layout::Gsm8k,
            vec![(
                "g.jsonl",
                "\n{\"question\": \"1?\", \"answer\": \"It is 1.\\nSo 1\"}\n",
            )],
            "g.jsonl",
            "g.jsonl: line 2: answer: expected a last line \"#### N\", got \"So 1\"",
        ),
        (
            Layout::Gsm8k,
            vec![("g.jsonl", "{\"answer\": \"#### 1\"}\n")],
            "g.jsonl",
            "g.jsonl: line 1: question: expected a text, got nothing",
        ),
        (
            Layout::Gsm8k,
            vec![("g.jsonl", "[1]\n")],
            "g.jsonl",
            "g.jsonl: line 1: expected an object, got a list",
        ),
        (
            Layout::Gsm8k,
            vec![("g.jsonl", "nope\n")],
            "g.jsonl",
            "g.jsonl: line 1: expected JSON, got expected ident",
        ),
        (
            Layout::Gsm8k,
            vec![],
            "gone.jsonl",
            "gone.jsonl: cannot be read as UTF-8 text",
        ),
        (
            Layout::Gsm8k,
            vec![(
                "g.jsonl",
                "{\"question\": \"1?\", \"answer\": \"#### some\"}\n",
            )],
            "g.jsonl",
            "g.jsonl: line 1: answer: expected a last line \"#### N\" with one number (a comma stands before each three digits: \
             1,234), got \"#### some\"",
        ),
        (
            Layout::Gsm8k,
            vec![(
                "g.jsonl",
                "{\"question\": \"1?\", \"answer\": \"#### 5,00\"}\n",
            )],
            "g.jsonl",
            "got \"#### 5,00\"",
        ),
        (
            Layout::Gsm8k,
            vec![(
                "g.jsonl",
                "{\"question\": \"1?\", \"answer\": \"#### 1,5\"}\n",
            )],
            "g.jsonl",
            "got \"#### 1,5\"",
        ),
        (
            Layout::Math,
            vec![(
                "m/test/algebra/1.json",
                r#"{"problem": "1?", "solution": "It is 1."}"#,
            )],
            "m",
            "m/test/algebra/1.json: the file: solution: expected an answer in \\boxed{}, got none",
        ),
        (
            Layout::Math,
            vec![("m/test/algebra/one.json", "{}")],
            "m",
            "m/test/algebra/one.json: the file's name: expected a number and .json, got one",
        ),
        (
            Layout::VqaV2,
            vec![("v/q.json", "{}")],
            "v",
            "v: the folder: expected v2_OpenEnded_mscoco_val2014_questions.json and v2_mscoco_val2014_annotations.json, got neither",
        ),
        (
            Layout::VqaV2,
            vec![(QUESTIONS, question)],
            "",
            "the folder: expected v2_mscoco_val2014_annotations.json, got v2_OpenEnded_mscoco_val2014_questions.json alone",
        ),
        (
            Layout::VqaV2,
            vec![
                (QUESTIONS, question),
                (ANNOTATIONS, r#"{"annotations": []}"#),
            ],
            "",
            "question 0: question_id: expected an annotation of 5, got none",
        ),
        (
            Layout::VqaV2,
            vec![(QUESTIONS, question), (ANNOTATIONS, annotation)],
            "",
            "COCO_val2014_000000000001.jpg is not there: put it there, or correct the path",
        ),
        (
            Layout::ScienceQa,
            vec![("problems.json", &problem(r#""answer": 2"#))],
            "problems.json",
            "problems.json: problem 9: answer: expected the number of one of 2 choices, from 0, got 2",
        ),
        (
            Layout::ScienceQa,
            vec![("problems.json", &problem(r#""split": "dev""#))],
            "",
            "problem 9: split: expected train, val or test, got \"dev\"",
        ),
        (
            Layout::ScienceQa,
            vec![("problems.json", &problem(r#""choices": ["a", 2]"#))],
            "",
            "problem 9: choices: expected texts, got something else among them",
        ),
    ] {
        let told = refusal(layout, &files, input);
        assert!(told.contains(message), "got  {told}\nwant {message}");
    }
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let error = import(Layout::Gsm8k, &layouts().join("gsm8k"), dir.path(), None).unwrap_err();
    assert!(error.to_string().ends_with(
        "expected a folder that is not there yet, got one that is: name another, or remove it"
    ));
}

/// What an import of these files makes.
fn made(layout: Layout, files: &[(&str, &str)], input: &str) -> (tempfile::TempDir, Workload) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let out = dir.path().join("out");
    import(layout, &dir.path().join(input), &out, None).unwrap();
    let workload = Workload::open(&out, None).unwrap();
    (dir, workload)
}

/// Whether the first held-out item is answered right by a path of this text.
fn is_right(workload: &Workload, text: &str) -> bool {
    let item = &workload.part(Part::HeldOut)[0];
    let found = workload.reader(item).unwrap().read(text);
    workload
        .grade(item, found.as_ref().map(|found| found.text()), text)
        .unwrap()
}

#[test]
fn gsm8k_reads_the_number_that_is_said_and_no_part_of_it() {
    for (gold, text, right) in [
        ("18", "The answer is 18.", true),
        ("18", "The answer is **18**.", true),
        ("18", r"The answer is $\boxed{18}$.", true),
        ("18", r"The answer is \(18\).", true),
        ("18", "The answer is £18.", true),
        ("-5", "The answer is $-5.", true),
        ("-5", "The answer is −5.", true),
        ("1,234", "The answer is 1 234.", true),
        ("3.5", "The answer is 3 1/2.", true),
        ("1", "The answer is 1/2.", false),
        ("1000", "The answer is 1e3.", true),
        ("18", "The answer is 3 + 15 = 18.", true),
        ("3", "The answer is 3 + 15 = 18.", false),
        ("18", "#### 18", true),
        ("18", "The answer is 18 or 21.", false),
        (
            "18",
            "The answer is 18. I hope this answer is of help.",
            true,
        ),
    ] {
        // As Windows editors write it.
        let line = format!("\u{feff}{{\"question\":\"?\",\"answer\":\"so\\n#### {gold}\"}}\n");
        let (_dir, workload) = made(Layout::Gsm8k, &[("a.jsonl", &line)], "a.jsonl");
        assert_eq!(is_right(&workload, text), right, "{gold}: {text}");
    }
}

#[test]
fn math_finds_boxes_however_deep_they_nest() {
    let line = r#"{"problem":"?","solution":"$\\boxed{\\frac{1+\\sqrt{\\frac{1}{2}}}{4}}$."}"#;
    let (_dir, workload) = made(Layout::Math, &[("a.jsonl", line)], "a.jsonl");
    let said = r"$\boxed{\frac{1+\sqrt{\frac{1}{2}}}{4}}$.";
    assert!(is_right(&workload, said));
    assert!(is_right(
        &workload,
        &format!(r"First \boxed{{12}}, but it is {said}")
    ));
    assert!(!is_right(
        &workload,
        &format!(r"{said} No, it is \boxed{{12}}.")
    ));
}

#[test]
fn vqav2_finds_answers_with_full_stops() {
    for (gold, text) in [
        ("2.50", "Answer: 2.50"),
        ("2.50", "It says so.\nAnswer: 2.50.\n"),
        ("dr. pepper", "Answer: Dr. Pepper."),
        ("u.s.", "Answer: U.S."),
        ("yes", "answer: **Yes**"),
    ] {
        let questions = r#"{"questions": [{"image_id": 42, "question": "?", "question_id": 1}]}"#;
        let given = format!(r#"{{"answer": "{gold}"}}"#);
        let annotations = format!(
            r#"{{"annotations": [{{"question_id": 1, "multiple_choice_answer": "{gold}", "answers": [{given}]}}]}}"#
        );
        let (_dir, workload) = made(
            Layout::VqaV2,
            &[
                ("in/v2_OpenEnded_mscoco_val2014_questions.json", questions),
                ("in/v2_mscoco_val2014_annotations.json", &annotations),
                ("in/val2014/COCO_val2014_000000000042.jpg", "image"),
            ],
            "in",
        );
        assert!(is_right(&workload, text), "{gold}: {text}");
        assert!(!is_right(&workload, "Answer: 2"), "{gold}");
    }
}

#[test]
fn math_finds_boxes_without_braces() {
    for (solution, answer) in [(r"$\\boxed5$", "5"), (r"so $\\boxed\\frac12$.", r"\frac12")] {
        let line = format!(r#"{{"problem":"?","solution":"{solution}"}}"#);
        let (_dir, workload) = made(Layout::Math, &[("a.jsonl", &line)], "a.jsonl");
        assert_eq!(workload.part(Part::HeldOut)[0].answer, [answer]);
    }
}

#[test]
fn scienceqa_tells_choices_of_the_same_text_apart_by_letter() {
    let problems = r#"{"1": {"question": "?", "choices": ["up", "up", "down"], "answer": 1, "hint": "", "image": null, "split": "test"}}"#;
    let (_dir, workload) = made(Layout::ScienceQa, &[("in/problems.json", problems)], "in");
    for (text, right) in [
        ("The answer is B.", true),
        ("The answer is B. up", true),
        ("The answer is A.", false),
        ("The answer is up.", false),
    ] {
        assert_eq!(is_right(&workload, text), right, "{text}");
    }
}

#[test]
fn what_is_no_workload_is_told_of_its_place_in_the_input() {
    let same = r#"{"question": "1?", "answer": "so\n#### 1"}"#;
    let blank = r#"{"question": " ", "answer": "so\n#### 1"}"#;
    let told = refusal(
        Layout::Gsm8k,
        &[("g.jsonl", &format!("{same}\n\n{blank}\n"))],
        "g.jsonl",
    );
    assert!(
        told.starts_with("g.jsonl: line 3: question is blank"),
        "{told}"
    );
    let problem = r#"{"unique_id": "x/1.json", "problem": "1?", "answer": "1"}"#;
    let told = refusal(
        Layout::Math,
        &[("m.jsonl", &format!("{problem}\n{problem}\n"))],
        "m.jsonl",
    );
    assert!(
        told.starts_with("m.jsonl: line 2: the id \"x/1\" stands at m.jsonl: line 1 too"),
        "{told}"
    );
    let one = r#"{"9": {"question": "?", "choices": ["a"], "answer": 0, "image": null, "split": "test"}}"#;
    let told = refusal(Layout::ScienceQa, &[("problems.json", one)], "");
    assert!(
        told.contains("problems.json: problem 9: has 1 choices"),
        "{told}"
    );
    let told = refusal(Layout::Gsm8k, &[("g.jsonl", "\n")], "g.jsonl");
    assert!(
        told.starts_with("g.jsonl: the workload has no items"),
        "{told}"
    );
}

#[test]
fn scienceqa_means_letters_by_its_answers() {
    let problems = r#"{"1": {"question": "?", "choices": ["O", "A", "B", "AB"], "answer": 0, "hint": "", "image": null, "split": "test"}}"#;
    let (_dir, workload) = made(Layout::ScienceQa, &[("in/problems.json", problems)], "in");
    for (text, right) in [
        ("The answer is A.", true),
        ("The answer is O.", true),
        ("The answer is (A) O", true),
        ("Answer: **A. O**", true),
        ("The answer is B. A", false),
        ("The answer is B.", false),
    ] {
        assert_eq!(is_right(&workload, text), right, "{text}");
    }
}
