//! Reading records, whole or cut short.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{AskedItem, Line, Record, Run, Sample, Start, VERSION};
use crate::error::{Error, Result};

/// What a run has written.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// What was run, and what it is held to.
    pub run: Run,
    /// The same as it was begun: `run` may since have been held to another arm or limit.
    pub begun: Run,
    /// Who wrote.
    pub starts: Vec<Start>,
    /// Items, as they were asked.
    pub items: Vec<AskedItem>,
    /// Samples, as they were written.
    pub samples: Vec<Sample>,
    /// Results, as they were written.
    pub results: Vec<Record>,
    /// What whoever reads them has to know: a line that was cut short, options that could not be compared.
    pub notes: Vec<String>,
}

impl Records {
    /// A run that has written nothing.
    pub fn new(run: Run) -> Self {
        Self {
            begun: run.clone(),
            run,
            starts: Vec::new(),
            items: Vec::new(),
            samples: Vec::new(),
            results: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Reads the records in `place`: a file, or a folder that holds `records.jsonl` or `records.jsonl.gz`.
///
/// A last line that was cut short is left out, and a note says so.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Record`] for a line that is no record, a result that stands there
/// twice, or another version.
pub fn read_records(place: &Path) -> Result<Records> {
    let file = records_file(place);
    let mut bytes = Vec::new();
    let open = File::open(&file).map_err(Error::io(&file, "the records cannot be opened"))?;
    let read = if file.extension().is_some_and(|e| e == "gz") {
        GzDecoder::new(open).read_to_end(&mut bytes)
    } else {
        (&open).read_to_end(&mut bytes)
    };
    read.map_err(Error::io(&file, "the records cannot be read"))?;
    whole_records(&file, &bytes)
}

/// The records of the whole lines of `bytes`, of which there is at least one.
pub(super) fn whole_records(file: &Path, bytes: &[u8]) -> Result<Records> {
    let (records, _) = parse_whole(file, bytes)?;
    records.ok_or_else(|| Error::Record {
        file: file.into(),
        line: 1,
        reason: "expected the line of the run, got nothing".into(),
    })
}

/// The records of the whole lines of `bytes`, `None` for no line, and how many bytes these are.
pub(super) fn parse_whole(file: &Path, bytes: &[u8]) -> Result<(Option<Records>, usize)> {
    let whole = bytes
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let mut records = parse(file, &bytes[..whole])?;
    let cut = bytes.len() - whole;
    if let Some(records) = records.as_mut().filter(|_| cut > 0) {
        records.notes.push(format!(
            "{}: its last line is cut short ({cut} bytes) and was left out",
            file.display()
        ));
    }
    Ok((records, whole))
}

fn records_file(place: &Path) -> PathBuf {
    if !place.is_dir() {
        return place.into();
    }
    let folder = super::Folder::new(place);
    folder
        .records()
        .unwrap_or_else(|| place.join(super::folder::RECORDS))
}

/// The records of whole lines; `None` for no line.
fn parse(file: &Path, bytes: &[u8]) -> Result<Option<Records>> {
    let wrong = |line: usize, reason: String| Error::Record {
        file: file.into(),
        line,
        reason,
    };
    let mut records: Option<Records> = None;
    let mut seen = HashSet::new();
    for (index, text) in bytes.split(|&b| b == b'\n').enumerate() {
        if text.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(text)
            .map_err(|error| wrong(index + 1, format!("expected a record, got {error}")))?;
        match (line, &mut records) {
            (Line::Run(run), none @ None) => {
                if run.version != VERSION {
                    return Err(wrong(
                        index + 1,
                        format!("expected version {VERSION}, got {}", run.version),
                    ));
                }
                *none = Some(Records::new(*run));
            }
            (_, None) => {
                return Err(wrong(
                    index + 1,
                    "expected the line of the run first".into(),
                ));
            }
            (Line::Run(_), Some(_)) => {
                return Err(wrong(index + 1, "a second run in one file".into()));
            }
            (Line::Start(start), Some(records)) => records.starts.push(*start),
            (Line::Item(item), Some(records)) => records.items.push(*item),
            (Line::Sample(sample), Some(records)) => {
                if !seen.insert((sample.index, sample.repeat, String::new())) {
                    return Err(wrong(
                        index + 1,
                        format!("item {:?} is sampled twice", sample.item),
                    ));
                }
                records.samples.push(*sample);
            }
            (Line::Result(record), Some(records)) => {
                if !seen.insert((record.index, record.repeat, record.arm.clone())) {
                    let reason = format!(
                        "item {:?} of arm {:?} stands here twice",
                        record.item, record.arm
                    );
                    return Err(wrong(index + 1, reason));
                }
                records.results.push(*record);
            }
        }
    }
    Ok(records)
}
