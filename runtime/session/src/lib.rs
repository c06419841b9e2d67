//! ONNX Runtime behind one boundary.
//!
//! The only crate of curt that depends on `ort`, so that the compiler keeps it out of the others: its release candidates
//! break between versions, its own binding cannot take memory that curt owns ([`Binding`] says why), and every `unsafe`
//! call of the C API lies here.
//!
//! [`load_library`] finds the library, once in a process. A [`Session`] is a graph, loaded; a [`Binding`] is what its
//! runs read and write, and an [`Output`] what [`Session::call`] gave where
//! the graph alone knows how large that is; a [`Placement`] says which execution provider runs which part; a [`CancelToken`] stops a load or
//! a run from another thread.

pub mod attention;
mod binding;
mod bound;
mod call;
mod cancel;
mod error;
mod library;
mod load;
mod options;
mod placement;
mod provider;
mod session;

pub use binding::{Binding, ElementType, Memory, TensorMemory};
pub use bound::{BoundGraph, TensorSpec};
pub use call::{Given, Output};
pub use cancel::{Attached, CancelToken};
pub use error::{Error, Result};
pub use library::{LibraryInfo, LibraryOptions, Telemetry, library_info, load_library};
pub use options::{MAX_THREADS, Providers, SessionOptions};
pub use placement::{Placement, ProviderPlacement};
pub use provider::Provider;
pub use session::Session;
