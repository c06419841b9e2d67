//! One run whose output ONNX Runtime allocates.

use std::ffi::CStr;
use std::ptr::NonNull;

use ort::AsPointer;
use ort::session::RunOptions;
use ort::sys;

use crate::error::done;
use crate::{ElementType, Error, Result};

/// An input of a run.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The name that the graph gives it.
    pub name: &'a CStr,
    /// Element type.
    pub element: ElementType,
    /// Dimensions, outermost first.
    pub shape: &'a [i64],
    /// The elements, aligned as their type is.
    pub bytes: &'a [u8],
}

impl Given<'_> {
    fn validate(&self) -> Result<()> {
        let size = self.element.bytes();
        let refused = |expected: String, got: String| Error::Memory {
            name: self.name.to_string_lossy().into_owned(),
            expected,
            got,
        };
        if !self.bytes.as_ptr().addr().is_multiple_of(size) {
            let expected = format!("bytes that begin at a multiple of {size}");
            return Err(refused(expected, format!("{:?}", self.bytes.as_ptr())));
        }
        let needed = self.shape.iter().try_fold(size, |bytes, &dim| {
            bytes.checked_mul(usize::try_from(dim).ok()?)
        });
        if needed != Some(self.bytes.len()) {
            let expected = format!("bytes for {:?} elements of {size} bytes", self.shape);
            return Err(refused(expected, format!("{} bytes", self.bytes.len())));
        }
        Ok(())
    }
}

/// A tensor that a run gave.
pub struct Output {
    value: Value,
    element: ElementType,
    shape: Vec<i64>,
}

// SAFETY: the tensor lies on the host, belongs to this value alone and is only read; ONNX Runtime ties it to no thread.
unsafe impl Send for Output {}

impl Output {
    /// Element type.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Its elements.
    pub fn bytes(&self) -> &[u8] {
        let mut start = std::ptr::null_mut();
        // SAFETY: the value is alive and a tensor on the host, as `Output::of` established.
        let found = unsafe {
            done(
                (ort::api().GetTensorMutableData)(self.value.0.as_ptr(), &mut start),
                "reading an output",
            )
        };
        let count: usize = self.shape.iter().map(|&dim| dim as usize).product();
        match NonNull::new(start.cast::<u8>()) {
            // SAFETY: ONNX Runtime allocated so many elements there, and keeps them as long as the value.
            Some(start) if found.is_ok() => unsafe {
                std::slice::from_raw_parts(start.as_ptr(), count * self.element.bytes())
            },
            // A tensor without elements has no address.
            _ => &[],
        }
    }

    fn of(value: Value, name: &CStr) -> Result<Self> {
        let mut info = std::ptr::null_mut();
        let mut code = sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        let mut rank = 0;
        let mut shape = Vec::new();
        // SAFETY: the value is alive; the information is released once, after it was read into memory of the right size.
        let read = unsafe {
            done(
                (ort::api().GetTensorTypeAndShape)(value.0.as_ptr(), &mut info),
                "describing an output",
            )
            .and_then(|()| {
                let element = (ort::api().GetTensorElementType)(info, &mut code);
                let described = done(element, "describing an output").and_then(|()| {
                    done(
                        (ort::api().GetDimensionsCount)(info, &mut rank),
                        "describing an output",
                    )?;
                    shape.resize(rank, 0i64);
                    done(
                        (ort::api().GetDimensions)(info, shape.as_mut_ptr(), rank),
                        "describing an output",
                    )
                });
                (ort::api().ReleaseTensorTypeAndShapeInfo)(info);
                described
            })
        };
        read?;
        let known = [
            ElementType::F32,
            ElementType::F16,
            ElementType::Bf16,
            ElementType::I8,
            ElementType::I64,
            ElementType::Bool,
        ];
        let element = known.into_iter().find(|element| element.code() == code);
        let element = element.ok_or_else(|| {
            let action = format!("the output {name:?}");
            Error::runtime(
                action,
                format!("a tensor of numbers expected, got {code:?}"),
            )
        })?;
        Ok(Self {
            value,
            element,
            shape,
        })
    }
}

/// A value of ONNX Runtime's, released once.
struct Value(NonNull<sys::OrtValue>);

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the pointer came from ONNX Runtime, and is owned by this value alone.
        unsafe { (ort::api().ReleaseValue)(self.0.as_ptr()) };
    }
}

/// Memory information, released once.
struct Host(NonNull<sys::OrtMemoryInfo>);

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: as for `Value`.
        unsafe { (ort::api().ReleaseMemoryInfo)(self.0.as_ptr()) };
    }
}

pub(crate) fn call(
    session: &ort::session::Session,
    run_options: &RunOptions,
    inputs: &[Given<'_>],
    name: &CStr,
) -> Result<Output> {
    const ACTION: &str = "running the graph";
    let none = || Error::runtime(ACTION, "success, but no value");
    for given in inputs {
        given.validate()?;
    }
    let mut host = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    unsafe {
        done(
            (ort::api().CreateCpuMemoryInfo)(
                sys::OrtAllocatorType::OrtDeviceAllocator,
                sys::OrtMemType::OrtMemTypeDefault,
                &mut host,
            ),
            "describing the host's memory",
        )?;
    }
    let host = NonNull::new(host).map(Host).ok_or_else(none)?;
    let mut values = Vec::with_capacity(inputs.len());
    for given in inputs {
        let mut value = std::ptr::null_mut();
        // SAFETY: memory information and shape are alive, and the bytes are those of the shape (validated) and borrowed
        // beyond this call; graphs do not write to their inputs.
        unsafe {
            done(
                (ort::api().CreateTensorWithDataAsOrtValue)(
                    host.0.as_ptr(),
                    given.bytes.as_ptr().cast_mut().cast(),
                    given.bytes.len(),
                    given.shape.as_ptr(),
                    given.shape.len(),
                    given.element.code(),
                    &mut value,
                ),
                "binding an input",
            )?;
        }
        values.push(NonNull::new(value).map(Value).ok_or_else(none)?);
    }
    let names: Vec<_> = inputs.iter().map(|given| given.name.as_ptr()).collect();
    let pointers: Vec<_> = values.iter().map(|v| v.0.as_ptr().cast_const()).collect();
    let mut output = std::ptr::null_mut();
    // SAFETY: session, options, names and values are alive, and the lists have the lengths that are given.
    unsafe {
        done(
            (ort::api().Run)(
                session.ptr().cast_mut(),
                run_options.ptr(),
                names.as_ptr(),
                pointers.as_ptr(),
                pointers.len(),
                &name.as_ptr(),
                1,
                &mut output,
            ),
            ACTION,
        )?;
    }
    Output::of(NonNull::new(output).map(Value).ok_or_else(none)?, name)
}
