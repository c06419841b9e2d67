//! Token ids to embeddings, for decoders that take these.

use std::ffi::CString;

use curt_session::{Binding, ElementType, Given, Session};
use half::f16;

use super::buffers::{PREFILL_STEP_TOKENS, memory};
use crate::error::{Error, Result};
use crate::kv::Slab;
use crate::package::{EmbeddingGraph, FloatDtype};
use crate::session::{CancelToken, SessionOptions};

/// A loaded embedding graph.
pub(super) struct Embedder {
    // Dropped in this order, as a decoder's.
    binding: Binding,
    session: Session,
    /// `[tokens]`
    ids: Slab,
    /// `[tokens, hidden]` as the graph writes them.
    output: Slab,
    /// What the last call gave, `[tokens, hidden]`.
    embeddings: Vec<f32>,
    names: Names,
    dtype: FloatDtype,
    features_dtype: Option<FloatDtype>,
    hidden: usize,
    /// Tokens that are bound; 0 where none are.
    bound: usize,
}

struct Names {
    input_ids: CString,
    image_features: Option<CString>,
    output: CString,
}

impl Embedder {
    /// Loads the graph.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Io`] or [`Error::Package`] where library, memory or names are refused;
    /// [`Error::Cancelled`].
    pub(super) fn open(graph: &EmbeddingGraph, options: &SessionOptions) -> Result<Self> {
        let session = Session::open(&graph.file, options)?;
        let name = |name: &str| {
            CString::new(name).map_err(|_| {
                let field = "a name in the graph";
                Error::package(&graph.file, field, "no NUL byte", format!("{name:?}"))
            })
        };
        let features = graph.image_features.as_ref();
        let most_bytes = PREFILL_STEP_TOKENS.checked_mul(graph.hidden * graph.dtype.bytes());
        Ok(Self {
            binding: session.binding()?,
            session,
            ids: Slab::new(PREFILL_STEP_TOKENS * size_of::<i64>())?,
            output: Slab::new(most_bytes.unwrap_or(usize::MAX))?,
            embeddings: Vec::new(),
            names: Names {
                input_ids: name(&graph.input_ids)?,
                image_features: features.map(|(text, _)| name(text)).transpose()?,
                output: name(&graph.output)?,
            },
            dtype: graph.dtype,
            features_dtype: features.map(|(_, dtype)| *dtype),
            hidden: graph.hidden,
            bound: 0,
        })
    }

    /// Embeddings of `tokens`: `[tokens, hidden]`. Allocates where no call had so many before.
    ///
    /// # Errors
    /// [`Error::Session`] for ids that the table does not have; [`Error::Cancelled`].
    pub(super) fn embed(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<&[f32]> {
        self.embeddings.clear();
        for tokens in tokens.chunks(PREFILL_STEP_TOKENS) {
            self.run(tokens, cancel)?;
            let count = tokens.len() * self.hidden;
            match self.dtype {
                FloatDtype::F32 => {
                    let written = &self.output.elements::<f32>()[..count];
                    self.embeddings.extend_from_slice(written);
                }
                FloatDtype::F16 => {
                    let written = self.output.elements::<u16>()[..count].iter();
                    let wide = written.map(|&bits| f16::from_bits(bits).to_f32());
                    self.embeddings.extend(wide);
                }
            }
        }
        Ok(&self.embeddings)
    }

    /// As [`Self::embed`], with `features`, `[places, hidden]`, in place of the tokens `placeholder`, in their order.
    ///
    /// # Errors
    /// [`Error::Option`] where there are more or fewer features than places; those of [`Self::embed`].
    pub(super) fn embed_with(
        &mut self,
        tokens: &[u32],
        placeholder: u32,
        features: &[f32],
        cancel: &CancelToken,
    ) -> Result<&[f32]> {
        let places = tokens.iter().filter(|&&token| token == placeholder).count();
        if places * self.hidden != features.len() {
            let expected = format!("image features for {places} image tokens of the prompt");
            let got = format!("{} of them", features.len() / self.hidden);
            return Err(Error::option("images", expected, got));
        }
        if self.names.image_features.is_some() {
            return self.merge(tokens, features, cancel);
        }
        self.embed(tokens, cancel)?;
        let mut features = features.chunks_exact(self.hidden);
        let rows = self.embeddings.chunks_exact_mut(self.hidden);
        for (row, _) in rows.zip(tokens).filter(|(_, token)| **token == placeholder) {
            if let Some(feature) = features.next() {
                row.copy_from_slice(feature);
            }
        }
        Ok(&self.embeddings)
    }

    /// All at once through a graph that puts features in their places.
    fn merge(&mut self, tokens: &[u32], features: &[f32], cancel: &CancelToken) -> Result<&[f32]> {
        let (Some(name), Some(dtype)) = (&self.names.image_features, self.features_dtype) else {
            return Ok(&[]);
        };
        let ids: Vec<u8> = tokens
            .iter()
            .flat_map(|&token| i64::from(token).to_ne_bytes())
            .collect();
        let bytes: Vec<u8> = match dtype {
            FloatDtype::F32 => features.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            FloatDtype::F16 => features
                .iter()
                .flat_map(|&x| f16::from_f32(x).to_ne_bytes())
                .collect(),
        };
        let (ids, bytes) = (aligned(&ids)?, aligned(&bytes)?);
        let count = tokens.len() as i64;
        let hidden = self.hidden as i64;
        let given = [
            Given {
                name: &self.names.input_ids,
                element: ElementType::I64,
                shape: &[1, count],
                bytes: &ids.bytes()[..tokens.len() * size_of::<i64>()],
            },
            Given {
                name,
                element: dtype.into(),
                shape: &[features.len() as i64 / hidden, hidden],
                bytes: &bytes.bytes()[..features.len() * dtype.bytes()],
            },
        ];
        let attached = self.session.cancelled_by(cancel)?;
        let output = self.session.call(&given, &self.names.output);
        drop(attached);
        let output = output.map_err(|error| stopped(error, cancel))?;
        if output.shape() != [1, count, hidden] || output.element() != self.dtype.into() {
            let expected = format!("[1, {count}, {hidden}] from the embedding graph");
            return Err(Error::option(
                "images",
                expected,
                format!("{:?}", output.shape()),
            ));
        }
        self.embeddings.clear();
        self.embeddings.extend(wide(output.bytes(), self.dtype));
        Ok(&self.embeddings)
    }

    fn run(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<()> {
        for (slot, &token) in self.ids.elements_mut::<i64>().iter_mut().zip(tokens) {
            *slot = i64::from(token);
        }
        let _attached = self.session.cancelled_by(cancel)?;
        if self.bound != tokens.len() {
            self.bind(tokens.len())?;
        }
        // SAFETY: everything bound lies in slabs of this value, which are alive and, with `&mut self`, ours alone.
        let ran = unsafe { self.session.run(&self.binding) };
        ran.map_err(|error| stopped(error, cancel))
    }

    fn bind(&mut self, count: usize) -> Result<()> {
        self.bound = 0;
        let (tokens, hidden) = (count as i64, self.hidden as i64);
        // SAFETY: the slabs live as long as the binding.
        unsafe {
            self.binding.input(
                &self.names.input_ids,
                memory(&self.ids, ElementType::I64, &[1, tokens])?,
            )?;
            if let (Some(name), Some(dtype)) = (&self.names.image_features, self.features_dtype) {
                // None of them: their memory is never read.
                self.binding
                    .input(name, memory(&self.ids, dtype.into(), &[0, hidden])?)?;
            }
            self.binding.output(
                &self.names.output,
                memory(&self.output, self.dtype.into(), &[1, tokens, hidden])?,
            )?;
        }
        self.bound = count;
        Ok(())
    }
}

/// The numbers of a tensor.
pub(crate) fn wide(bytes: &[u8], dtype: FloatDtype) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(dtype.bytes()).map(move |b| match dtype {
        FloatDtype::F32 => f32::from_ne_bytes([b[0], b[1], b[2], b[3]]),
        FloatDtype::F16 => f16::from_ne_bytes([b[0], b[1]]).to_f32(),
    })
}

/// `bytes` where any element may begin.
fn aligned(bytes: &[u8]) -> Result<Slab> {
    let mut slab = Slab::new(bytes.len())?;
    slab.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    Ok(slab)
}

/// What a run that failed says, where it was not stopped.
pub(crate) fn stopped(error: curt_session::Error, cancel: &CancelToken) -> Error {
    match cancel.is_cancelled() {
        true => Error::Cancelled { tokens: 0 },
        false => error.into(),
    }
}
