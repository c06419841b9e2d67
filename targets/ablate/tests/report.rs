//! The page: whole in itself, safe against what a model writes, and right side up in a browser.

use crate::support;

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
        &mut [&mut made_up],
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
