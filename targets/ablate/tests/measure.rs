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
    let meter = Meter::new(root.path());
    let readings = meter.end(meter.begin());
    assert_eq!(readings, curt_ablate::record::Readings::default());
    assert!(meter.idle_watts(Duration::from_secs(100)).is_empty());
    assert_eq!(machine(root.path()).cpu, "not known");
    assert_eq!(machine(root.path()).memory_mib, None);
}

#[test]
fn rapl_counts_whole_packages_and_wraps() {
    let root = tempfile::tempdir().unwrap();
    let zone = "sys/class/powercap/intel-rapl:0";
    for (file, text) in [
        ("name", "package-0\n"),
        ("max_energy_range_uj", "10000000\n"),
        ("energy_uj", "9000000\n"),
    ] {
        put(root.path(), &format!("{zone}/{file}"), text);
        put(
            root.path(),
            &format!("sys/class/powercap/intel-rapl:0:0/{file}"),
            text,
        );
    }
    let meter = Meter::new(root.path());
    let begun = meter.begin();
    put(root.path(), &format!("{zone}/energy_uj"), "1500000\n");
    let joules = meter.end(begun).joules;
    assert_eq!(joules.len(), 1, "{joules:?}");
    assert!((joules["package-0"] - 2.5).abs() < 1e-9, "{joules:?}");
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
fn the_clock_is_the_mean_of_the_cores() {
    let root = tempfile::tempdir().unwrap();
    for (core, khz) in [(0, "1800000\n"), (1, "1000000\n")] {
        put(
            root.path(),
            &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"),
            khz,
        );
    }
    let meter = Meter::new(root.path());
    assert_eq!(meter.end(meter.begin()).mhz, Some(1400.0));
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
