//! The page: whole in itself, safe against what a model writes, and right side up in a browser.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use curt_ablate::record::{Folder, Measure, Records, read_records};
use curt_ablate::report::{Table, page};
use curt_ablate::run::run;
use curt_ablate::summary::Summary;
use support::{MadeUp, Nature, asked, items, run_of};

fn records(nature: Nature, measure: Measure) -> Records {
    let dir = tempfile::tempdir().unwrap();
    let settings = run_of(24, measure);
    let items = items(24);
    let mut made_up = MadeUp::new(&settings, nature);
    run(
        &settings,
        &asked(&items),
        &Folder::new(dir.path()),
        false,
        &mut made_up,
        &mut |_| {},
    )
    .unwrap();
    read_records(dir.path()).unwrap()
}

#[test]
fn the_page_needs_nothing_beside_it_and_runs_nothing() {
    for nature in [
        Nature::Mixed,
        Nature::AllRight,
        Nature::AllWrong,
        Nature::Silent,
    ] {
        let records = records(nature, Measure::Replay);
        let summary = Summary::of(&records);
        let page = page(&summary, &records);
        for outside in [
            "http:", "https:", "src=", "url(", "@import", "<script", "<link",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf<"));
        for arm in &summary.arms {
            assert!(
                page.contains(&arm.name.replace('&', "&amp;")),
                "{}",
                arm.name
            );
        }
        let opened = page.matches("<section").count();
        assert_eq!(opened, page.matches("</section>").count());
        assert!(opened >= 6, "{opened} sections");
    }
}

#[test]
fn questions_and_texts_cannot_leave_their_place() {
    let records = records(Nature::AllWrong, Measure::Replay);
    let page = page(&Summary::of(&records), &records);
    assert!(page.contains("Question &lt;0&gt; &amp; more?"));
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;"));
}

#[test]
fn without_paths_the_page_shows_what_is_left() {
    let whole = records(Nature::Mixed, Measure::Replay);
    let small = whole.clone().without_paths();
    let page = page(&Summary::of(&small), &small);
    assert!(page.contains("All figures") && !page.contains("Worst questions"));
}

#[test]
fn a_figure_that_was_not_measured_is_an_empty_cell_and_its_column_goes_with_the_last() {
    let records = records(Nature::Mixed, Measure::Replay);
    let table = Table::of(&Summary::of(&records));
    assert!(
        !table.titles.iter().any(|title| title.contains("J/")),
        "{:?}",
        table.titles
    );
    let check = table
        .titles
        .iter()
        .position(|title| title == "check, %")
        .unwrap();
    let greedy = table.rows.iter().find(|row| row[0] == "greedy").unwrap();
    assert_eq!(greedy[check], "");
    let markdown = table.markdown();
    assert_eq!(markdown.lines().count(), table.rows.len() + 2);
    assert!(
        markdown
            .lines()
            .all(|line| line.matches('|').count() == table.titles.len() + 1)
    );
}

/// Notes that `test` did not run, as the tests of the runtime do.
fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        use std::io::Write;
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "{test}\t{why}").unwrap();
    }
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|file| file.is_file())
}

fn browse(browser: &Path, home: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn a_browser_shows_it_on_a_desk_and_on_a_phone() {
    let Some(browser) = chromium() else {
        skip(
            "a_browser_shows_it_on_a_desk_and_on_a_phone",
            "no Chromium on this machine",
        );
        return;
    };
    let records = records(Nature::Mixed, Measure::Replay);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let page = page(&Summary::of(&records), &records);
    // A copy that says how wide it came to be: nothing of it may stick out.
    let says = "<script>addEventListener('load', () => parent.told(innerWidth, document.documentElement.scrollWidth))</script>";
    std::fs::write(at("report.html"), &page).unwrap();
    std::fs::write(at("telling.html"), page + says).unwrap();
    for width in [360, 390, 800, 1280] {
        let frame = format!(
            "<script>function told(inner, scroll) {{ document.title = inner + ' ' + scroll }}</script>\
             <iframe width={width} height=800 style='border:0' src=telling.html></iframe>"
        );
        std::fs::write(at("frame.html"), frame).unwrap();
        let address = format!("file://{}", at("frame.html").display());
        let dom = browse(
            &browser,
            &at("home"),
            &["--virtual-time-budget=3000", "--dump-dom", &address],
        );
        let dom = String::from_utf8_lossy(&dom).into_owned();
        assert!(
            dom.contains(&format!("<title>{width} {width}</title>")),
            "{width}: {dom}"
        );
    }
    let address = format!("file://{}", at("report.html").display());
    let shot = format!("--screenshot={}", at("shot.png").display());
    browse(
        &browser,
        &at("home"),
        &["--window-size=1280,1600", &shot, &address],
    );
    let image = std::fs::read(at("shot.png")).unwrap();
    assert!(image.starts_with(b"\x89PNG"));
    // An empty page of this size is a PNG of about 10 KB.
    assert!(image.len() > 60_000, "{} bytes", image.len());
}
