//! Keys, values and queries that end where the memory does: a read of one byte more is a segmentation fault.
use crate::reference;

use curt_kernels::{Attend, Cached, Dense, Isa, KvView, Mean, SplitAttention};
use reference::{Buffer, DTYPES, Numbers, Scales};

/// Memory whose last byte lies before a page that cannot be read.
struct Guarded {
    map: *mut u8,
    /// Bytes of the map, the last page included.
    size: usize,
    page: usize,
    len: usize,
}

impl Guarded {
    fn new(bytes: &[u8]) -> Self {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let size = bytes.len().next_multiple_of(page) + page;
        // SAFETY: a new map of this process's own, of which the last page is then taken away. Nobody else knows it.
        let map = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let last = map.byte_add(size - page);
            assert_eq!(libc::mprotect(last, page, libc::PROT_NONE), 0);
            map.cast::<u8>()
        };
        let guarded = Self {
            map,
            size,
            page,
            len: bytes.len(),
        };
        // SAFETY: as many bytes end where the readable pages do.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), guarded.start(), bytes.len()) };
        guarded
    }

    fn start(&self) -> *mut u8 {
        self.map.wrapping_add(self.size - self.page - self.len)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `new` has written them.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }

    fn floats(&self) -> &[f32] {
        // SAFETY: the end is aligned to a page, so the start is to four bytes, of which there is a multiple.
        unsafe { std::slice::from_raw_parts(self.start().cast(), self.len / 4) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the map of `new`.
        unsafe { libc::munmap(self.map.cast(), self.size) };
    }
}

fn guarded(floats: &[f32]) -> Guarded {
    let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_ne_bytes()).collect();
    Guarded::new(&bytes)
}

#[test]
fn nothing_is_read_beyond_the_last_element() {
    let mut numbers = Numbers(12);
    for head_dim in [1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128] {
        for len in [1, 2, 3, 5, 17, 35] {
            for dtype in DTYPES {
                let elements = numbers.take(len * head_dim, 9.0);
                let shape = [1, len, head_dim];
                let buffer = Buffer::new(dtype, shape, 0, 0, Scales::None, &elements);
                let memory = Guarded::new(buffer.view().head(0).unwrap());
                let view = KvView::new(memory.bytes(), dtype, shape, 0).unwrap();
                let queries = guarded(&numbers.take(3 * head_dim, 0.1));
                for variant in Isa::available().filter_map(Attend::new) {
                    let mut results = [vec![0.0; 3 * head_dim], vec![0.0; 3 * head_dim]];
                    let scratch = guarded(&vec![0.0; Attend::scratch_len(3, head_dim)]);
                    for (view, out) in [view, buffer.view()].iter().zip(&mut results) {
                        // SAFETY: memory of this test's own, which nothing else refers to meanwhile.
                        let scratch = unsafe {
                            std::slice::from_raw_parts_mut(scratch.start().cast(), scratch.len / 4)
                        };
                        let queries = queries.floats();
                        variant
                            .pool(&[*view], &[*view], 0, queries, scratch, out)
                            .unwrap();
                    }
                    assert_eq!(results[0], results[1], "{variant:?}, {dtype:?}, {shape:?}");
                }
                for variant in Isa::available().filter_map(Mean::new) {
                    let mut out = vec![0.0; head_dim];
                    variant.pool(&[view], 0, &mut out).unwrap();
                }
            }
        }
        let (weights, input) = (
            guarded(&numbers.take(5 * head_dim, 1.0)),
            guarded(&numbers.take(3 * head_dim, 1.0)),
        );
        for variant in Isa::available().filter_map(Dense::new) {
            let (weights, input) = (weights.floats(), input.floats());
            let mut out = [0.0; 15];
            variant
                .apply(weights, &[0.0; 5], input, 3, &mut out)
                .unwrap();
        }
    }
}

#[test]
fn split_attention_reads_nothing_beyond_the_last_key() {
    let mut numbers = Numbers(21);
    for head_dim in [16, 64, 80] {
        for positions in [1, 3, 15, 16, 17, 33, 64] {
            let elements = numbers.take(positions * head_dim, 1.0);
            let shape = [1, positions, head_dim];
            let caches = DTYPES.map(|dtype| {
                let buffer = Buffer::new(dtype, shape, 0, 0, Scales::None, &elements);
                (dtype, Guarded::new(buffer.view().head(0).unwrap()))
            });
            let queries = guarded(&numbers.take(5 * head_dim, 0.1));
            let states = guarded(&vec![0.0; 5 * SplitAttention::state_len(head_dim)]);
            let scratch = guarded(&vec![0.0; SplitAttention::scratch_len(head_dim)]);
            let out = guarded(&vec![0.0; 5 * head_dim]);
            for variant in Isa::available().filter_map(SplitAttention::new) {
                // SAFETY: memory of this test's own, which nothing else refers to meanwhile.
                let [states, scratch, out] = [&states, &scratch, &out].map(|memory| unsafe {
                    std::slice::from_raw_parts_mut(memory.start().cast::<f32>(), memory.len / 4)
                });
                let queries = queries.floats();
                for (dtype, memory) in &caches {
                    let cache = Cached {
                        keys: memory.bytes(),
                        values: memory.bytes(),
                        dtype: *dtype,
                    };
                    variant
                        .attend(queries, cache, positions, head_dim, None, scratch, states)
                        .unwrap();
                }
                let others = states.to_vec();
                variant.merge(states, &others, head_dim).unwrap();
                variant.finish(states, head_dim, out).unwrap();
                assert!(out.iter().all(|x| x.is_finite()));
            }
        }
    }
}
