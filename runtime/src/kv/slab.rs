//! Page-aligned memory of our own, in huge pages where the system gives them.

use std::ops::Range;
use std::ptr::NonNull;

use curt_session::Memory;
use memmap2::MmapMut;

use crate::error::{Error, Result};

/// Pages are this large, or a divisor of it, on the systems curt runs on.
#[cfg(any(target_os = "linux", target_os = "android"))]
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
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the range is the mapping just made, and the advice changes no byte of it. A kernel without huge pages
        // refuses it, and nothing is lost.
        unsafe {
            libc::madvise(map.as_mut_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
        }
        let start = NonNull::new(map.as_mut_ptr())
            .ok_or_else(|| failed(std::io::Error::other("the mapping has no address")))?;
        Ok(Self { map, start, bytes })
    }

    /// Where its bytes lie.
    pub(crate) fn memory(&self) -> Memory {
        Memory::Host
    }

    /// Address of byte `offset`. `None` past the end.
    pub(crate) fn at(&self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: the offset is within the mapping.
        (offset < self.bytes).then(|| unsafe { self.start.add(offset) })
    }

    /// Gives the whole pages within `range` back to the system: their bytes are zero from then on. Returns how many bytes
    /// that were; 0 where the system keeps them.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn release(&mut self, range: Range<usize>) -> u64 {
        let start = range.start.next_multiple_of(PAGE_BYTES);
        let end = range.end.min(self.bytes) / PAGE_BYTES * PAGE_BYTES;
        if start >= end {
            return 0;
        }
        // SAFETY: the mapping is anonymous and private, so that the pages come back zeroed; `&mut self` says that nobody
        // reads them meanwhile, and any bytes are valid ones.
        let advised = unsafe {
            self.map
                .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
        };
        match advised {
            Ok(()) => (end - start) as u64,
            Err(_) => 0,
        }
    }

    /// Gives nothing back: on this system no call is known that takes pages back at once and leaves zeros.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn release(&mut self, _range: Range<usize>) -> u64 {
        0
    }

    /// Bytes of it that lie in memory now; 0 where the system does not say.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn resident_bytes(&self) -> u64 {
        /// Pages asked about in one call.
        const PAGES: usize = 4096;
        // SAFETY: a question about the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let Some(page) = usize::try_from(page).ok().filter(|&page| page > 0) else {
            return 0;
        };
        let mut marks = [0u8; PAGES];
        let mut resident = 0;
        for start in (0..self.bytes).step_by(PAGES * page) {
            let pages = (self.bytes - start).div_ceil(page).min(PAGES);
            // SAFETY: the range begins at a page of the mapping and ends within its last one; `marks` has a byte for each.
            let asked = unsafe {
                libc::mincore(
                    self.start.as_ptr().add(start).cast(),
                    pages * page,
                    marks.as_mut_ptr(),
                )
            };
            if asked == 0 {
                resident += marks[..pages].iter().filter(|&&m| m & 1 == 1).count() * page;
            }
        }
        resident as u64
    }

    /// 0: this system is not asked.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn resident_bytes(&self) -> u64 {
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
// SAFETY: sixteen bits, each pattern of which is a half-precision number.
unsafe impl Element for half::f16 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_no_system_has_is_refused() {
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 50] {
            let error = Slab::new(bytes).err().unwrap();
            assert!(std::error::Error::source(&error).is_some(), "{error}");
        }
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn what_is_touched_is_resident_until_it_is_given_back() {
        let size = 32 << 20;
        let mut slab = Slab::new(size).unwrap();
        assert_eq!(slab.resident_bytes(), 0);
        slab.bytes_mut()[..size / 2].fill(7);
        let resident = slab.resident_bytes();
        // A huge page is 2 MiB and may reach past the middle.
        let most = (size / 2 + (2 << 20)) as u64;
        assert!((size as u64 / 2..=most).contains(&resident), "{resident}");
        let quarter = slab.release(size / 4..size / 2);
        assert_eq!(quarter, size as u64 / 4);
        assert_eq!(slab.resident_bytes(), resident - quarter);
        assert_eq!(slab.bytes()[size / 4 - 1..=size / 4], [7, 0]);
        // Less than a page, and beyond the end.
        assert_eq!(slab.release(1..PAGE_BYTES), 0);
        assert_eq!(slab.release(usize::MAX - PAGE_BYTES * 2..usize::MAX), 0);
    }
}
