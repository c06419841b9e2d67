//! The machine's counters, on a made-up root.

use std::fs;
use std::path::Path;
use std::time::Duration;

use curt_ablate::measure::{Meter, machine};

fn put(root: &Path, file: &str, text: &str) {
    let file = root.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn an_empty_machine_says_nothing_and_never_zero() {
    let root = tempfile::tempdir().unwrap();
    let mut meter = Meter::new(root.path());
    let readings = meter.end(meter.begin());
    assert_eq!(readings, curt_ablate::record::Readings::default());
    assert!(meter.idle_watts(Duration::from_secs(100)).is_empty());
    assert_eq!(machine(root.path()).cpu, "not known");
    assert_eq!(machine(root.path()).memory_mib, None);
}

/// A powercap zone.
fn zone(root: &Path, folder: &str, name: &str, microjoules: u64) {
    let folder = format!("sys/class/powercap/{folder}");
    put(root, &format!("{folder}/name"), &format!("{name}\n"));
    put(root, &format!("{folder}/max_energy_range_uj"), "10000000\n");
    put(
        root,
        &format!("{folder}/energy_uj"),
        &format!("{microjoules}\n"),
    );
}

#[test]
fn rapl_counts_each_package_once_and_wraps() {
    let root = tempfile::tempdir().unwrap();
    let zones = [
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:2", "psys"),
        ("intel-rapl-mmio:0", "package-0"),
        ("dtpm:0", "package-0"),
    ];
    for (folder, name) in zones {
        zone(root.path(), folder, name, 9_000_000);
    }
    let meter = Meter::new(root.path());
    let begun = meter.begin();
    for (folder, name) in zones {
        zone(root.path(), folder, name, 1_500_000);
    }
    zone(root.path(), "intel-rapl:1", "package-1", 9_250_000);
    let joules = meter.end(begun).joules;
    assert_eq!(
        joules.keys().collect::<Vec<_>>(),
        ["package-0", "package-1"]
    );
    assert!((joules["package-0"] - 2.5).abs() < 1e-9, "{joules:?}");
    assert!((joules["package-1"] - 0.25).abs() < 1e-9, "{joules:?}");
}

#[test]
fn a_reading_carries_what_its_own_process_would_have_drawn_idle() {
    let root = tempfile::tempdir().unwrap();
    zone(root.path(), "intel-rapl:0", "package-0", 0);
    let mut meter = Meter::new(root.path());
    assert!(meter.end(meter.begin()).idle_joules.is_empty());
    let counted = root
        .path()
        .join("sys/class/powercap/intel-rapl:0/energy_uj");
    let counts = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        fs::write(counted, "2000000\n").unwrap();
    });
    let idle = meter.idle_watts(Duration::from_millis(500));
    counts.join().unwrap();
    assert_eq!(idle["package-0"], 4.0);
    let clock = std::time::Instant::now();
    let begun = meter.begin();
    std::thread::sleep(Duration::from_millis(100));
    let readings = meter.end(begun);
    let most = 4.0 * clock.elapsed().as_secs_f64();
    assert!(
        (0.4..=most).contains(&readings.idle_joules["package-0"]),
        "{readings:?} of {most}"
    );
}

#[test]
fn sensors_are_integrated_and_the_boards_input_counts_alone() {
    let root = tempfile::tempdir().unwrap();
    let monitor = "sys/class/hwmon/hwmon1";
    put(root.path(), &format!("{monitor}/name"), "ina3221\n");
    for (rail, label, amperes) in [(1, "VDD_CPU", "9000"), (2, "VDD_IN", "2000")] {
        put(root.path(), &format!("{monitor}/in{rail}_label"), label);
        put(root.path(), &format!("{monitor}/in{rail}_input"), "5000\n");
        put(root.path(), &format!("{monitor}/curr{rail}_input"), amperes);
    }
    let meter = Meter::new(root.path());
    let clock = std::time::Instant::now();
    let begun = meter.begin();
    std::thread::sleep(Duration::from_millis(120));
    let joules = meter.end(begun).joules;
    let most = 10.0 * clock.elapsed().as_secs_f64();
    assert_eq!(joules.keys().collect::<Vec<_>>(), ["VDD_IN"]);
    // 5 V × 2 A; the thread that reads begins a moment after.
    assert!(
        joules["VDD_IN"] <= most && joules["VDD_IN"] >= 10.0 * 0.1,
        "{joules:?} of {most}"
    );
}

#[test]
fn the_clock_is_the_highest_of_the_cores_that_may_be_used() {
    let root = tempfile::tempdir().unwrap();
    let clock = |core: usize, khz: &str| {
        put(
            root.path(),
            &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"),
            khz,
        );
    };
    for (core, khz) in [
        (0, "800000\n"),
        (1, "1800000\n"),
        (2, "1000000\n"),
        (11, "3000000\n"),
    ] {
        clock(core, khz);
    }
    let mut meter = Meter::new(root.path());
    assert_eq!(meter.end(meter.begin()).mhz, Some(3000.0));
    for (list, expected) in [("0-2", 1800.0), ("0,2", 1000.0), ("2,10-12", 3000.0)] {
        let status = format!("Name:\tcurt\nCpus_allowed_list:\t{list}\n");
        put(root.path(), "proc/self/status", &status);
        assert_eq!(meter.mhz(), Some(expected), "{list}");
    }
    clock(11, "1500000\n");
    let readings = meter.end(meter.begin());
    assert_eq!(
        (readings.mhz, readings.warm_mhz),
        (Some(1500.0), Some(3000.0))
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_mark_of_resident_memory_is_set_back() {
    let meter = Meter::new(Path::new("/"));
    let before = meter.begin();
    let large = vec![1u8; 96 << 20];
    std::hint::black_box(&large);
    let Some(peak) = meter.end(before).peak_resident_bytes else {
        eprintln!("skipped: this kernel does not set the mark back");
        return;
    };
    drop(large);
    let after = meter.end(meter.begin()).peak_resident_bytes.unwrap();
    assert!(after + (64 << 20) < peak, "{after} after {peak}");
}
