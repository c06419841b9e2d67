//! Where a pattern matches, in bounded time.
//!
//! One search is linear in the text; all of them together are not: a pattern such as `.*[^A-Z]|[A-Z]` goes through the rest of
//! the text for each of as many matches as it has letters.

use std::collections::VecDeque;
use std::ops::Range;

use regex::Regex;

/// As many matches of a pattern, from the last, as are looked at for an answer: a text may repeat a mark without end.
pub(super) const MOST_PLACES: usize = 64;

/// Bytes that the searches in one text may go through, each as far as the text goes: as many matches as there can be in a
/// text of 11,000 letters.
const MOST_SEARCHED: usize = 1 << 26;

/// As many bytes of a text, from its end, as are searched where all of it is too much.
const TAIL_BYTES: usize = 8 << 10;

/// The last [`MOST_PLACES`] places of what the pattern finds: of the first group that took part, or of the whole match.
pub(super) fn last_places(pattern: &Regex, text: &str) -> VecDeque<Range<usize>> {
    places_from(pattern, text, 0, MOST_SEARCHED).unwrap_or_else(|| {
        let tail = super::floor(text, text.len().saturating_sub(TAIL_BYTES));
        places_from(pattern, text, tail, usize::MAX).unwrap_or_default()
    })
}

/// The last places from `from` on; `None` where the searches may go through more than `most` bytes.
fn places_from(
    pattern: &Regex,
    text: &str,
    from: usize,
    most: usize,
) -> Option<VecDeque<Range<usize>>> {
    let mut places = VecDeque::with_capacity(MOST_PLACES);
    let (mut at, mut searched) = (from, 0_usize);
    let mut end_before = None;
    while at <= text.len() {
        searched += text.len() - at;
        if searched > most {
            return None;
        }
        let Some((whole, place)) = next(pattern, text, at) else {
            break;
        };
        // What is empty right behind a match is a part of it.
        if !(whole.is_empty() && end_before == Some(whole.end)) {
            if places.len() == MOST_PLACES {
                places.pop_front();
            }
            places.push_back(place);
            end_before = Some(whole.end);
        }
        at = whole.end;
        if whole.is_empty() {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(places)
}

/// The first match from `at` on, and the place of what it finds.
fn next(pattern: &Regex, text: &str, at: usize) -> Option<(Range<usize>, Range<usize>)> {
    if pattern.captures_len() == 1 {
        let whole = pattern.find_at(text, at)?.range();
        return Some((whole.clone(), whole));
    }
    let found = pattern.captures_at(text, at)?;
    let whole = found.get(0)?.range();
    let group = (1..found.len()).find_map(|group| found.get(group));
    Some((whole.clone(), group.map_or(whole, |group| group.range())))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use regex::Regex;

    use super::{MOST_PLACES, last_places};

    #[test]
    fn the_places_are_those_that_the_pattern_finds_one_after_the_other() {
        for pattern in [
            r"\d+",
            r"(a)|(b)",
            r"x*",
            r"(\d)?",
            r"\b",
            r"(?:a|(b))",
            "é",
            r"$",
            r"(?m)^",
        ] {
            let pattern = Regex::new(pattern).unwrap();
            for text in ["", "a1b22\nb é3 xx", "xxax", "éé é", "12"] {
                let all = pattern.captures_iter(text).map(|found| {
                    let group = (1..found.len()).find_map(|group| found.get(group));
                    group.or(found.get(0)).unwrap().range()
                });
                let all: Vec<_> = all.collect();
                let places = Vec::from(last_places(&pattern, text));
                assert_eq!(places, all, "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn searching_takes_bounded_time_and_finds_what_stands_last() {
        let clock = Instant::now();
        for pattern in [r".*[^A-Z]|[A-Z]", r"(.*[^A-Z])|([A-Z])"] {
            let pattern = Regex::new(pattern).unwrap();
            let text = "A".repeat(16 << 20);
            let places = last_places(&pattern, &text);
            assert_eq!(places.len(), MOST_PLACES);
            assert_eq!(places.back().unwrap().end, text.len());
        }
        // Its own iterator would go on for days.
        assert!(
            clock.elapsed() < Duration::from_secs(20),
            "{:?}",
            clock.elapsed()
        );
        let number = Regex::new(r"\d+").unwrap();
        let text = format!("{} 18", "5 é".repeat(1 << 20));
        assert_eq!(
            last_places(&number, &text).back().map(|r| &text[r.clone()]),
            Some("18")
        );
    }
}
