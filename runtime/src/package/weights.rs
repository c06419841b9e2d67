//! Where the bytes of a graph's weights lie: in the graph file, or in one beside it.
//!
//! As ONNX Runtime resolves it, so that what is judged here is what it reads: fields of another file count only where the
//! tensor says that its bytes lie outside, names go from the graph file's folder, and a length of 0 means the tensor's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::onnx::{self, Wire};
use crate::error::{Error, Result};
use crate::files;

/// A place in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExternalPlace {
    pub(super) file: PathBuf,
    /// Of its first byte.
    pub(super) offset: u64,
    /// In bytes.
    pub(super) length: u64,
}

impl ExternalPlace {
    /// Where the bytes of `tensor` lie, `None` where that is `graph_file` itself.
    ///
    /// # Errors
    /// [`Error::Package`] where that is no place inside the graph file's folder, or not as large as the tensor.
    pub(super) fn of(graph_file: &Path, tensor: &onnx::Tensor) -> Result<Option<Self>> {
        /// What ONNX Runtime writes in place of a file's name for bytes in its own memory, at an address.
        const MEMORY: &str = "_ORT_MEM_ADDR_";
        if !tensor.is_external {
            return Ok(None);
        }
        let refused = |expected: &str, got: &dyn std::fmt::Display| {
            let field = format!("external data of {:?}", tensor.name);
            Error::package(graph_file, field, expected, got)
        };
        let mut entries = BTreeMap::new();
        for (key, value) in &tensor.entries {
            if entries.insert(key.as_str(), value.as_str()).is_some() {
                return Err(refused("each key once", &format!("{key:?} twice")));
            }
        }
        let location = entries.get("location").copied().unwrap_or_default();
        let file = graph_file
            .parent()
            .filter(|_| !location.contains(MEMORY))
            .and_then(|folder| files::inside(folder, Path::new(location)))
            .ok_or_else(|| refused("a file inside the package", &format!("{location:?}")))?;
        let number = |key: &str| match entries.get(key) {
            None => Ok(0),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| refused(&format!("a number as {key}"), text)),
        };
        let own = stored_bytes(tensor).ok_or_else(|| {
            let got = format!("type {}, {:?}", tensor.data_type, tensor.dims);
            refused("elements of a fixed size, and their number", &got)
        })?;
        let length = number("length")?;
        if length != 0 && length != own {
            let expected = format!("{own} bytes, as its type and shape need");
            return Err(refused(&expected, &length));
        }
        Ok(Some(Self {
            file,
            offset: number("offset")?,
            length: own,
        }))
    }

    /// Shows `take` the bytes, piece by piece. `open` keeps the files open between calls.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Package`] where the file has been cut short.
    pub(super) fn stream(
        &self,
        open: &mut BTreeMap<PathBuf, Wire>,
        take: impl FnMut(&[u8]),
    ) -> Result<()> {
        if !open.contains_key(&self.file) {
            open.insert(self.file.clone(), Wire::open(&self.file)?);
        }
        match open.get_mut(&self.file) {
            Some(wire) => wire.stream(self.offset..self.offset.saturating_add(self.length), take),
            None => Ok(()),
        }
    }
}

/// Bytes of a tensor's elements, from its dimensions and type. `None` where that is no number.
fn stored_bytes(tensor: &onnx::Tensor) -> Option<u64> {
    let (_, bits) = onnx::element_type(tensor.data_type)?;
    let bits = tensor.dims.iter().try_fold(bits, |product, &dim| {
        product.checked_mul(u64::try_from(dim).ok()?)
    })?;
    Some(bits.div_ceil(8))
}

/// The files that hold `tensors`, every one of which lies wholly inside its file: with their sizes.
///
/// # Errors
/// Those of [`ExternalPlace::of`] and [`files::open`], and [`Error::Package`] where a file ends too early.
pub(super) fn files(graph_file: &Path, tensors: &[onnx::Tensor]) -> Result<BTreeMap<PathBuf, u64>> {
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for tensor in tensors {
        let Some(place) = ExternalPlace::of(graph_file, tensor)? else {
            continue;
        };
        let size = match sizes.get(&place.file) {
            Some(size) => *size,
            None => {
                let action = "the weights that the graph names cannot be read";
                let size = files::open(&place.file, action)?.bytes;
                sizes.insert(place.file.clone(), size);
                size
            }
        };
        let end = place.offset.saturating_add(place.length);
        if end > size {
            return Err(Error::package(
                &place.file,
                format!("tensor {:?}", tensor.name),
                format!("at least {end} bytes (is the file cut short?)"),
                format!("{size} bytes"),
            ));
        }
    }
    Ok(sizes)
}
