//! Read and write head files: safetensors with a header of our own.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{HeadHeader, Pooling};
use crate::error::{Error, Result};
use crate::files;

/// Key of the safetensors metadata that holds the header.
const HEADER_KEY: &str = "curt.stop_head";

/// Most bytes of a head file: a head of all layers of a large model has some megabytes.
const HEAD_BYTES: u64 = 256 << 20;

/// Second token of a listed n-gram that is a single token.
pub const UNIGRAM: u32 = u32::MAX;

/// A head file in memory: header and tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFile {
    /// What it says about itself.
    pub header: HeadHeader,
    /// Queries before rotation: `[layers, kv_heads, queries, head_dim]`; empty without attention pooling.
    pub queries: Vec<f32>,
    /// N-grams looked for in the prefix, ascending: token pairs, the second [`UNIGRAM`] where it is one token.
    pub prefix_ngrams: Vec<[u32; 2]>,
    /// N-grams looked for in the prompt, as those of the prefix.
    pub prompt_ngrams: Vec<[u32; 2]>,
    /// Subtracted from each input: `[inputs]`.
    pub shift: Vec<f32>,
    /// Factor of each input after that: `[inputs]`.
    pub scale: Vec<f32>,
    /// Weights and bias of the hidden layer: `[hidden, inputs]`, `[hidden]`; empty in a linear head.
    pub hidden: (Vec<f32>, Vec<f32>),
    /// Weights and bias of the output: `[hidden]`, or `[inputs]` in a linear head; `[1]`.
    pub output: (Vec<f32>, Vec<f32>),
}

impl HeadFile {
    /// Reads and validates a head file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Package`] where it is no safetensors, has no head's header, or
    /// header and tensors disagree.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = files::read(file, HEAD_BYTES, "the head file cannot be read")?;
        Self::parse(file, &bytes)
    }

    /// As [`Self::read`], of the `bytes` of `file`.
    pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Self> {
        let whole = |e: safetensors::SafeTensorError| {
            Error::package(file, "safetensors", "a whole file of that format", e)
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(whole)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(whole)?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(HEADER_KEY))
            .ok_or_else(|| {
                Error::package(
                    file,
                    "metadata",
                    format!("the key {HEADER_KEY:?} (a stop head made by `curt train-head`)"),
                    "a safetensors file without it",
                )
            })?;
        let header = parse_header(file, header)?;
        header.validate(file)?;
        let mut reader = Reader {
            file,
            tensors: &tensors,
            taken: 0,
        };
        let mut head = Self::empty(header);
        let shapes: Vec<_> = head.floats().map(|(name, shape, _)| (name, shape)).into();
        let mut floats = Vec::new();
        for (name, shape) in shapes {
            floats.push(match shape.contains(&0) {
                true => Vec::new(),
                false => reader.floats(name, &shape)?,
            });
        }
        let mut floats = floats.into_iter();
        let mut next = || floats.next().unwrap_or_default();
        head.queries = next();
        head.shift = next();
        head.scale = next();
        head.hidden = (next(), next());
        head.output = (next(), next());
        if let Some(text) = head.header.text {
            head.prefix_ngrams = reader.ngrams("text.prefix", text.prefix_ngrams)?;
            head.prompt_ngrams = reader.ngrams("text.prompt", text.prompt_ngrams)?;
        }
        let (taken, present) = (reader.taken, tensors.len());
        if taken != present {
            return Err(Error::package(
                file,
                "tensors",
                format!("the {taken} that its header asks for"),
                present,
            ));
        }
        head.validate(file)?;
        Ok(head)
    }

    /// Writes the file under another name and renames it into place. The same head gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Package`] for what [`Self::read`] would refuse, [`Error::Io`] where it cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let bytes = self.to_bytes(file)?;
        let io = |source| Error::Io {
            file: file.into(),
            action: "the head file cannot be written",
            source,
        };
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        let part = Path::new(&name);
        let mut out = fs::File::create(part).map_err(io)?;
        out.write_all(&bytes).map_err(io)?;
        out.sync_all().map_err(io)?;
        fs::rename(part, file).map_err(io)
    }

    pub(super) fn to_bytes(&self, file: &Path) -> Result<Vec<u8>> {
        self.validate(file)?;
        let mut parts: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, shape, values) in self.floats() {
            if !shape.contains(&0) {
                let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                parts.push((name, Dtype::F32, shape, bytes));
            }
        }
        for (name, _, ngrams) in self.ngrams() {
            if self.header.text.is_some() {
                let bytes = ngrams
                    .iter()
                    .flatten()
                    .flat_map(|x| x.to_le_bytes())
                    .collect();
                parts.push((name, Dtype::U32, vec![ngrams.len(), 2], bytes));
            }
        }
        let refused = |e: &dyn std::fmt::Display| {
            Error::package(file, "safetensors", "tensors that fit the format", e)
        };
        let views: Vec<(&str, TensorView<'_>)> = parts
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
            })
            .collect::<std::result::Result<_, safetensors::SafeTensorError>>()
            .map_err(|e| refused(&e))?;
        let text = serde_json::to_string(&self.header).map_err(|e| refused(&e))?;
        let metadata = HashMap::from([(HEADER_KEY.to_string(), text)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| refused(&e))
    }

    fn empty(header: HeadHeader) -> Self {
        Self {
            header,
            queries: Vec::new(),
            prefix_ngrams: Vec::new(),
            prompt_ngrams: Vec::new(),
            shift: Vec::new(),
            scale: Vec::new(),
            hidden: Default::default(),
            output: Default::default(),
        }
    }

    /// Every tensor of floats: name, the shape that the header asks for, numbers. One of no elements is not in the file.
    pub(super) fn floats(&self) -> [(&'static str, Vec<usize>, &[f32]); 7] {
        let header = &self.header;
        let inputs = header.inputs().into_iter().sum();
        let queries = match &header.kv {
            Some(kv) => match kv.pooling {
                Pooling::Mean { .. } => vec![0],
                Pooling::Attend { queries, .. } => {
                    vec![kv.layers.len(), kv.kv_heads, queries, kv.head_dim]
                }
            },
            None => vec![0],
        };
        let hidden = header.hidden;
        let last = if hidden == 0 { inputs } else { hidden };
        [
            ("kv.queries", queries, &self.queries),
            ("input.shift", vec![inputs], &self.shift),
            ("input.scale", vec![inputs], &self.scale),
            ("hidden.weight", vec![hidden, inputs], &self.hidden.0),
            ("hidden.bias", vec![hidden], &self.hidden.1),
            ("output.weight", vec![1, last], &self.output.0),
            ("output.bias", vec![1], &self.output.1),
        ]
    }

    /// Both lists of n-grams: name, the length that the header asks for, n-grams.
    pub(super) fn ngrams(&self) -> [(&'static str, usize, &[[u32; 2]]); 2] {
        let [prefix, prompt] = self
            .header
            .text
            .map_or([0; 2], |t| [t.prefix_ngrams, t.prompt_ngrams]);
        [
            ("text.prefix", prefix, &self.prefix_ngrams),
            ("text.prompt", prompt, &self.prompt_ngrams),
        ]
    }
}

/// Earlier versions of the runtime wrote the constants of a retention rule here, or null: there never was a head with one.
const RETENTION: &str = "retention";

fn parse_header(file: &Path, text: &str) -> Result<HeadHeader> {
    let wrong = |e| Error::package(file, HEADER_KEY, "a header of models/FORMAT.md", e);
    let mut header: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    let retention = header.as_object_mut().and_then(|h| h.remove(RETENTION));
    if let Some(rule) = retention.filter(|rule| !rule.is_null()) {
        return Err(Error::package(
            file,
            RETENTION,
            "null or nothing: say how many paths to keep where the head is used",
            rule,
        ));
    }
    serde_json::from_value(header).map_err(wrong)
}

/// Takes tensors by name, and counts them: what nobody asked for is not ours.
struct Reader<'a> {
    file: &'a Path,
    tensors: &'a SafeTensors<'a>,
    taken: usize,
}

impl<'a> Reader<'a> {
    fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<TensorView<'a>> {
        let expected = format!("{dtype:?} {shape:?}");
        let tensor = self
            .tensors
            .tensor(name)
            .map_err(|_| Error::package(self.file, name, &expected, "no such tensor"))?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(Error::package(self.file, name, expected, got));
        }
        self.taken += 1;
        Ok(tensor)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, Dtype::F32, shape)?;
        let (values, _) = tensor.data().as_chunks::<4>();
        Ok(values.iter().map(|&b| f32::from_le_bytes(b)).collect())
    }

    fn ngrams(&mut self, name: &str, count: usize) -> Result<Vec<[u32; 2]>> {
        let tensor = self.tensor(name, Dtype::U32, &[count, 2])?;
        let (pairs, _) = tensor.data().as_chunks::<8>();
        let ngrams = pairs
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes));
        Ok(ngrams.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::header;
    use super::*;

    fn head() -> HeadFile {
        let header = header();
        let inputs = header.inputs().iter().sum::<usize>();
        HeadFile {
            queries: vec![0.5; 2 * 2 * 3 * 4],
            prefix_ngrams: vec![[3, 4], [7, UNIGRAM]],
            prompt_ngrams: vec![[5, UNIGRAM]],
            shift: vec![0.0; inputs],
            scale: vec![1.0; inputs],
            hidden: (vec![0.25; header.hidden * inputs], vec![0.0; header.hidden]),
            output: (vec![1.0; header.hidden], vec![0.0]),
            header,
        }
    }

    #[test]
    fn what_would_not_be_read_is_not_written() {
        let head = head();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.safetensors");
        let refused = |head: &HeadFile, wanted: &str| {
            let error = head.write(&file).unwrap_err().to_string();
            assert!(error.contains(wanted), "expected {wanted:?} in {error:?}");
            assert!(!file.exists());
        };
        let mut wrong = head.clone();
        wrong.scale[1] = f32::INFINITY;
        refused(&wrong, "input.scale: expected finite");
        let mut wrong = head.clone();
        wrong.prefix_ngrams.pop();
        refused(&wrong, "text.prefix: expected 2 n-grams");
        let mut wrong = head.clone();
        wrong.prefix_ngrams.reverse();
        refused(&wrong, "ascending");
        let mut wrong = head.clone();
        wrong.header.text = None;
        refused(&wrong, "");
        head.write(&file).unwrap();
        assert_eq!(HeadFile::read(&file).unwrap(), head);
    }

    /// The bytes of `head` with another text in its header.
    fn edited(head: &HeadFile, from: &str, to: &str) -> Vec<u8> {
        let bytes = head.to_bytes(Path::new("x")).unwrap();
        let (size, rest) = bytes.split_at(8);
        let size = u64::from_le_bytes(size.try_into().unwrap()) as usize;
        let (text, tensors) = rest.split_at(size);
        let text = std::str::from_utf8(text).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        let text = text.replace(from, to);
        let size = (text.len() as u64).to_le_bytes();
        [size.as_slice(), text.as_bytes(), tensors].concat()
    }

    /// Files of earlier versions say that they have no retention rule.
    #[test]
    fn a_retention_rule_is_null_or_refused() {
        let head = head();
        let with = |value| {
            edited(
                &head,
                "{\\\"version\\\"",
                &format!("{{\\\"retention\\\":{value},\\\"version\\\""),
            )
        };
        let file = Path::new("x");
        assert_eq!(HeadFile::parse(file, &with("null")).unwrap(), head);
        let error = HeadFile::parse(file, &with("{}")).unwrap_err().to_string();
        assert!(error.contains("retention: expected null"), "{error}");
    }

    /// Sizes in the header are claims: what the file does not hold is not allocated.
    #[test]
    fn sizes_that_the_file_does_not_hold_are_refused() {
        let head = head();
        for (field, huge) in [
            ("hidden", "1000000"),
            ("hidden", "18446744073709551615"),
            ("head_dim", "1000"),
            ("head_dim", "18446744073709551615"),
            ("kv_heads", "18446744073709551615"),
            ("prefix_ngrams", "1000000"),
            ("prompt_ngrams", "18446744073709551615"),
        ] {
            let field = format!("\\\"{field}\\\":");
            let bytes = head.to_bytes(Path::new("x")).unwrap();
            let at = bytes
                .windows(field.len())
                .position(|w| w == field.as_bytes());
            let digit = bytes[at.unwrap() + field.len()] as char;
            let edited = edited(&head, &format!("{field}{digit}"), &format!("{field}{huge}"));
            let error = HeadFile::parse(Path::new("x"), &edited).unwrap_err();
            assert!(error.to_string().contains("expected"), "{field} {error}");
        }
    }
}
