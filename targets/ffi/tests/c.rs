//! Programs in C: what the library is for, and what can be done wrong with it.
//!
//! Each is run plain, and compiled with clang's sanitizers. The library is not: what they see is the program, and what the library
//! allocates, frees and copies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use curt::vision::{Image, ImageLimits, decode};

use crate::header::folder;
use crate::support::{checkout, library_or_skip, skip};

/// What a program is compiled with beside its own flags.
const SANITIZERS: [&str; 3] = ["address", "undefined", "thread"];

/// ThreadSanitizer takes what the library's threads do among themselves for races, since it does not see their locks. The first
/// finding ends the program.
const THREAD_OPTIONS: &str =
    "ignore_noninstrumented_modules=1 halt_on_error=1 second_deadlock_stack=1";

/// A C compiler, and what it is told.
fn compiler(sanitizer: Option<&str>) -> Command {
    let mut compiler = Command::new(if sanitizer.is_some() { "clang" } else { "cc" });
    if let Some(sanitizer) = sanitizer {
        compiler.arg(format!("-fsanitize={sanitizer}"));
        compiler.args(["-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]);
    }
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g"]);
    compiler.arg("-I").arg(folder().join("include"));
    compiler
}

fn clang_or_skip(test: &str) -> bool {
    let here = Command::new("clang").arg("--version").output().is_ok();
    if !here {
        skip(
            test,
            "clang, whose sanitizers it uses, is not on this machine's PATH",
        );
    }
    here
}

pub fn succeeded(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles tests/c/`name`.c, links it with the library and runs it: plain, and with each sanitizer. What each run printed.
fn run(test: &str, name: &str, args: &[&Path]) -> Vec<String> {
    let sanitizers = match clang_or_skip(test) {
        true => &SANITIZERS[..],
        false => &[],
    };
    let runs = [None]
        .into_iter()
        .chain(sanitizers.iter().map(|&s| Some(s)));
    runs.map(|sanitizer| run_with(sanitizer, name, args))
        .collect()
}

fn run_with(sanitizer: Option<&str>, name: &str, args: &[&Path]) -> String {
    // Where cargo puts what this test depends on.
    let built = std::env::current_exe().unwrap();
    let built = built.parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join(name);
    let source = folder().join("tests/c").join(name).with_extension("c");
    succeeded(
        compiler(sanitizer)
            .arg(source)
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(built)
            .arg("-lcurt_ffi")
            .arg("-lpthread")
            // AddressSanitizer looks for what throws C++ exceptions when the program starts, and ONNX Runtime, which throws
            // where its loading is cancelled, brings it later.
            .args(
                sanitizer
                    .map(|_| ["-Wl,--no-as-needed", "-lstdc++"])
                    .iter()
                    .flatten(),
            )
            .arg(format!("-Wl,-rpath,{}", built.display())),
    );
    let output = succeeded(
        Command::new(&program)
            .args(args)
            .env("ORT_DISABLE_TELEMETRY", "1")
            .env("TSAN_OPTIONS", THREAD_OPTIONS),
    );
    String::from_utf8(output.stdout).unwrap()
}

fn package(name: &str) -> PathBuf {
    checkout().join("models/packages").join(name)
}

#[test]
fn a_program_of_thirty_lines_asks() {
    let test = "a_program_of_thirty_lines_asks";
    if !library_or_skip(test) {
        return;
    }
    let question = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?";
    for printed in run(test, "hello", &[&package("reasoner"), question.as_ref()]) {
        assert!(printed.contains("\nanswer: 36, 63, 90\n"), "{printed}");
    }
}

#[test]
fn texts_and_images_are_asked_streamed_cancelled_and_looked_into() {
    let test = "texts_and_images_are_asked_streamed_cancelled_and_looked_into";
    if !library_or_skip(test) {
        return;
    }
    let image = package("vqa").join("sample.jpg");
    let decoded = decode(&Image::File(image.clone()), &ImageLimits::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let pixels = dir.path().join("pixels");
    std::fs::write(&pixels, &decoded.rgb).unwrap();
    let [width, height] = [decoded.width, decoded.height].map(|n| n.to_string());
    let (reasoner, vqa) = (package("reasoner"), package("vqa"));
    let args = [&reasoner, &vqa, &image, &pixels].map(PathBuf::as_path);
    let args = [&args[..], &[width.as_ref(), height.as_ref()]].concat();
    for printed in run(test, "ask", &args) {
        assert_eq!(printed, "as it should be\n");
    }
}

#[test]
fn misuse_is_an_error_and_nothing_else() {
    let test = "misuse_is_an_error_and_nothing_else";
    if !library_or_skip(test) {
        return;
    }
    let image = package("vqa").join("sample.jpg");
    for printed in run(
        test,
        "misuse",
        &[&package("reasoner"), &package("vqa"), &image],
    ) {
        assert_eq!(printed, "as it should be\n");
    }
}

/// Whether a program that includes the header compiles.
fn compiles(compiler: &str, args: &[&str], source: &str) -> Option<Output> {
    let dir = tempfile::tempdir().unwrap();
    let extension = if args.iter().any(|arg| arg.contains("++")) {
        "cpp"
    } else {
        "c"
    };
    let file = dir.path().join("includes").with_extension(extension);
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new(compiler);
    command
        .args(args)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command
        .args(["-fsyntax-only", "-I"])
        .arg(folder().join("include"));
    match command.arg(&file).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{command:?} cannot be started: {error}"),
    }
}

#[test]
fn the_header_compiles_in_c_and_cpp_and_takes_no_callback_that_may_throw() {
    let test = "the_header_compiles_in_c_and_cpp_and_takes_no_callback_that_may_throw";
    let callback = |promise: &str| {
        format!(
            "#include \"curt.h\"\n\
             static int32_t told(void *, const CurtEvent *) {promise} {{ return 0; }}\n\
             CurtStatus ask(CurtAnswer *answer) {{ return curt_ask(0, 0, nullptr, told, nullptr, answer); }}\n"
        )
    };
    let mut found = 0;
    for [c, cpp] in [["cc", "c++"], ["clang", "clang++"]] {
        for (compiler, standard, source, fine) in [
            (
                c,
                "-std=c11",
                "#include \"curt.h\"\nint curt;\n".to_owned(),
                true,
            ),
            (
                c,
                "-std=c2x",
                "#include \"curt.h\"\nint curt;\n".to_owned(),
                true,
            ),
            (cpp, "-std=c++11", callback(""), true),
            (cpp, "-std=c++17", callback("noexcept"), true),
            (cpp, "-std=c++17", callback(""), false),
        ] {
            let Some(output) = compiles(compiler, &[standard], &source) else {
                skip(test, &format!("{compiler} is not on this machine's PATH"));
                continue;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.success(),
                fine,
                "{compiler} {standard}: {said}"
            );
            assert!(fine || said.contains("noexcept"), "{said}");
            found += 1;
        }
    }
    assert!(found > 0, "no compiler is on this machine's PATH");
}
