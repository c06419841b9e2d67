//! Profiles: the shipped ones are whole, machines are told apart by what their systems say, heat takes paths and then time.
//! Systems are made up of the files that the real ones have.

use std::path::Path;

use curt_profiles::{Error, Machine, Profile, cores, detect, heat, shipped};

/// Writes `files` below a new root.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let file = root.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    root
}

fn name(root: &Path, architecture: &str) -> Option<(String, String)> {
    let found = detect(&Machine::read(root, architecture)).unwrap()?;
    Some((found.profile.name, found.by))
}

#[test]
fn every_shipped_profile_is_whole_and_says_what_it_rests_on() {
    let all = shipped().unwrap();
    assert_eq!(all.len(), 9);
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../records");
    for profile in &all {
        assert_eq!(Profile::open(&profile.name).unwrap(), *profile);
        assert_eq!(
            profile.provider_list().len(),
            profile.providers.value.len(),
            "{}",
            profile.name
        );
        for [what, value, why, record] in profile.lines() {
            assert!(
                !value.is_empty() && why.len() > 10,
                "{}: {what}",
                profile.name
            );
            let known = record == "not measured" || records.join(&record).is_file();
            assert!(known, "{}: {what}: {record}", profile.name);
        }
    }
}

#[test]
fn boards_phones_and_desktops_are_told_apart() {
    let tree = "proc/device-tree";
    for (files, architecture, expected, by) in [
        (
            vec![
                (
                    "proc/device-tree/compatible",
                    "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
                ),
                (
                    "proc/device-tree/model",
                    "NVIDIA Jetson Orin Nano Developer Kit\0",
                ),
            ],
            "aarch64",
            "jetson-orin-nano",
            "device tree: nvidia,p3767-0005",
        ),
        (
            vec![
                (
                    "proc/device-tree/compatible",
                    "nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
                ),
                (
                    "proc/device-tree/model",
                    "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
                ),
            ],
            "aarch64",
            "jetson-orin-nx",
            "device tree: nvidia,p3767-0000",
        ),
        (
            vec![(
                "sys/firmware/devicetree/base/compatible",
                "nvidia,p3737-0000+p3701-0000\0nvidia,p3701-0000\0nvidia,tegra234\0",
            )],
            "aarch64",
            "jetson-agx-orin",
            "device tree: nvidia,p3737-0000+p3701-0000",
        ),
        (
            vec![
                (
                    "proc/device-tree/compatible",
                    "raspberrypi,5-model-b\0brcm,bcm2712\0",
                ),
                ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
            ],
            "aarch64",
            "raspberry-pi-5",
            "device tree: raspberrypi,5-model-b",
        ),
        // In a container the device tree may be hidden, and cpuinfo is not.
        (
            vec![(
                "proc/cpuinfo",
                "processor\t: 0\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
            )],
            "aarch64",
            "raspberry-pi-5",
            "model: Raspberry Pi 5 Model B Rev 1.0",
        ),
        (
            vec![(
                "system/build.prop",
                "ro.build.id=X\nro.product.system.model=Pixel 8 Pro\n",
            )],
            "aarch64",
            "pixel",
            "model: Pixel 8 Pro",
        ),
        (
            vec![("vendor/build.prop", "ro.product.vendor.model=SM-S918B\n")],
            "aarch64",
            "galaxy",
            "model: SM-S918B",
        ),
        (
            vec![("sys/class/dmi/id/product_name", "OptiPlex 7010\n")],
            "x86_64",
            "x86-desktop",
            "processor: x86_64",
        ),
    ] {
        let root = root(&files);
        let found = name(root.path(), architecture).unwrap();
        assert_eq!(found, (expected.into(), by.into()));
    }
    // A board that nobody knows, and an entry that only contains a known one.
    let other = root(&[
        (&format!("{tree}/compatible"), "acme,board\0"),
        (&format!("{tree}/model"), "Acme Board\0"),
    ]);
    assert_eq!(name(other.path(), "aarch64"), None);
    assert_eq!(name(root(&[]).path(), "riscv64"), None);
}

#[test]
fn the_fastest_cores_are_those_of_the_highest_capacity() {
    let cpu = |n: usize, file: &str| format!("sys/devices/system/cpu/cpu{n}/{file}");
    // Four small, three middle, one large, as phones have them.
    let capacities = [160, 160, 160, 160, 700, 700, 700, 1024];
    let big_little: Vec<(String, String)> = capacities
        .iter()
        .enumerate()
        .map(|(n, capacity)| (cpu(n, "cpu_capacity"), format!("{capacity}\n")))
        .collect();
    let refs = |files: &[(String, String)]| -> tempfile::TempDir {
        let files: Vec<_> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        root(&files)
    };
    assert_eq!(cores::fastest(refs(&big_little).path()), [7]);
    // A hybrid desktop says only its clocks; favoured cores are a little faster than their like.
    let clocks = [5_800_000, 5_700_000, 5_700_000, 4_300_000, 4_300_000];
    let hybrid: Vec<_> = clocks
        .iter()
        .enumerate()
        .map(|(n, clock)| (cpu(n, "cpufreq/cpuinfo_max_freq"), clock.to_string()))
        .collect();
    assert_eq!(cores::fastest(refs(&hybrid).path()), [0, 1, 2]);
    let silent: Vec<_> = (0..3).map(|n| (cpu(n, "online"), "1".into())).collect();
    assert_eq!(cores::fastest(refs(&silent).path()), [0, 1, 2]);
    assert!(cores::fastest(root(&[]).path()).is_empty());
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn a_thread_is_kept_to_cores_that_are_there() {
    std::thread::spawn(|| {
        let all = cores::fastest(Path::new("/"));
        assert!(cores::keep_to(&all));
        assert_eq!(
            std::thread::available_parallelism().unwrap().get(),
            all.len()
        );
        assert!(cores::keep_to(&all[..1]));
        assert_eq!(std::thread::available_parallelism().unwrap().get(), 1);
        assert!(!cores::keep_to(&[]));
    })
    .join()
    .unwrap();
}

#[test]
fn heat_takes_paths_first_and_then_time() {
    let profile = Profile::open("jetson-orin-nano").unwrap();
    let zone = |n: usize, kind: &str, temp: &str| {
        let dir = format!("sys/class/thermal/thermal_zone{n}");
        [
            (format!("{dir}/type"), format!("{kind}\n")),
            (format!("{dir}/temp"), format!("{temp}\n")),
        ]
    };
    let at = |gpu: &str, trip: Option<&str>| {
        let mut files: Vec<(String, String)> = Vec::new();
        files.extend(zone(0, "cpu-thermal", "51000"));
        files.extend(zone(1, "gpu-thermal", gpu));
        // A sensor that sleeps.
        files.extend(zone(2, "cv0-thermal", "-256000"));
        if let Some(trip) = trip {
            let dir = "sys/class/thermal/thermal_zone0";
            files.push((format!("{dir}/trip_point_0_type"), "passive\n".into()));
            files.push((format!("{dir}/trip_point_0_temp"), format!("{trip}\n")));
        }
        let files: Vec<_> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let root = root(&files);
        heat::read_heat(root.path()).unwrap()
    };
    let cool = at("60500", None);
    assert_eq!((cool.zone.as_str(), cool.celsius), ("gpu-thermal", 60.5));
    assert_eq!(profile.limits(&cool), None);
    let hot = profile.limits(&at("86000", None)).unwrap();
    assert_eq!((hot.paths, hot.deadline_ms), (2, None));
    assert!(hot.why.contains("gpu-thermal is at 86.0 °C"), "{}", hot.why);
    let hotter = profile.limits(&at("97000", None)).unwrap();
    assert_eq!((hotter.paths, hotter.deadline_ms), (2, Some(8000)));
    // The system itself has begun to slow down, whatever the profile's limit.
    let slowed = profile.limits(&at("60500", Some("50000"))).unwrap();
    assert_eq!((slowed.paths, slowed.deadline_ms), (2, None));
    assert!(slowed.why.contains("slow it down"), "{}", slowed.why);
    assert_eq!(profile.limits(&at("60500", Some("70000"))), None);
    assert_eq!(heat::read_heat(root(&[]).path()), None);
}

#[test]
fn a_users_file_wins_and_a_wrong_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    let shipped = include_str!("../devices/raspberry-pi-5.toml");
    std::fs::write(&file, shipped.replace("value = 8", "value = 6")).unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(Profile::open(name).unwrap().paths.value, 6);
    for (from, to, expected) in [
        ("name =", "nmae =", "nmae"),
        ("\"cpu\"", "\"gpu\"", "\"gpu\""),
        (
            "value = 8\n",
            "value = 0\n",
            "paths: expected 1 to 1024, got 0",
        ),
        (
            "value = 2\n",
            "value = 9\n",
            "keep: expected at most the 8 paths, got 9",
        ),
        (
            "limit_celsius = 80.0",
            "limit_celsius = nan",
            "limit_celsius",
        ),
        (
            "limit_celsius = 80.0",
            "limit_celsius = 90.0",
            "<= deadline_celsius",
        ),
    ] {
        let wrong = shipped.replacen(from, to, 1);
        assert_ne!(wrong, shipped, "{from}");
        std::fs::write(&file, wrong).unwrap();
        let error = Profile::open(name).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    std::fs::write(&file, "x".repeat(70_000)).unwrap();
    assert!(matches!(Profile::open(name), Err(Error::Read { .. })));
    let unknown = Profile::open("jetson").unwrap_err().to_string();
    assert!(
        unknown.contains("\"jetson\"") && unknown.contains("jetson-orin-nx"),
        "{unknown}"
    );
}
