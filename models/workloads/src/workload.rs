//! A workload, opened.

mod gold;

use std::fs;
use std::path::{Path, PathBuf};

use curt::{AnswerKind, AnswerReader, PromptFile};
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::manifest::{self, Manifest};
use crate::read::{Placed, Rules};
use crate::scorer::Scorer;
use crate::{Error, Item, Result, digest, rows, split};

/// Most bytes of a file of items.
const MOST_BYTES: u64 = 1 << 30;

/// A part of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What heads are trained on.
    Train,
    /// What nothing is trained on, and everything is measured on.
    HeldOut,
}

impl Part {
    /// The file of the part, in a workload's folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Part::Train => "train.jsonl",
            Part::HeldOut => "held_out.jsonl",
        }
    }
}

/// Questions with known answers, how they are asked, and how they are graded.
///
/// ```
/// use curt_workload::{Part, Workload};
///
/// let workload = Workload::open("word-problems".as_ref(), None)?;
/// let item = &workload.part(Part::HeldOut)[0];
/// assert!(workload.grade(item, Some(&item.answer[0]), "")?);
/// # Ok::<(), curt_workload::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Workload {
    name: String,
    licence: Option<String>,
    seed: Option<u64>,
    recipe: Option<String>,
    digest: String,
    prompt: PromptFile,
    /// What finds answers, for those of no kind. `None` where the prompt has no pattern.
    reader: Option<AnswerReader>,
    scorer: Scorer,
    /// Where a command scorer runs.
    folder: PathBuf,
    train: Vec<Item>,
    held_out: Vec<Item>,
}

impl Workload {
    /// Opens a folder with `workload.toml` and `train.jsonl` or `held_out.jsonl` or both; or one file, `.jsonl` or
    /// `.csv`, whose items are all held out. `prompt` is a prompt file: it takes the place of the folder's `[prompt]`, and
    /// a bare file needs it. Every line is checked.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every faulty line; [`Error::Layout`], [`Error::Io`] or [`Error::Prompt`] where it does not
    /// come to lines.
    pub fn open(path: &Path, prompt: Option<&Path>) -> Result<Self> {
        let prompt = prompt.map(PromptFile::read).transpose()?;
        let metadata = fs::metadata(path).map_err(|source| Error::Io {
            file: path.into(),
            action: "the workload cannot be opened",
            source,
        })?;
        let (workload, problems) = if metadata.is_dir() {
            Self::folder(path, prompt)?
        } else {
            Self::bare(path, prompt)?
        };
        if problems.is_empty() {
            Ok(workload)
        } else {
            Err(Error::Invalid { problems })
        }
    }

    fn folder(folder: &Path, prompt: Option<PromptFile>) -> Result<(Self, Vec<Problem>)> {
        let file = folder.join(manifest::FILE);
        if !file.is_file() {
            return Err(Error::Layout {
                path: folder.into(),
                expected: format!("{} and train.jsonl or held_out.jsonl", manifest::FILE),
                got: format!("a folder without {}", manifest::FILE),
            });
        }
        let text = curt::files::read_text(&file, curt::files::WRITTEN_BYTES, "cannot be read")?;
        let manifest = Manifest::parse(&file, &text)?;
        let mut problems = Vec::new();
        let Some(prompt) = prompt.or(manifest.prompt) else {
            return Err(Error::Layout {
                path: file,
                expected:
                    "a [prompt] table (system, answer_pattern, turns, sampling), or --prompt FILE"
                        .into(),
                got: "neither".into(),
            });
        };
        let mut parts = Vec::new();
        for part in [Part::Train, Part::HeldOut] {
            let file = folder.join(part.file_name());
            let rules = Rules {
                file: &file,
                folder,
                scorer: &manifest.scorer,
                lines_name_items: false,
            };
            let rows = if file.exists() {
                rows::jsonl(&file, &bytes(&file)?, &mut problems)
            } else {
                Vec::new()
            };
            let items = rules.items(rows, &mut problems);
            parts.push((file, items));
        }
        let [train, held_out] = <[_; 2]>::try_from(parts).unwrap_or_default();
        problems.extend(split::faults(
            (&train.0, &train.1),
            (&held_out.0, &held_out.1),
        ));
        let draft = Draft {
            name: manifest.name,
            licence: manifest.licence,
            seed: manifest.seed,
            recipe: manifest.recipe,
            scorer: manifest.scorer,
            prompt,
            source: file,
            files: [train.0, held_out.0],
            folder: folder.into(),
        };
        draft.finish(train.1, held_out.1, problems)
    }

    fn bare(file: &Path, prompt: Option<PromptFile>) -> Result<(Self, Vec<Problem>)> {
        let extension = file
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let read = match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => rows::jsonl,
            "csv" => rows::csv,
            _ => {
                return Err(Error::Layout {
                    path: file.into(),
                    expected: "a folder, or a .jsonl or .csv file".into(),
                    got: format!("a file that ends in {extension:?}"),
                });
            }
        };
        let prompt = prompt.ok_or_else(|| Error::Layout {
            path: file.into(),
            expected: "a prompt file beside it: --prompt FILE".into(),
            got: "none".into(),
        })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut problems = Vec::new();
        let rows = read(file, &bytes(file)?, &mut problems);
        let rules = Rules {
            file,
            folder,
            scorer: &Scorer::EXACT,
            lines_name_items: true,
        };
        let items = rules.items(rows, &mut problems);
        problems.extend(split::faults((file, &[]), (file, &items)));
        let draft = Draft {
            name: file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            licence: None,
            seed: None,
            recipe: None,
            scorer: Scorer::EXACT,
            prompt,
            source: file.into(),
            files: [file.into(), file.into()],
            folder: folder.into(),
        };
        draft.finish(Vec::new(), items, problems)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its items may be used under, where it says.
    pub fn licence(&self) -> Option<&str> {
        self.licence.as_deref()
    }

    /// What it was drawn with, where it was generated.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// What made it, where it was generated.
    pub fn recipe(&self) -> Option<&str> {
        self.recipe.as_deref()
    }

    /// SHA-256 in hexadecimal over what is asked and how it is graded: prompt, scorers, items in their order, and the
    /// bytes of their images. Not over names of files, order of keys or white space between them.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How the items are asked.
    pub fn prompt(&self) -> &PromptFile {
        &self.prompt
    }

    /// What grades items that name no scorer of their own.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// The items of a part, in the order of the file. A bare file has no train part.
    pub fn part(&self, part: Part) -> &[Item] {
        match part {
            Part::Train => &self.train,
            Part::HeldOut => &self.held_out,
        }
    }

    /// What the answers to `item` are, and so which of them a vote takes for the same: as its scorer compares them, or where
    /// that is `exact`, `regex` or `command`, as the prompt's `answer_kind` says.
    pub fn answer_kind(&self, item: &Item) -> AnswerKind {
        let scorer = item.scorer.as_ref().unwrap_or(&self.scorer);
        scorer
            .kind(item)
            .or_else(|| self.prompt.answer_kind.clone())
            .unwrap_or_default()
    }

    /// What finds the answer to `item` in a path's text. `None` where the prompt has no answer pattern.
    pub fn reader(&self, item: &Item) -> Option<AnswerReader> {
        let reader = self.reader.as_ref()?;
        Some(reader.of_kind(self.answer_kind(item)))
    }

    /// Whether a path's answer to `item` is right. `found` is what the answer pattern found in `text`, the path's whole
    /// text. Where the prompt has no answer pattern, the whole text is the answer. A path with no answer is wrong.
    ///
    /// # Errors
    /// [`Error::Grade`] where a command scorer could not say.
    pub fn grade(&self, item: &Item, found: Option<&str>, text: &str) -> Result<bool> {
        let whole = self.prompt.answer_pattern.is_none().then_some(text);
        let scorer = item.scorer.as_ref().unwrap_or(&self.scorer);
        let kind = self.answer_kind(item);
        scorer
            .grade(item, &kind, found.or(whole), text, &self.folder)
            .map_err(|reason| Error::Grade {
                item: item.id.clone(),
                scorer: scorer.name(),
                reason,
            })
    }
}

/// All of a workload but its items.
struct Draft {
    name: String,
    licence: Option<String>,
    seed: Option<u64>,
    recipe: Option<String>,
    scorer: Scorer,
    prompt: PromptFile,
    /// The file that a fault of the whole is told of.
    source: PathBuf,
    /// The files of the two parts.
    files: [PathBuf; 2],
    folder: PathBuf,
}

impl Draft {
    fn finish(
        self,
        train: Vec<Placed>,
        held_out: Vec<Placed>,
        mut problems: Vec<Problem>,
    ) -> Result<(Workload, Vec<Problem>)> {
        let mut whole = |what: String, remedy: &str| {
            problems.push(Problem {
                file: self.source.clone(),
                line: None,
                what,
                remedy: remedy.into(),
            });
        };
        let pattern = self.prompt.answer_pattern.as_deref();
        let reader = match pattern
            .map(|pattern| AnswerReader::new(pattern, None))
            .transpose()
        {
            Ok(reader) => reader,
            Err(e) => {
                whole(e.to_string(), "correct the regular expression");
                None
            }
        };
        if train.is_empty() && held_out.is_empty() && problems.is_empty() {
            problems.push(Problem {
                file: self.source.clone(),
                line: None,
                what: "the workload has no items".into(),
                remedy: "write them into train.jsonl and held_out.jsonl, one a line".into(),
            });
        }
        let placed = [train, held_out];
        let items =
            |part: &[Placed]| -> Vec<Item> { part.iter().map(|p| p.item.clone()).collect() };
        let [train, held_out] = [&placed[0], &placed[1]].map(|part| items(part));
        let digest = digest::of(&self.prompt, &self.scorer, &train, &held_out)?;
        let workload = Workload {
            name: self.name,
            licence: self.licence,
            seed: self.seed,
            recipe: self.recipe,
            digest,
            prompt: self.prompt,
            reader,
            scorer: self.scorer,
            folder: self.folder,
            train,
            held_out,
        };
        for (file, placed) in self.files.iter().zip(&placed) {
            problems.extend(gold::faults(&workload, file, placed));
        }
        Ok((workload, problems))
    }
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    Ok(curt::files::read(file, MOST_BYTES, "cannot be read")?)
}
