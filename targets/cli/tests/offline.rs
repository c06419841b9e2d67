//! What no command does: write to the home folder, start the library's telemetry, look up a name.

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{curt, library_or_skip, text};

const QUESTION: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4.";

/// Runs what follows where there is no network, and then prints the kernel's counts of what was tried.
const APART: [&str; 5] = [
    "unshare",
    "-rn",
    "sh",
    "-c",
    "\"$@\"; status=$?; cat /proc/net/snmp /proc/net/snmp6 >&2; exit $status",
];

/// Sends that found no way out, as every look-up of a name does where there is no network.
fn unreachable_sends(stderr: &str) -> u64 {
    let lines: Vec<&str> = stderr.lines().filter(|l| l.starts_with("Ip: ")).collect();
    let [names, counts] = lines[..] else {
        panic!("no counts of the kernel in {stderr}");
    };
    let of_ip4 = names
        .split_whitespace()
        .zip(counts.split_whitespace())
        .find(|(name, _)| *name == "OutNoRoutes");
    let of_ip6 = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("Ip6OutNoRoutes"));
    of_ip4
        .map(|(_, count)| count)
        .into_iter()
        .chain(of_ip6.map(str::trim))
        .map(|count| count.parse::<u64>().unwrap())
        .sum()
}

/// `line`, off the network, with an empty home and everything that the library takes for "no telemetry" away.
fn apart(line: &Command, home: &Path, telemetry: Option<&str>) -> Output {
    let mut command = Command::new(APART[0]);
    command
        .args(&APART[1..])
        .arg("sh")
        .arg(line.get_program())
        .args(line.get_args())
        .current_dir(support::checkout())
        .env("HOME", home)
        .env("ORT_DYLIB_PATH", library());
    for variable in [
        "XDG_CACHE_HOME",
        "CURT_CACHE_DIR",
        "ORT_DISABLE_TELEMETRY",
        "CI",
        "GITHUB_ACTIONS",
        "TF_BUILD",
    ] {
        command.env_remove(variable);
    }
    if let Some(value) = telemetry {
        command.env("ORT_DISABLE_TELEMETRY", value);
    }
    command.output().unwrap()
}

fn library() -> PathBuf {
    let doctor = text(&curt(&["doctor"]).output().unwrap().stdout);
    let line = doctor.lines().find(|l| l.starts_with("ONNX Runtime"));
    let file = line.and_then(|l| Some(l.rsplit_once(" (")?.1.trim_end_matches(')').to_string()));
    file.unwrap().into()
}

fn can_be_apart() -> bool {
    let status = Command::new(APART[0]).args([APART[1], "true"]).status();
    status.is_ok_and(|status| status.success())
}

/// # Panics
/// Where `command` wrote to its home, or tried to reach anything.
fn keeps_to_itself(args: &[&str], telemetry: Option<&str>) -> Output {
    let home = tempfile::tempdir().unwrap();
    let output = apart(&curt(args), home.path(), telemetry);
    let written: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(written.is_empty(), "{args:?}, {telemetry:?}: {written:?}");
    let stderr = text(&output.stderr);
    assert_eq!(unreachable_sends(&stderr), 0, "{args:?}, {telemetry:?}");
    output
}

#[test]
fn a_look_up_would_be_seen() {
    if !can_be_apart() {
        return support::skip(
            "a_look_up_would_be_seen",
            "no network namespace of our own here",
        );
    }
    let home = tempfile::tempdir().unwrap();
    let mut lookup = Command::new("bash");
    lookup.args(["-c", "exec 3<>/dev/udp/192.0.2.1/53 || true"]);
    let output = Command::new(APART[0])
        .args(&APART[1..])
        .arg("sh")
        .arg(lookup.get_program())
        .args(lookup.get_args())
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(unreachable_sends(&text(&output.stderr)) > 0);
}

#[test]
fn telemetry_stays_off_whatever_the_variable_says() {
    let test = "telemetry_stays_off_whatever_the_variable_says";
    if !library_or_skip(test) {
        return;
    }
    if !can_be_apart() {
        return support::skip(test, "no network namespace of our own here");
    }
    for value in [None, Some(""), Some("0"), Some("2"), Some("1")] {
        let ask = ["ask", QUESTION, "--quiet", "--max-tokens", "4"];
        let output = keeps_to_itself(&ask, value);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn every_command_keeps_to_itself() {
    let test = "every_command_keeps_to_itself";
    if !library_or_skip(test) {
        return;
    }
    if !can_be_apart() {
        return support::skip(test, "no network namespace of our own here");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (run, paths, heads) = (at("run"), at("paths"), at("heads"));
    let cascade = at("cascade.json");
    let workload = "models/workloads/reasoner";
    // One line for each command; each does what it is for, but for fitting to too little.
    let lines: [&[&str]; 8] = [
        &["ask", QUESTION, "--quiet", "--max-tokens", "4"],
        &[
            "ablate",
            "--package",
            "models/packages/reasoner",
            "--workload",
            workload,
            "--limit",
            "1",
            "--arms",
            "greedy",
            "--threads",
            "1",
            "--out",
            &run,
        ],
        &["workload", "check", workload],
        &["inspect", "models/packages/reasoner"],
        &["doctor"],
        &[
            "collect",
            "--workload",
            workload,
            "--limit",
            "1",
            "--paths",
            "2",
            "--threads",
            "1",
            "--out",
            &paths,
        ],
        &[
            "train-head",
            "--data",
            &paths,
            "--out",
            &heads,
            "--threads",
            "1",
        ],
        &[
            "calibrate",
            "--package",
            "models/packages/vqa",
            "--workload",
            "models/workloads/vqa",
            "--limit",
            "4",
            "--threads",
            "1",
            "--out",
            &cascade,
        ],
    ];
    let help = text(&curt(&["--help"]).output().unwrap().stdout);
    let commands: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        // A server goes on until it is stopped: its own tests hold it to loopback.
        .filter(|name| !["", "help", "serve"].contains(name))
        .collect();
    let tried: BTreeSet<&str> = lines.iter().map(|line| line[0]).collect();
    assert!(
        commands.is_subset(&tried),
        "{commands:?} of which tried: {tried:?}"
    );
    for line in lines.into_iter().filter(|line| commands.contains(line[0])) {
        let output = keeps_to_itself(line, Some("0"));
        let error = text(&output.stderr);
        assert!(
            output.status.success() || ["train-head", "calibrate"].contains(&line[0]),
            "{line:?}: {error}"
        );
    }
}
