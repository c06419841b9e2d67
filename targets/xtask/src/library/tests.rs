use super::*;

/// A wheel of ours under the pinned name, and the pin that fits it.
fn small_wheel(dir: &Path) -> (PathBuf, Pin) {
    let mut pin = PINS[0];
    let wheel = dir.join(pin.wheel());
    let make = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1], 'w') as z:\n\
                \x20   z.writestr(sys.argv[2], b'library')\n\
                \x20   z.writestr('onnxruntime/capi/libonnxruntime_providers_shared.so', b'bridge')\n\
                \x20   z.writestr('onnxruntime/LICENSE', b'licence')\n\
                \x20   z.writestr('onnxruntime/capi/other.so', b'other')\n";
    child::succeed(python().script(make).arg(&wheel).arg(pin.member)).unwrap();
    pin.wheel_sha256 = Box::leak(sha256(&wheel).unwrap().into_boxed_str());
    pin.library_bytes = 7;
    (wheel, pin)
}

fn python() -> &'static Python {
    static PYTHON: std::sync::LazyLock<Python> =
        std::sync::LazyLock::new(|| Python::find().unwrap());
    &PYTHON
}

fn put(wheel: &Path) -> impl FnOnce(&Path) -> Result<()> {
    let wheel = wheel.to_path_buf();
    move |dir| {
        std::fs::copy(&wheel, dir.join(wheel.file_name().unwrap()))?;
        Ok(())
    }
}

fn not_called(_: &Path) -> Result<()> {
    panic!("fetched although the library is there")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_pin_is_a_sha256_of_its_own() {
    for (index, pin) in PINS.iter().enumerate() {
        assert_eq!(pin.wheel_sha256.len(), 64, "{}", pin.platform);
        assert!(
            pin.wheel_sha256
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        assert!(
            PINS[..index]
                .iter()
                .all(|other| other.wheel_sha256 != pin.wheel_sha256)
        );
        assert_eq!(Pin::of(pin.platform).unwrap().tag, pin.tag);
    }
}

/// The recipes run the version whose library the Rust side loads, and `curt` looks for it in the folder it is put in.
#[test]
fn everyone_names_the_same_version() {
    for (file, names) in [
        (
            "models/recipes/pyproject.toml",
            format!("\"onnxruntime=={VERSION}\""),
        ),
        (
            "targets/command/src/locate.rs",
            format!("ONNXRUNTIME: &str = \"{VERSION}\""),
        ),
    ] {
        let text = std::fs::read_to_string(child::checkout().join(file)).unwrap();
        assert!(
            text.contains(&names),
            "{file} does not say {names}, the version that xtask fetches"
        );
    }
}

#[test]
fn an_unknown_platform_names_the_remedy() {
    let error = Pin::of("linux-x86_64-musl").unwrap_err().to_string();
    assert!(
        error.contains("linux-x86_64-musl") && error.contains("ORT_DYLIB_PATH"),
        "{error}"
    );
}

#[test]
fn sha256_of_a_known_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("abc");
    std::fs::write(&file, "abc").unwrap();
    // FIPS 180-2, appendix B.1.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(&file).unwrap(), expected);
}

#[test]
fn installs_once_with_what_lies_beside() {
    let dir = tempfile::tempdir().unwrap();
    let (wheel, pin) = small_wheel(dir.path());
    let cache = dir.path().join("cache");
    let library = install(&cache, &pin, python(), put(&wheel)).unwrap();
    assert_eq!(std::fs::read(&library).unwrap(), b"library");
    assert_eq!(
        library,
        cache.join("onnxruntime/1.31.1-linux-x86_64/libonnxruntime.so")
    );
    let beside = [
        "LICENSE",
        "libonnxruntime.so",
        "libonnxruntime_providers_shared.so",
    ];
    assert_eq!(names(library.parent().unwrap()), beside);
    assert_eq!(
        names(&cache.join("onnxruntime")),
        [".lock", "1.31.1-linux-x86_64"]
    );
    assert_eq!(
        install(&cache, &pin, python(), not_called).unwrap(),
        library
    );
}

#[test]
fn a_wheel_with_another_hash_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (wheel, pin) = small_wheel(dir.path());
    let mut bytes = std::fs::read(&wheel).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&wheel, bytes).unwrap();
    let cache = dir.path().join("cache");
    let error = format!(
        "{:#}",
        install(&cache, &pin, python(), put(&wheel)).unwrap_err()
    );
    assert!(
        error.contains(&pin.wheel()) && error.contains(pin.wheel_sha256),
        "{error}"
    );
    assert_eq!(names(&cache.join("onnxruntime")), [".lock"]);
}

#[test]
fn a_failed_fetch_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let error = install(dir.path(), &PINS[0], python(), |_| bail!("no network")).unwrap_err();
    assert_eq!(error.to_string(), "no network");
    assert_eq!(names(&dir.path().join("onnxruntime")), [".lock"]);
}

#[test]
fn a_fetch_that_brings_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = format!(
        "{:#}",
        install(dir.path(), &PINS[0], python(), |_| Ok(())).unwrap_err()
    );
    assert!(error.contains(&PINS[0].wheel()), "{error}");
}

#[test]
fn a_truncated_library_and_leftovers_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (wheel, pin) = small_wheel(dir.path());
    let cache = dir.path().join("cache");
    let library = pin.place(&cache);
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::fs::write(&library, "lib").unwrap();
    std::fs::create_dir_all(cache.join("onnxruntime/.staging-1/unpacked")).unwrap();
    install(&cache, &pin, python(), put(&wheel)).unwrap();
    assert_eq!(std::fs::read(&library).unwrap(), b"library");
    assert_eq!(
        names(&cache.join("onnxruntime")),
        [".lock", "1.31.1-linux-x86_64"]
    );
}

#[test]
fn two_at_once_fetch_once() {
    let dir = tempfile::tempdir().unwrap();
    let (wheel, pin) = small_wheel(dir.path());
    let cache = dir.path().join("cache");
    let fetches = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let fetch = |dir: &Path| {
                    fetches.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    put(&wheel)(dir)
                };
                install(&cache, &pin, python(), fetch).unwrap();
            });
        }
    });
    assert_eq!(fetches.into_inner(), 1);
}
