//! `--profile`, on systems made up of the files that real ones have.

use std::path::Path;

use serde_json::Value;

use crate::support::{curt, library_or_skip, text};

const QUESTION: &str =
    "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?";

fn system(celsius: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let zone = "sys/class/thermal/thermal_zone0";
    for (file, said) in [
        (
            "proc/device-tree/compatible",
            "raspberrypi,5-model-b\0brcm,bcm2712\0",
        ),
        ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
        (&format!("{zone}/type"), "cpu-thermal\n"),
        (&format!("{zone}/temp"), celsius),
    ] {
        let file = root.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, said).unwrap();
    }
    root
}

fn ask(root: &Path, more: &[&str]) -> Value {
    let root = root.to_str().unwrap();
    let asked = [
        "ask",
        QUESTION,
        "--profile",
        "auto",
        "--system-root",
        root,
        "--json",
    ];
    let output = curt(&[&asked[..], more].concat()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn notes(answer: &Value) -> String {
    answer["notes"].to_string()
}

#[test]
fn a_profile_bounds_paths_and_heat_takes_more_of_them() {
    if !library_or_skip("a_profile_bounds_paths_and_heat_takes_more_of_them") {
        return;
    }
    let cool = ask(system("55000").path(), &["--paths", "16"]);
    assert_eq!(cool["paths"].as_array().unwrap().len(), 8);
    // Of eight, two go on: the package has heads, and nothing else was asked.
    assert_eq!(cool["checks"][0]["kept"], 2);
    assert!(notes(&cool).contains("8 paths in place of 16: profile raspberry-pi-5"));
    assert!(!notes(&cool).contains("cpu-thermal"), "{}", notes(&cool));

    let hot = ask(system("81500").path(), &["--paths", "16", "--keep", "4"]);
    assert_eq!(hot["paths"].as_array().unwrap().len(), 2);
    assert!(
        notes(&hot).contains("cpu-thermal is at 81.5 °C"),
        "{}",
        notes(&hot)
    );
    // One path is asked for and is no more than any limit.
    let one = ask(system("81500").path(), &[]);
    assert_eq!(one["paths"].as_array().unwrap().len(), 1);
}

#[test]
fn great_heat_sets_a_deadline_where_the_package_has_formats() {
    if !library_or_skip("great_heat_sets_a_deadline_where_the_package_has_formats") {
        return;
    }
    let image = [
        "--package",
        "models/packages/vqa",
        "--image",
        "models/packages/vqa/sample.jpg",
    ];
    let hot = ask(system("86000").path(), &image);
    assert!(notes(&hot).contains("and 8000 ms"), "{}", notes(&hot));
}

#[test]
fn doctor_shows_every_value_and_what_it_rests_on() {
    if !library_or_skip("doctor_shows_every_value_and_what_it_rests_on") {
        return;
    }
    let root = system("55000");
    let asked = [
        "doctor",
        "--profile",
        "auto",
        "--system-root",
        root.path().to_str().unwrap(),
    ];
    let said = text(&curt(&asked).output().unwrap().stdout);
    assert!(
        said.contains(
            "profile         raspberry-pi-5: Raspberry Pi 5 (device tree: raspberrypi,5-model-b)"
        ),
        "{said}"
    );
    for part in [
        "providers: cpu (",
        "paths: 8 (",
        "heat: 2 paths from 80 °C on",
        "not measured",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let unknown = curt(&["doctor", "--profile", "jetson"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("jetson-orin-nano"));
}
