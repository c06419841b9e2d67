//! Tables of the README that come from records are what `curt ablate report` renders of them, row for row.

mod support;

use support::{checkout, curt, text};

/// Stands above such a table: the command that renders it. The table may leave rows out.
const MARK: &str = "<!-- curt ablate report ";

#[test]
fn tables_of_the_readme_are_rendered_from_their_records() {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let mut lines = readme.lines();
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
    assert!(tables > 0, "no table is marked");
}
