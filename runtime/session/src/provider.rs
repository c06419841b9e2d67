//! Execution providers: what they are called, and how each is registered with a session that is being built.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::memory::DeviceType;
use ort::session::builder::SessionBuilder;

use crate::Error;

/// A backend of ONNX Runtime that runs nodes of a graph.
///
/// Whether one can be used is found in three steps, each of which can say no: this build of curt has it (a cargo feature),
/// the library has it, and its own libraries and a device are there. `Display` and `FromStr` are its word on a command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The processor. Always there; takes every node that no provider before it takes.
    Cpu,
    /// Apple's neural engine, graphics and processor (feature `coreml`).
    CoreMl,
    /// NVIDIA's graphics (feature `cuda`).
    Cuda,
    /// Android's neural networks (feature `nnapi`). Deprecated by Android 15; its own fallback to the processor is off.
    Nnapi,
    /// Qualcomm's accelerators (feature `qnn`).
    Qnn,
    /// NVIDIA's compiler of graphs (feature `tensorrt`).
    TensorRt,
    /// Any graphics that Vulkan, Metal or Direct3D reach (feature `webgpu`).
    WebGpu,
    /// A processor's other kernels, with threads of their own (feature `xnnpack`).
    Xnnpack,
    /// One that comes as a library of its own, which ONNX Runtime loads from this file. Needs no feature.
    Plugin(PathBuf),
}

/// Providers that have a word of their own, in the order of the alphabet.
const NAMED: [Provider; 8] = [
    Provider::CoreMl,
    Provider::Cpu,
    Provider::Cuda,
    Provider::Nnapi,
    Provider::Qnn,
    Provider::TensorRt,
    Provider::WebGpu,
    Provider::Xnnpack,
];

impl Provider {
    /// The name that ONNX Runtime gives it. A plugin's is known once it is registered; until then, its file.
    pub fn name(&self) -> String {
        let name = match self {
            Provider::Cpu => "CPUExecutionProvider",
            Provider::CoreMl => "CoreMLExecutionProvider",
            Provider::Cuda => "CUDAExecutionProvider",
            Provider::Nnapi => "NnapiExecutionProvider",
            Provider::Qnn => "QNNExecutionProvider",
            Provider::TensorRt => "TensorrtExecutionProvider",
            Provider::WebGpu => "WebGpuExecutionProvider",
            Provider::Xnnpack => "XnnpackExecutionProvider",
            Provider::Plugin(file) => return file.display().to_string(),
        };
        name.into()
    }

    /// Whether this build of curt can register it. That says nothing of the library or the machine.
    pub fn is_compiled_in(&self) -> bool {
        match self {
            Provider::Cpu | Provider::Plugin(_) => true,
            Provider::CoreMl => cfg!(feature = "coreml"),
            Provider::Cuda => cfg!(feature = "cuda"),
            Provider::Nnapi => cfg!(feature = "nnapi"),
            Provider::Qnn => cfg!(feature = "qnn"),
            Provider::TensorRt => cfg!(feature = "tensorrt"),
            Provider::WebGpu => cfg!(feature = "webgpu"),
            Provider::Xnnpack => cfg!(feature = "xnnpack"),
        }
    }

    /// Those with a word of their own that this build of curt can register.
    pub fn compiled_in() -> impl Iterator<Item = Provider> {
        NAMED.into_iter().filter(Provider::is_compiled_in)
    }

    fn word(&self) -> Option<&'static str> {
        Some(match self {
            Provider::Cpu => "cpu",
            Provider::CoreMl => "coreml",
            Provider::Cuda => "cuda",
            Provider::Nnapi => "nnapi",
            Provider::Qnn => "qnn",
            Provider::TensorRt => "tensorrt",
            Provider::WebGpu => "webgpu",
            Provider::Xnnpack => "xnnpack",
            Provider::Plugin(_) => return None,
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.word(), self) {
            (Some(word), _) => f.write_str(word),
            (None, Provider::Plugin(file)) => write!(f, "{}", file.display()),
            (None, _) => f.write_str(&self.name()),
        }
    }
}

impl FromStr for Provider {
    type Err = Error;

    /// A word, or the path of a plugin: what has a folder in it, or ends as libraries do.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(named) = NAMED.into_iter().find(|p| p.word() == Some(text)) {
            return Ok(named);
        }
        let library = [".so", ".dll", ".dylib"];
        if text.contains(['/', '\\']) || library.iter().any(|end| text.ends_with(end)) {
            return Ok(Provider::Plugin(text.into()));
        }
        let words: Vec<_> = NAMED.iter().filter_map(Provider::word).collect();
        Err(Error::Option {
            field: "providers",
            expected: format!("{}, or the path of a plugin's library", words.join(", ")),
            got: format!("{text:?}"),
        })
    }
}

/// A provider that a session is being built with.
pub(crate) struct Registered {
    /// As ONNX Runtime names it.
    pub(crate) name: String,
    /// What it runs on, where the library says.
    pub(crate) device: Option<String>,
}

/// Registers `provider`, which runs on `threads` threads if it has any of its own, with `builder`. The CPU needs none of it.
///
/// # Errors
/// Why it cannot be, in a sentence.
pub(crate) fn register(
    provider: &Provider,
    environment: &'static Environment,
    builder: SessionBuilder,
    threads: usize,
) -> Result<(SessionBuilder, Registered), String> {
    if let Provider::Plugin(file) = provider {
        return register_plugin(file, environment, builder);
    }
    if !provider.is_compiled_in() {
        return Err(format!(
            "this build of curt is without it: build with `--features {provider}`"
        ));
    }
    let builder = register_built_in(provider, builder, threads).map_err(|e| one_line(&e))?;
    let registered = Registered {
        name: provider.name(),
        device: None,
    };
    Ok((builder, registered))
}

#[allow(
    unused_variables,
    unused_mut,
    reason = "which of them are needed depends on the features"
)]
fn register_built_in(
    provider: &Provider,
    mut builder: SessionBuilder,
    threads: usize,
) -> ort::Result<SessionBuilder> {
    match provider {
        #[cfg(feature = "coreml")]
        Provider::CoreMl => ort::ep::CoreML::default()
            .with_model_format(ort::ep::coreml::ModelFormat::MLProgram)
            .build()
            .register(&mut builder)?,
        #[cfg(feature = "cuda")]
        // TF32 keeps ten bits of a mantissa: greedy ids would not be the processor's.
        Provider::Cuda => ort::ep::CUDA::default()
            .with_tf32(false)
            .build()
            .register(&mut builder)?,
        #[cfg(feature = "nnapi")]
        Provider::Nnapi => ort::ep::NNAPI::default()
            .with_disable_cpu(true)
            .build()
            .register(&mut builder)?,
        #[cfg(feature = "qnn")]
        Provider::Qnn => ort::ep::QNN::default().build().register(&mut builder)?,
        #[cfg(feature = "tensorrt")]
        Provider::TensorRt => ort::ep::TensorRT::default()
            .build()
            .register(&mut builder)?,
        #[cfg(feature = "webgpu")]
        // With NHWC, its own choice, the library places nodes in two passes and tells of the second alone (1.30).
        Provider::WebGpu => ort::ep::WebGPU::default()
            .with_preferred_layout(ort::ep::webgpu::PreferredLayout::NCHW)
            .build()
            .register(&mut builder)?,
        #[cfg(feature = "xnnpack")]
        Provider::Xnnpack => {
            let mut xnnpack = ort::ep::XNNPACK::default();
            if let Some(threads) = std::num::NonZeroUsize::new(threads) {
                xnnpack = xnnpack.with_intra_op_num_threads(threads);
            }
            xnnpack.build().register(&mut builder)?;
        }
        // Those that are not compiled in were refused before; the CPU is always there.
        _ => {}
    }
    Ok(builder)
}

/// Plugins that ONNX Runtime has loaded, and the provider that each has brought. It keeps them for the process's life.
static PLUGINS: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

fn register_plugin(
    file: &Path,
    environment: &'static Environment,
    builder: SessionBuilder,
) -> Result<(SessionBuilder, Registered), String> {
    let name = plugin(file, environment)?;
    let ours = |kind| {
        environment.devices().find(|device| {
            device.ep().ok() == Some(name.as_str()) && kind == Some(device.hardware_device().ty())
        })
    };
    // Who names a plugin wants what the processor is not.
    let kinds = [DeviceType::GPU, DeviceType::NPU, DeviceType::CPU];
    let device = kinds.into_iter().find_map(|kind| ours(Some(kind)));
    let device = device.ok_or_else(|| format!("{name} offers no device on this machine"))?;
    let hardware = device.hardware_device();
    let described = format!(
        "{:?} {}",
        hardware.ty(),
        hardware.vendor().unwrap_or_default()
    );
    let builder = builder
        .with_devices([device], None)
        .map_err(|e| one_line(&ort::Error::from(e)))?;
    let registered = Registered {
        name,
        device: Some(described.trim_end().into()),
    };
    Ok((builder, registered))
}

/// The provider in `file`, loaded if it was not.
fn plugin(file: &Path, environment: &'static Environment) -> Result<String, String> {
    let file = std::fs::canonicalize(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if !file.is_file() {
        // A pipe would never end to load.
        return Err(format!("{} is not a file", file.display()));
    }
    let mut plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, name)) = plugins.iter().find(|(known, _)| *known == file) {
        return Ok(name.clone());
    }
    let names = || -> Vec<String> {
        let devices = environment.devices();
        devices
            .filter_map(|device| device.ep().ok().map(str::to_owned))
            .collect()
    };
    let before = names();
    // Its registration's name may be anything that no other has; one that ends in `.virtual` would ask for devices that
    // compile and cannot run.
    let registration = format!("curt plugin {}", plugins.len());
    environment
        .register_ep_library(registration, &file)
        .map_err(|e| one_line(&e))?;
    // The first of several is the plugin's own; others are variants of it.
    let new = names().into_iter().find(|name| !before.contains(name));
    let name = new.ok_or_else(|| {
        format!(
            "{} was loaded and offers no device on this machine",
            file.display()
        )
    });
    if let Ok(name) = &name {
        plugins.push((file, name.clone()));
    }
    name
}

/// What the library says, on one line.
fn one_line(error: &ort::Error) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_a_path_are_told_apart() {
        for provider in NAMED {
            assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
        }
        for path in ["./x", "/opt/libprovider.so", "ep.dll", "a/b.dylib"] {
            let plugin = path.parse::<Provider>().unwrap();
            assert_eq!(plugin, Provider::Plugin(path.into()));
            assert_eq!(plugin.to_string(), path);
        }
        for unknown in ["", "CUDA", "gpu", "cuda "] {
            let error = unknown.parse::<Provider>().unwrap_err().to_string();
            assert!(error.contains("coreml, cpu, cuda"), "{error}");
            assert!(error.contains(&format!("{unknown:?}")), "{error}");
        }
    }
}
