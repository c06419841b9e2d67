//! Deal questions into parts that share no group.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Data;

/// Deals the questions `of` into `parts` parts of about equal size. No group stands in two.
///
/// A group's part depends on the seed and the groups, not on the order of the file.
pub fn deal(data: &Data, of: &[usize], parts: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for &question in of {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(data.questions[question].group.as_bytes());
        groups
            .entry(hash.finalize().into())
            .or_default()
            .push(question);
    }
    let mut dealt: Vec<Vec<usize>> = vec![Vec::new(); parts];
    for group in groups.into_values() {
        if let Some(smallest) = dealt.iter_mut().min_by_key(|part| part.len()) {
            smallest.extend(group);
        }
    }
    for part in &mut dealt {
        part.sort_unstable();
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::{made_up, path};
    use super::*;

    #[test]
    fn no_group_stands_in_two_parts_and_parts_are_even() {
        let groups: Vec<String> = (0..90).map(|q| (q / 3).to_string()).collect();
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        let data = made_up(&names, |q, p| path(q, p, vec![1, 2], p % 2 == 0));
        let all: Vec<usize> = (0..90).collect();
        let dealt = deal(&data, &all, 4, 3);
        let mut seen = Vec::new();
        for part in &dealt {
            assert!((21..=24).contains(&part.len()), "{}", part.len());
            let mut mine: Vec<&str> = part.iter().map(|&q| names[q]).collect();
            mine.dedup();
            assert!(mine.iter().all(|g| !seen.contains(g)));
            seen.extend(mine);
        }
        assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), 90);
        let mut backwards = all.clone();
        backwards.reverse();
        assert_eq!(deal(&data, &backwards, 4, 3), dealt);
        assert_ne!(deal(&data, &all, 4, 4), dealt);
    }
}
