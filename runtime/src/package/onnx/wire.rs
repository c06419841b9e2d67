//! The fields of a protobuf file, read where they lie through a small buffer.
//!
//! A graph file can hold gigabytes of weights between its names: what nobody asks for is skipped unread. Every number in
//! it is a claim, so that lengths end where their message ends and the fields of one file are counted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// Bytes held of the file at one time.
const BUFFER_BYTES: usize = 64 << 10;

/// Most fields read of one file. A graph of 100,000 nodes has some two million; a file of empty fields up to protobuf's
/// limit of 2 GiB would have a thousand million.
const MAX_FIELDS: u64 = 50_000_000;

/// What a field holds.
#[derive(Debug, Clone)]
pub(in crate::package) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Where the bytes of a text, a message or a list lie in the file.
    Bytes(Range<u64>),
}

/// A field of a message.
#[derive(Debug, Clone)]
pub(in crate::package) struct Field {
    pub(in crate::package) number: u32,
    pub(in crate::package) value: Value,
}

/// A protobuf file, open.
#[derive(Debug)]
pub(in crate::package) struct Wire {
    path: PathBuf,
    file: File,
    bytes: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: u64,
    /// The next byte.
    at: u64,
    fields: u64,
}

impl Wire {
    /// # Errors
    /// Those of [`files::open`].
    pub(in crate::package) fn open(path: &Path) -> Result<Self> {
        let opened = files::open(path, "the package's graph cannot be read")?;
        Ok(Self {
            path: path.into(),
            file: opened.file,
            bytes: opened.bytes,
            buffer: Vec::new(),
            start: 0,
            at: 0,
            fields: 0,
        })
    }

    /// The whole file, as a message.
    pub(in crate::package) fn whole(&self) -> Range<u64> {
        0..self.bytes
    }

    /// Shows `visit` every field of the message that lies at `range`, in order.
    ///
    /// # Errors
    /// [`Error::Package`] where it is no message, [`Error::Io`], and those of `visit`.
    pub(in crate::package) fn fields(
        &mut self,
        range: Range<u64>,
        mut visit: impl FnMut(&mut Self, Field) -> Result<()>,
    ) -> Result<()> {
        let back = self.at;
        self.at = range.start;
        while self.at < range.end {
            let field = self.field(range.end)?;
            visit(self, field)?;
        }
        self.at = back;
        Ok(())
    }

    /// The whole numbers that stand packed at `range`.
    ///
    /// # Errors
    /// Those of [`Self::fields`].
    pub(in crate::package) fn varints(
        &mut self,
        range: Range<u64>,
        mut visit: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let back = self.at;
        self.at = range.start;
        while self.at < range.end {
            visit(self.varint(range.end)?)?;
        }
        self.at = back;
        Ok(())
    }

    /// Shows `take` the bytes at `range`, piece by piece.
    ///
    /// # Errors
    /// [`Error::Package`] where the file ends before they do, [`Error::Io`].
    pub(in crate::package) fn stream(
        &mut self,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let held = self.held(at)?;
            let wanted = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let piece = &self.buffer[held..][..wanted.min(self.buffer.len() - held)];
            take(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// What is wrong with the file at the next byte.
    pub(in crate::package) fn refuse(&self, got: impl std::fmt::Display) -> Error {
        Error::package(
            &self.path,
            "ONNX protobuf",
            "a whole ONNX model",
            format!("{} bytes that do not parse: {got}", self.bytes),
        )
    }

    fn field(&mut self, end: u64) -> Result<Field> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(self.refuse(format!("more than {MAX_FIELDS} fields")));
        }
        let key = self.varint(end)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint(end)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed(end)?)),
            2 => {
                let length = self.varint(end)?;
                let start = self.at;
                let stop = start
                    .checked_add(length)
                    .filter(|&stop| stop <= end)
                    .ok_or_else(|| {
                        self.refuse(format!(
                            "{length} bytes at {start}, and {} are left",
                            end - start
                        ))
                    })?;
                self.at = stop;
                Value::Bytes(start..stop)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed(end)?)),
            other => {
                let at = self.at;
                return Err(self.refuse(format!("wire type {other} before byte {at}")));
            }
        };
        let number = u32::try_from(key >> 3).ok().filter(|&n| n > 0);
        let number = number.ok_or_else(|| self.refuse(format!("field number {}", key >> 3)))?;
        Ok(Field { number, value })
    }

    fn varint(&mut self, end: u64) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(end)?;
            // The tenth byte has one bit to give.
            value |= u64::from(byte & 0x7f) << shift.min(63);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        let at = self.at;
        Err(self.refuse(format!("a number of more than ten bytes before byte {at}")))
    }

    fn fixed<const N: usize>(&mut self, end: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte(end)?;
        }
        Ok(bytes)
    }

    fn byte(&mut self, end: u64) -> Result<u8> {
        if self.at >= end {
            return Err(self.refuse(format!("a message that ends at {end} within a field")));
        }
        let held = self.held(self.at)?;
        self.at += 1;
        Ok(self.buffer[held])
    }

    /// Brings the byte at `at` into the buffer; where in it that is.
    fn held(&mut self, at: u64) -> Result<usize> {
        let within = at.checked_sub(self.start).map(|n| n as usize);
        if let Some(held) = within.filter(|&n| n < self.buffer.len()) {
            return Ok(held);
        }
        self.buffer.resize(BUFFER_BYTES, 0);
        let read = self
            .file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read(&mut self.buffer))
            .map_err(|source| Error::Io {
                file: self.path.clone(),
                action: "the package's graph cannot be read",
                source,
            });
        self.start = at;
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        if read? == 0 {
            return Err(self.refuse(format!("it has been cut short to {at} since it was opened")));
        }
        Ok(0)
    }
}
