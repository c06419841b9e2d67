//! Reading and writing head files: safetensors with a header of our own, every claim of it checked.

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

/// A head file in memory: header and tensors, held against each other.
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
    /// Reads and checks a head file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Package`] where it is no safetensors, has no head's header, or
    /// header and tensors disagree.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = files::read(file, HEAD_BYTES, "the head file cannot be read")?;
        let whole = |e: safetensors::SafeTensorError| {
            Error::package(file, "safetensors", "a whole file of that format", e)
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(whole)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(whole)?;
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
        let header: HeadHeader = serde_json::from_str(header)
            .map_err(|e| Error::package(file, HEADER_KEY, "a header of models/FORMAT.md", e))?;
        header.check(file)?;
        let mut reader = Reader {
            file,
            tensors: &tensors,
            taken: 0,
        };
        let inputs = header.inputs().iter().sum::<usize>();
        let queries = match &header.kv {
            Some(kv) => match kv.pooling {
                Pooling::Mean { .. } => Vec::new(),
                Pooling::Attend { queries, .. } => reader.floats(
                    "kv.queries",
                    &[kv.layers.len(), kv.kv_heads, queries, kv.head_dim],
                )?,
            },
            None => Vec::new(),
        };
        let (prefix_ngrams, prompt_ngrams) = match header.text {
            Some(text) => (
                reader.ngrams("text.prefix", text.prefix_ngrams)?,
                reader.ngrams("text.prompt", text.prompt_ngrams)?,
            ),
            None => Default::default(),
        };
        let shift = reader.floats("input.shift", &[inputs])?;
        let scale = reader.floats("input.scale", &[inputs])?;
        let (hidden, last) = match header.hidden {
            0 => Default::default(),
            n => (
                (
                    reader.floats("hidden.weight", &[n, inputs])?,
                    reader.floats("hidden.bias", &[n])?,
                ),
                n,
            ),
        };
        let last = if last == 0 { inputs } else { last };
        let output = (
            reader.floats("output.weight", &[1, last])?,
            reader.floats("output.bias", &[1])?,
        );
        let (taken, present) = (reader.taken, tensors.len());
        if taken != present {
            return Err(Error::package(
                file,
                "tensors",
                format!("the {taken} that its header asks for"),
                present,
            ));
        }
        Ok(Self {
            header,
            queries,
            prefix_ngrams,
            prompt_ngrams,
            shift,
            scale,
            hidden,
            output,
        })
    }

    /// Writes the file under another name and renames it into place. The same head gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Package`] for what [`Self::read`] would refuse, [`Error::Io`] where it cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        self.header.check(file)?;
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

    fn to_bytes(&self, file: &Path) -> Result<Vec<u8>> {
        let header = &self.header;
        let inputs = header.inputs().iter().sum::<usize>();
        let mut parts: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut floats = |name: &'static str, shape: &[usize], values: &[f32]| {
            let expected: usize = shape.iter().product();
            if values.len() != expected {
                return Err(Error::package(file, name, expected, values.len()));
            }
            check_finite(file, name, values)?;
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            parts.push((name, Dtype::F32, shape.to_vec(), bytes));
            Ok(())
        };
        if let Some(kv) = &header.kv
            && let Pooling::Attend { queries, .. } = kv.pooling
        {
            let shape = [kv.layers.len(), kv.kv_heads, queries, kv.head_dim];
            floats("kv.queries", &shape, &self.queries)?;
        }
        floats("input.shift", &[inputs], &self.shift)?;
        floats("input.scale", &[inputs], &self.scale)?;
        let mut last = inputs;
        if header.hidden > 0 {
            last = header.hidden;
            floats("hidden.weight", &[last, inputs], &self.hidden.0)?;
            floats("hidden.bias", &[last], &self.hidden.1)?;
        }
        floats("output.weight", &[1, last], &self.output.0)?;
        floats("output.bias", &[1], &self.output.1)?;
        let counts = header
            .text
            .map_or([0; 2], |t| [t.prefix_ngrams, t.prompt_ngrams]);
        for (name, ngrams, count) in [
            ("text.prefix", &self.prefix_ngrams, counts[0]),
            ("text.prompt", &self.prompt_ngrams, counts[1]),
        ] {
            if ngrams.len() != count {
                let expected = format!("{count} n-grams, as the header says");
                return Err(Error::package(file, name, expected, ngrams.len()));
            }
            check_order(file, name, ngrams)?;
            if header.text.is_some() {
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
        let text = serde_json::to_string(header).map_err(|e| refused(&e))?;
        let metadata = HashMap::from([(HEADER_KEY.to_string(), text)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| refused(&e))
    }
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
        let values: Vec<f32> = values.iter().map(|&b| f32::from_le_bytes(b)).collect();
        check_finite(self.file, name, &values)?;
        Ok(values)
    }

    fn ngrams(&mut self, name: &str, count: usize) -> Result<Vec<[u32; 2]>> {
        let tensor = self.tensor(name, Dtype::U32, &[count, 2])?;
        let (pairs, _) = tensor.data().as_chunks::<8>();
        let ngrams: Vec<[u32; 2]> = pairs
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes))
            .collect();
        check_order(self.file, name, &ngrams)?;
        Ok(ngrams)
    }
}

fn check_finite(file: &Path, name: &str, values: &[f32]) -> Result<()> {
    match values.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(Error::package(file, name, "finite numbers", x)),
        None => Ok(()),
    }
}

fn check_order(file: &Path, name: &str, ngrams: &[[u32; 2]]) -> Result<()> {
    if ngrams.windows(2).any(|w| w[0] >= w[1]) {
        let expected = "n-grams in ascending order, each once";
        return Err(Error::package(file, name, expected, "another order"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::header;
    use super::*;

    #[test]
    fn what_would_not_be_read_is_not_written() {
        let header = header();
        let inputs = header.inputs().iter().sum::<usize>();
        let head = HeadFile {
            queries: vec![0.5; 2 * 2 * 3 * 4],
            prefix_ngrams: vec![[3, 4], [7, UNIGRAM]],
            prompt_ngrams: vec![[5, UNIGRAM]],
            shift: vec![0.0; inputs],
            scale: vec![1.0; inputs],
            hidden: (vec![0.25; header.hidden * inputs], vec![0.0; header.hidden]),
            output: (vec![1.0; header.hidden], vec![0.0]),
            header,
        };
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
}
