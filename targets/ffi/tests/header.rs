//! `include/curt.h` is what the source says, and compiles wherever it may be included.

use std::path::{Path, PathBuf};

/// Variable that has the header written anew.
const WRITE: &str = "CURT_WRITE_HEADER";

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_header_is_what_the_source_says() {
    let folder = folder();
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_crate(&folder)
        .generate()
        .unwrap()
        .write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let file = folder.join("include/curt.h");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let committed = read(&file);
    assert!(
        committed == made,
        "include/curt.h is not what cbindgen makes of the source: {WRITE}=1 cargo test -p curt-ffi header writes it"
    );
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
