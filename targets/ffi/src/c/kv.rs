//! Keys and values, lent.

use std::ptr;
use std::sync::Arc;

use curt::kv::{KvCache, KvKind};

use super::engine::{CurtEngine, ENGINES};
use crate::boundary::{Place, call};
use crate::handles::{Kind, Table};
use crate::resident::Resident;
use crate::status::{CurtStatus, Failure};

/// A view of keys or values. 0 is none.
pub type CurtKvView = u64;

static VIEWS: Table<View> = Table::new(Kind::KvView);

/// What keeps a view's memory where it is.
struct View(Arc<Resident>);

/// Keys or values.
#[repr(u32)]
pub enum CurtKvKind {
    /// Keys, after the rotary embedding.
    Key = 1,
    /// Values.
    Value = 2,
}

/// What an element is.
#[repr(u32)]
#[derive(Clone, Copy, Default)]
pub enum CurtDtype {
    /// IEEE single precision.
    #[default]
    F32 = 1,
    /// IEEE half precision.
    F16 = 2,
    /// bfloat16.
    Bf16 = 3,
}

/// Positions that follow each other: `shape` is kv heads, positions, elements of a head.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CurtKvSegment {
    /// The first element of the first head's first position. To be read only, and only until curt_kv_release.
    pub data: *const u8,
    /// Bytes from there to the end of the last element.
    pub bytes: usize,
    /// Numbers along each axis.
    pub shape: [usize; 3],
    /// Bytes from one to the next along each axis.
    pub strides: [usize; 3],
}

/// Keys or values of one layer and one row: one segment, or two where rows share their prompt, which is the first then.
#[repr(C)]
pub struct CurtKv {
    /// One of CurtDtype.
    pub dtype: u32,
    /// 1 or 2.
    pub segments: u32,
    /// Those that are there; the others are empty.
    pub segment: [CurtKvSegment; 2],
}

/// Borrows keys or values of `layer` (from 0) in `row` (from 0): of what the last question has left, which is row 0, or, in a
/// callback told CURT_EVENT_KIND_CACHED, of its rows. `kind` is one of CurtKvKind.
///
/// What `kv` points to stays where it is, and as it is, until curt_kv_release(view), whatever else is called: until then the
/// engine answers no question (CURT_STATUS_BUSY) and gives nothing back, even when it is closed. What is borrowed in a callback
/// has to be released before that returns; else the question ends with CURT_STATUS_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_kv_borrow(
    engine: CurtEngine,
    layer: u32,
    kind: u32,
    row: u32,
    view: *mut CurtKvView,
    kv: *mut CurtKv,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe {
        let (view, kv) = (Place::at(view, "view")?, Place::at(kv, "kv")?);
        view.put(0);
        let kind = match kind {
            k if k == CurtKvKind::Key as u32 => KvKind::Key,
            k if k == CurtKvKind::Value as u32 => KvKind::Value,
            other => return Err(Failure::argument("kind", "one of CurtKvKind", other)),
        };
        let resident = ENGINES.get(engine)?;
        let place = (layer as usize, kind, row as usize);
        let (lent, handle) = resident.lend(|cache| {
            let lent = of_cache(cache, place)?;
            Ok((lent, VIEWS.insert(Arc::new(View(Arc::clone(&resident))))?))
        })?;
        kv.put(lent);
        view.put(handle);
        Ok(())
    })
}

/// Gives a view back: what it pointed to is not to be read any more.
#[unsafe(no_mangle)]
pub extern "C" fn curt_kv_release(view: CurtKvView) -> CurtStatus {
    call(|| {
        VIEWS.remove(view)?.0.release();
        Ok(())
    })
}

fn of_cache(
    cache: &KvCache,
    (layer, kind, row): (usize, KvKind, usize),
) -> Result<CurtKv, Failure> {
    let layers = [layer];
    let lent = cache.host_view(&layers)?.row(layer, kind, row)?;
    let mut kv = CurtKv {
        dtype: 0,
        segments: 0,
        segment: [CurtKvSegment {
            data: ptr::null(),
            bytes: 0,
            shape: [0; 3],
            strides: [0; 3],
        }; 2],
    };
    for (place, segment) in kv.segment.iter_mut().zip(lent.segments()) {
        let dtype = segment.dtype();
        kv.dtype = match dtype.name() {
            "f32" => CurtDtype::F32 as u32,
            "f16" => CurtDtype::F16 as u32,
            "bf16" => CurtDtype::Bf16 as u32,
            // Integers say nothing without their scales.
            other => {
                let message =
                    format!("keys and values of f32, f16 or bf16 can be borrowed, got {other}");
                return Err(Failure::new(CurtStatus::Option, message));
            }
        };
        let [heads, positions, dim] = segment.shape();
        let element = dtype.bytes();
        let head_stride = segment.head_stride() * element;
        let head = positions * dim * element;
        *place = CurtKvSegment {
            data: segment.head(0).map_or(ptr::null(), <[u8]>::as_ptr),
            bytes: heads.saturating_sub(1) * head_stride + head,
            shape: [heads, positions, dim],
            strides: [head_stride, dim * element, element],
        };
        kv.segments += 1;
    }
    Ok(kv)
}
