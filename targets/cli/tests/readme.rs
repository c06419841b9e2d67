//! Tables in pages that come from records are what `curt ablate report` renders of them, row for row.

use crate::support;

use support::{checkout, curt, text};

/// Stands above such a table: the command that renders it. The table may leave rows out.
const MARK: &str = "<!-- curt ablate report ";

/// Pages with such tables.
const PAGES: [&str; 3] = [
    "README.md",
    "models/packages/reasoner/heads/README.md",
    "models/workloads/word-problems/heads/README.md",
];

#[test]
fn tables_of_pages_are_rendered_from_their_records() {
    for page in PAGES {
        let text = std::fs::read_to_string(checkout().join(page)).unwrap();
        let tables = tables(&text);
        assert!(tables > 0, "{page}: no table is marked");
    }
}

/// Holds each marked table of a page to its record; how many there are.
fn tables(page: &str) -> usize {
    let mut lines = page.lines();
    let mut tables = 0;
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix(MARK).and_then(|l| l.strip_suffix(" -->")) else {
            continue;
        };
        let rendered = curt(&["ablate", "report"])
            .args(command.split(' '))
            .output()
            .unwrap();
        let error = text(&rendered.stderr);
        assert!(rendered.status.success(), "{command}: {error}");
        let rendered = text(&rendered.stdout);
        let mut rows = 0;
        for row in lines.by_ref().skip_while(|l| l.is_empty()) {
            if !row.starts_with('|') {
                break;
            }
            assert!(
                rendered.lines().any(|r| r == row),
                "{command} does not say\n{row}\nbut\n{rendered}"
            );
            rows += 1;
        }
        assert!(rows > 3, "{command}: a table of {rows} rows");
        tables += 1;
    }
    tables
}
