//! Page-aligned memory of our own, in huge pages where the system gives them.

use std::ops::Range;
use std::ptr::NonNull;

use memmap2::MmapMut;

use crate::error::{Error, Result};

/// Pages are this large, or a divisor of it, on the systems curt runs on.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 64 << 10;

/// Anonymous mapped memory: zeroed, page-aligned, at one address for its life, resident only where touched.
///
/// Huge pages are advised: reading keys and values from DRAM is 25–50 % faster with them.
pub(crate) struct Slab {
    /// Owns the mapping; all access goes through `start`.
    map: MmapMut,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a slab is plain memory owned by this value.
unsafe impl Send for Slab {}
// SAFETY: shared access only reads.
unsafe impl Sync for Slab {}

impl Slab {
    /// Maps `bytes` (at least one page).
    ///
    /// # Errors
    /// [`Error::Io`] where the system refuses.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let failed = |source| Error::Io {
            file: format!("{bytes} bytes of anonymous memory").into(),
            action: "the system refuses to map them: ask for fewer `paths` or `max_tokens`",
            source,
        };
        let bytes = bytes.max(1);
        let mut map = MmapMut::map_anon(bytes).map_err(failed)?;
        #[cfg(target_os = "linux")]
        {
            // Advice: a kernel without huge pages refuses it, and nothing is lost.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let start = NonNull::new(map.as_mut_ptr())
            .ok_or_else(|| failed(std::io::Error::other("the mapping has no address")))?;
        Ok(Self { map, start, bytes })
    }

    /// Address of byte `offset`. `None` past the end.
    pub(crate) fn at(&self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: the offset is within the mapping.
        (offset < self.bytes).then(|| unsafe { self.start.add(offset) })
    }

    /// Gives the whole pages within `range` back to the system: their bytes are zero from then on. Returns how many bytes
    /// that were; 0 where the system keeps them.
    pub(crate) fn release(&mut self, range: Range<usize>) -> u64 {
        #[cfg(target_os = "linux")]
        {
            let start = range.start.next_multiple_of(PAGE_BYTES);
            let end = range.end.min(self.bytes) / PAGE_BYTES * PAGE_BYTES;
            if start < end {
                // SAFETY: the mapping is anonymous and private, so that the pages come back zeroed; `&mut self` says that
                // nobody reads them meanwhile, and any bytes are valid ones.
                let advised = unsafe {
                    self.map.unchecked_advise_range(
                        memmap2::UncheckedAdvice::DontNeed,
                        start,
                        end - start,
                    )
                };
                return if advised.is_ok() {
                    (end - start) as u64
                } else {
                    0
                };
            }
        }
        let _ = range;
        0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is valid for `bytes`, zeroed at first; whoever writes holds `&mut self` (or runs a graph
        // on it, which needs `&mut` of its owner).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// The slab as elements of `T`, a plain number type.
    pub(crate) fn elements<T: Element>(&self) -> &[T] {
        // SAFETY: pages are aligned for every number type, every bit pattern is one (`Element`), and the length is
        // rounded down.
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().cast(), self.bytes / size_of::<T>())
        }
    }

    /// As [`Self::elements`], to write.
    pub(crate) fn elements_mut<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as `elements`, and the borrow is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes / size_of::<T>())
        }
    }
}

/// Number types of which every bit pattern is a value.
///
/// # Safety
/// Any sequence of bytes of the type's size must be a valid value, and its alignment at most a page.
pub(crate) unsafe trait Element: Copy {}
// SAFETY: plain numbers.
unsafe impl Element for f32 {}
// SAFETY: plain numbers.
unsafe impl Element for i64 {}
// SAFETY: plain numbers.
unsafe impl Element for u16 {}
