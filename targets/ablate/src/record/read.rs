//! Reading records, whole or cut short.

use std::borrow::Cow;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::agree::contradictions;
use super::source::{self, Lines};
use super::validate::Validator;
use super::{AskedItem, Line, Record, Run, Sample, Start};
use crate::error::{Error, Result};

/// File of records in a run's folder.
pub(super) const RECORDS: &str = "records.jsonl";

/// The same, packed by gzip: records that are kept.
pub(super) const PACKED: &str = "records.jsonl.gz";

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

    /// In the order of an unsharded run that asked one item at a time: whoever adds something up over records in this order
    /// gets the same to the last place, however they came about.
    pub(crate) fn in_order(&self) -> Cow<'_, Self> {
        let arm = |name: &str| self.run.arms.iter().position(|arm| arm.name == name);
        let sample = |sample: &Sample| (sample.repeat, sample.index);
        let result = |record: &Record| (record.repeat, record.index, arm(&record.arm));
        let sorted = self.items.is_sorted_by_key(|item| item.index)
            && self.samples.is_sorted_by_key(sample)
            && self.results.is_sorted_by_key(result);
        if sorted {
            return Cow::Borrowed(self);
        }
        let mut ordered = self.clone();
        ordered.items.sort_by_key(|item| item.index);
        ordered.samples.sort_by_key(sample);
        ordered.results.sort_by_key(result);
        Cow::Owned(ordered)
    }

    /// Says what in them their run cannot have written.
    pub(crate) fn validate(&self) -> std::result::Result<(), String> {
        let mut validator = Validator::new(&self.run)?;
        self.starts
            .iter()
            .try_for_each(|line| validator.start(line))?;
        self.items
            .iter()
            .try_for_each(|line| validator.item(line))?;
        self.samples
            .iter()
            .try_for_each(|line| validator.sample(line))?;
        self.results
            .iter()
            .try_for_each(|line| validator.result(line))
    }
}

/// Reads the records in `place`: a file, or a folder that holds `records.jsonl` or `records.jsonl.gz`.
///
/// A last line that was cut short is left out, and a note says so.
///
/// # Errors
/// [`Error::Runtime`] where it is no regular file, [`Error::Io`] where it cannot be read or is too large, [`Error::Record`] for a line that is no
/// record, that its run cannot have written, or that stands there twice, and for another version.
pub fn read_records(place: &Path) -> Result<Records> {
    let file = records_file(place);
    whole_records(&file, source::open(&file)?)
}

/// The records of the whole lines of `from`, of which there is at least one. `file`: its name in errors.
pub(super) fn whole_records(file: &Path, from: impl BufRead) -> Result<Records> {
    let (records, _) = parse_whole(file, from)?;
    records.ok_or_else(|| Error::Record {
        file: file.into(),
        line: 1,
        reason: "expected the line of the run, got nothing".into(),
    })
}

/// The records of the whole lines of `from`, `None` for no line, and how many bytes these are.
pub(super) fn parse_whole(file: &Path, from: impl BufRead) -> Result<(Option<Records>, u64)> {
    let mut lines = Lines::new(from);
    let mut records = parse(file, &mut lines)?;
    let (whole, cut) = lines.read();
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
    records_in(place).unwrap_or_else(|| place.join(RECORDS))
}

/// The file of records in a folder, where it holds one.
pub(super) fn records_in(dir: &Path) -> Option<PathBuf> {
    let files = [PACKED, RECORDS].map(|name| dir.join(name));
    files.into_iter().find(|file| file.exists())
}

/// The records of whole lines; `None` for no line.
fn parse(file: &Path, lines: &mut Lines<impl BufRead>) -> Result<Option<Records>> {
    let mut known: Option<(Records, Validator)> = None;
    while let Some((line, text)) = lines
        .next()
        .map_err(Error::io(file, "the records cannot be read"))?
    {
        take(text, &mut known).map_err(|reason| Error::Record {
            file: file.into(),
            line,
            reason,
        })?;
    }
    Ok(known.map(|(mut records, _)| {
        let said = contradictions(&records.items, &records.samples, &records.results);
        records.notes.extend(said);
        records
    }))
}

/// Adds a line to the records, or says why it is none of theirs.
fn take(text: &[u8], known: &mut Option<(Records, Validator)>) -> std::result::Result<(), String> {
    let line: Line =
        serde_json::from_slice(text).map_err(|error| format!("expected a record, got {error}"))?;
    let Some((records, validator)) = known else {
        let Line::Run(run) = line else {
            return Err("expected the line of the run first".into());
        };
        let validator = Validator::new(&run)?;
        *known = Some((Records::new(*run), validator));
        return Ok(());
    };
    match line {
        Line::Run(_) => return Err("a second run in one file".into()),
        Line::Start(start) => {
            validator.start(&start)?;
            records.starts.push(*start);
        }
        Line::Item(item) => {
            validator.item(&item)?;
            records.items.push(*item);
        }
        Line::Sample(sample) => {
            validator.sample(&sample)?;
            records.samples.push(*sample);
        }
        Line::Result(record) => {
            validator.result(&record)?;
            records.results.push(*record);
        }
    }
    Ok(())
}
