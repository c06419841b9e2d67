//! Whether a JPEG is whole: its decoder paints what is missing grey, and says nothing.

/// Markers of ITU-T T.81, table B.1, each behind a byte 0xFF.
const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;
/// Markers that stand alone, without a length: TEM, the restarts, the start of an image.
const ALONE: [std::ops::RangeInclusive<u8>; 2] = [0x01..=0x01, 0xD0..=0xD8];

/// Whether the segments of `bytes`, a JPEG, lead to the end of its image. What follows the end is not looked at.
pub(super) fn ends(bytes: &[u8]) -> bool {
    let mut at = 0;
    loop {
        let Some(marker) = marker(bytes, &mut at) else {
            return false;
        };
        if marker == END_OF_IMAGE {
            return true;
        }
        if ALONE.iter().any(|alone| alone.contains(&marker)) {
            continue;
        }
        // The length counts its own two bytes.
        let Some(&[high, low]) = bytes.get(at..at + 2) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([high, low])).max(2);
        if marker == START_OF_SCAN {
            at += coded(bytes.get(at..).unwrap_or_default());
        }
    }
}

/// The marker at or behind `at`, which is moved past it.
fn marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let rest = bytes.get(*at..)?;
    let first = rest.iter().position(|&byte| byte == 0xFF)?;
    // Any number of 0xFF may stand before a marker.
    let fill = rest[first..].iter().position(|&byte| byte != 0xFF)?;
    *at += first + fill + 1;
    Some(rest[first + fill])
}

/// Bytes of the coded data at the start of `bytes`: 0xFF in it is followed by 0, or by a restart.
fn coded(bytes: &[u8]) -> usize {
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7 | 0xFF);
    bytes.windows(2).position(is_marker).unwrap_or(bytes.len())
}
