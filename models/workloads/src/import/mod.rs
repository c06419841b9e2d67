//! Importers: question sets in the JSON layouts that are common for maths and for questions about images.

mod gsm8k;
mod math;
mod record;
mod scienceqa;
mod vqav2;

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::Problem;
use crate::manifest;
use crate::workload::{Part, Workload};
use crate::{Error, Item, Result};

/// A layout that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// GSM8K: JSON lines of `question` and `answer`, whose last line is `#### 72`. One file, or a folder with
    /// `train.jsonl` and `test.jsonl`.
    Gsm8k,
    /// MATH: an object of `problem` and `solution` (with the answer in `\boxed{}`), one a file under `train/SUBJECT` and
    /// `test/SUBJECT`, or one a line of a JSONL file, or of `train.jsonl` and `test.jsonl` in a folder.
    Math,
    /// VQA v2: a folder with `v2_OpenEnded_mscoco_SPLIT_questions.json`, `v2_mscoco_SPLIT_annotations.json` and the
    /// images `COCO_SPLIT_000000000042.jpg`, each in the folder or below it; train2014 becomes the train part and val2014
    /// the held-out part.
    VqaV2,
    /// ScienceQA: a folder with `problems.json` and the images `images/SPLIT/NUMBER/image.png`; the splits train and test
    /// become the two parts.
    ScienceQa,
}

/// What an import wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Items of the train part.
    pub train: usize,
    /// Items of the held-out part.
    pub held_out: usize,
    /// Train items that were left out, because the held-out part asks the same question.
    pub in_both: usize,
}

/// An item, and where in the input it stands.
#[derive(Debug)]
struct Sourced {
    file: PathBuf,
    /// The line, or the key.
    place: String,
    item: Item,
}

/// Items of the two parts, before they are written.
#[derive(Debug, Default)]
struct Parts {
    train: Vec<Sourced>,
    held_out: Vec<Sourced>,
}

impl Parts {
    fn part(&mut self, part: Part) -> &mut Vec<Sourced> {
        match part {
            Part::Train => &mut self.train,
            Part::HeldOut => &mut self.held_out,
        }
    }

    /// The items whose image is not there.
    fn without_image(&self) -> Vec<Problem> {
        let all = self.train.iter().chain(&self.held_out);
        all.filter_map(|sourced| {
            let image = sourced
                .item
                .image
                .as_ref()
                .filter(|image| !image.is_file())?;
            Some(Problem {
                file: sourced.file.clone(),
                line: None,
                what: format!(
                    "{}: the image {} is not there",
                    sourced.place,
                    image.display()
                ),
                remedy: "put it there, or correct the path".into(),
            })
        })
        .collect()
    }

    /// A problem of the workload in `draft`, told of the place in the input that it comes from.
    fn told_of_input(&self, problem: Problem, draft: &Path, input: &Path) -> Problem {
        let parts = [(Part::Train, &self.train), (Part::HeldOut, &self.held_out)];
        let files = parts.map(|(part, items)| (draft.join(part.file_name()), items));
        let source = problem.line.and_then(|line| {
            let (_, items) = files.iter().find(|(file, _)| *file == problem.file)?;
            items.get(line.checked_sub(1)?)
        });
        let mut what = problem.what;
        for (file, items) in &files {
            let named = format!("{}:", file.display());
            // Another line that is told of: "the id 5 stands at train.jsonl:3 too".
            while let Some(at) = what.find(&named) {
                let digits = what[at + named.len()..]
                    .bytes()
                    .take_while(u8::is_ascii_digit);
                let end = at + named.len() + digits.count();
                let line: Option<usize> = what[at + named.len()..end].parse().ok();
                let Some(other) = line.and_then(|line| items.get(line.checked_sub(1)?)) else {
                    break;
                };
                let place = format!("{}: {}", other.file.display(), other.place);
                what.replace_range(at..end, &place);
            }
        }
        Problem {
            file: source.map_or(input, |source| &source.file).into(),
            line: None,
            what: match source {
                Some(source) => format!("{}: {what}", source.place),
                None => what,
            },
            remedy: problem.remedy,
        }
    }
}

/// Reads `input` and writes a workload's folder to `out`, which must not be there yet. `limit` keeps the first so many
/// items of each part. Images stay where they are: the items point to them from `out`.
///
/// # Errors
/// [`Error::Import`] where `input` does not have the layout, [`Error::Invalid`] where what it holds is no workload (a
/// missing image), [`Error::Layout`] where `out` is there, [`Error::Io`].
pub fn import(layout: Layout, input: &Path, out: &Path, limit: Option<usize>) -> Result<Imported> {
    if out.exists() {
        return Err(Error::Layout {
            path: out.into(),
            expected: "a folder that is not there yet".into(),
            got: "one that is: name another, or remove it".into(),
        });
    }
    let (mut parts, manifest_text) = match layout {
        Layout::Gsm8k => (gsm8k::read(input)?, gsm8k::MANIFEST),
        Layout::Math => (math::read(input)?, math::MANIFEST),
        Layout::VqaV2 => (vqav2::read(input)?, vqav2::MANIFEST),
        Layout::ScienceQa => (scienceqa::read(input)?, scienceqa::MANIFEST),
    };
    let limit = limit.unwrap_or(usize::MAX);
    parts.held_out.truncate(limit);
    let asked: HashSet<_> = parts.held_out.iter().map(|s| asked(&s.item)).collect();
    let before = parts.train.len();
    parts
        .train
        .retain(|sourced| !asked.contains(&self::asked(&sourced.item)));
    let in_both = before - parts.train.len();
    parts.train.truncate(limit);
    let problems = parts.without_image();
    if !problems.is_empty() {
        return Err(Error::Invalid { problems });
    }

    let failed = |file: &Path, action| {
        let file = file.to_path_buf();
        move |source| Error::Io {
            file,
            action,
            source,
        }
    };
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed(parent, "cannot be made"))?;
    // Beside `out`, so that the way to the images is the same from there, and moved when it has been checked.
    let draft = tempfile::tempdir_in(parent).map_err(failed(parent, "cannot be written to"))?;
    let base = fs::canonicalize(draft.path()).map_err(failed(draft.path(), "cannot be found"))?;
    let write = |name: &str, text: String| {
        let file = draft.path().join(name);
        fs::write(&file, text).map_err(failed(&file, "cannot be written"))
    };
    write(manifest::FILE, manifest_text.into())?;
    for (part, items) in [
        (Part::Train, &parts.train),
        (Part::HeldOut, &parts.held_out),
    ] {
        if !items.is_empty() {
            write(part.file_name(), lines(items, &base)?)?;
        }
    }
    Workload::open(draft.path(), None).map_err(|error| match error {
        Error::Invalid { problems } => Error::Invalid {
            problems: problems
                .into_iter()
                .map(|problem| parts.told_of_input(problem, draft.path(), input))
                .collect(),
        },
        error => error,
    })?;
    let kept = draft.keep();
    fs::rename(&kept, out).map_err(failed(out, "cannot be made"))?;
    set_readable(out).map_err(failed(out, "cannot be made readable"))?;
    Ok(Imported {
        train: parts.train.len(),
        held_out: parts.held_out.len(),
        in_both,
    })
}

/// What makes two items the same question.
fn asked(item: &Item) -> (String, Option<PathBuf>, Vec<String>) {
    (
        item.question.clone(),
        item.image.clone(),
        item.choices.clone(),
    )
}

/// A temporary folder is its maker's alone; a workload is read by others too.
fn set_readable(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Items as `train.jsonl` and `held_out.jsonl` hold them; images as paths from `base`.
fn lines(items: &[Sourced], base: &Path) -> Result<String> {
    let mut text = String::new();
    for Sourced { item, .. } in items {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        put("id", item.id.clone().into());
        if let Some(group) = &item.group {
            put("group", group.clone().into());
        }
        put("question", item.question.clone().into());
        if let Some(image) = &item.image {
            put("image", relative(base, image)?.into());
        }
        if !item.choices.is_empty() {
            put("choices", item.choices.clone().into());
        }
        match &item.answer[..] {
            [only] => put("answer", only.clone().into()),
            several => put("answer", several.to_vec().into()),
        };
        text.push_str(&Value::Object(fields).to_string());
        text.push('\n');
    }
    Ok(text)
}

/// The way from `base` (absolute) to `file`, with slashes.
fn relative(base: &Path, file: &Path) -> Result<String> {
    let absolute = std::path::absolute(file).map_err(|source| Error::Io {
        file: file.into(),
        action: "has no absolute path",
        source,
    })?;
    // A file that is not there keeps its name, for the message about it.
    let file = match (
        absolute.parent().map(fs::canonicalize),
        absolute.file_name(),
    ) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    };
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (base.components().collect(), file.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_string(), from.len() - shared);
    let down = to[shared..]
        .iter()
        .map(|c| c.as_os_str().to_string_lossy().into_owned());
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}
