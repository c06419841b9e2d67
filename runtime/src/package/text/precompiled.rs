//! sentencepiece's character map, as the normalizer `Precompiled` has it: bytes of a double-array trie and the texts that
//! its leaves point at. The crate that reads it follows every index unasked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A unit of the trie (Darts-clone's layout).
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn offset(self) -> usize {
        (self.0 as usize >> 10) << ((self.0 & 1 << 9) >> 6)
    }
}

/// Follows every way through the map of the normalizer `part`. Returns the characters of its longest text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn longest_entry(part: &Value) -> Result<usize, String> {
    let map = part.get("precompiled_charsmap").and_then(Value::as_str);
    let map = map.ok_or("none")?;
    let bytes = STANDARD.decode(map).map_err(|e| format!("base64: {e}"))?;
    let (size, rest) = bytes.split_first_chunk().ok_or("fewer than 4 bytes")?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    let trie = rest.get(..size).ok_or("a trie that is cut short")?;
    let units: Vec<Unit> = trie
        .chunks_exact(4)
        .map(|unit| Unit(u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])))
        .collect();
    let texts = std::str::from_utf8(&rest[size..]).map_err(|e| format!("texts: {e}"))?;
    let root = units.first().ok_or("an empty trie")?;

    let outside = |at: usize| format!("unit {at} of {}", units.len());
    let mut longest = 1;
    let mut seen = vec![false; units.len()];
    let mut open = vec![root.offset()];
    while let Some(base) = open.pop() {
        for byte in 1..=255 {
            let at = base ^ byte as usize;
            let unit = *units.get(at).ok_or_else(|| outside(at))?;
            if unit.label() != byte || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let next = at ^ unit.offset();
            if unit.has_leaf() {
                let leaf = units.get(next).ok_or_else(|| outside(next))?;
                let text = texts.get(leaf.value()..);
                let text = text.ok_or_else(|| format!("text at byte {}", leaf.value()))?;
                let end = text.find('\0').unwrap_or(text.len());
                longest = longest.max(text[..end].chars().count());
            }
            open.push(next);
        }
    }
    Ok(longest)
}
