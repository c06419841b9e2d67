//! The shipped workloads open, and are the ones that heads and records name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use curt_workload::{Part, Workload};

fn shipped(name: &str) -> (PathBuf, Workload) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let workload = Workload::open(&folder, None).unwrap();
    (folder, workload)
}

/// A digest that changes here is one that every head and record made before has to be made again for.
#[test]
fn the_digests_are_the_ones_that_heads_and_records_name() {
    for (name, digest) in [
        (
            "reasoner",
            "44f4c5e0bffbeed2ebe412db9d36f5e38739c35a64ff0616fe88c161a8e1585d",
        ),
        (
            "word-problems",
            "d0b319824e3617bb851454f52698992f1997c2e2cd9851e1d30898cac3b214a3",
        ),
        (
            "vqa",
            "be7b1bba447cacb71d37c4fcaba96cf0696bca2c6a66ac069bfd516b34051303",
        ),
    ] {
        assert_eq!(shipped(name).1.digest(), digest, "{name}");
    }
}

#[test]
fn they_have_the_parts_that_their_readmes_tell_of() {
    for (name, train, held_out, groups) in [
        ("reasoner", 1500, 1000, 2500),
        ("word-problems", 960, 400, 690),
        ("vqa", 900, 2000, 650),
    ] {
        let (folder, workload) = shipped(name);
        assert_eq!(workload.name(), name);
        assert_eq!(workload.part(Part::Train).len(), train, "{name}");
        assert_eq!(workload.part(Part::HeldOut).len(), held_out, "{name}");
        let units: HashSet<&str> = [Part::Train, Part::HeldOut]
            .iter()
            .flat_map(|&part| workload.part(part))
            .map(curt_workload::Item::unit)
            .collect();
        assert_eq!(units.len(), groups, "{name}");
        assert_eq!(workload.seed(), Some(1), "{name}");
        assert_eq!(workload.licence(), Some("MIT OR Apache-2.0"), "{name}");
        let recipe = workload.recipe().unwrap();
        assert!(
            folder.join("../../..").join(recipe).is_dir(),
            "{name}: {recipe}"
        );
    }
}

#[test]
fn the_answers_are_graded_as_the_packages_write_them() {
    let (_, words) = shipped("word-problems");
    let item = &words.part(Part::HeldOut)[0];
    let answer = &item.answer[0];
    for (found, right) in [
        (answer.as_str(), true),
        (&format!("{answer}1"), false),
        ("", false),
    ] {
        assert_eq!(
            words.grade(item, Some(found), "").unwrap(),
            right,
            "{found}"
        );
    }
    assert!(
        !words.grade(item, None, answer).unwrap(),
        "a path whose text holds no answer is wrong"
    );
    let (_, machines) = shipped("reasoner");
    let item = &machines.part(Part::HeldOut)[0];
    assert!(machines.grade(item, Some(&item.answer[0]), "").unwrap());
    assert!(
        !machines
            .grade(item, Some(&item.answer[0].replacen(", ", ",", 1)), "")
            .unwrap()
    );
}
