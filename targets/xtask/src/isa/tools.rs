//! QEMU, and what it takes to compile for AArch64: the standard library's source and a C library to link.
//!
//! Debian's packages, unpacked into a folder of the cache. The compiler is the one that runs anyway, with the source of the same version; it links
//! with its own linker, statically, so that the emulator needs no libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache::{self, Lock};
use crate::child;
use crate::debian::{self, Apt};
use crate::steps::say;

/// From Debian 13: QEMU 10, the oldest that knows Neoverse V1. Its program is static and runs on Debian 12.
const PACKAGES: [&str; 3] = [
    "qemu-user/trixie",
    "libc6-dev-arm64-cross/trixie",
    "libgcc-14-dev-arm64-cross/trixie",
];

/// What [`ensure()`] unpacked.
#[derive(Debug)]
pub(super) struct Tools {
    dir: PathBuf,
    /// The compiler's version, as in `1.95.0`.
    rust: String,
}

/// Fetches the packages, or finds them fetched.
pub(super) fn ensure(cache: &Path) -> Result<Tools> {
    let rust = rust_version()?;
    let dir = cache.join(format!("isa-{rust}"));
    let _lock = Lock::acquire(&dir)?;
    let complete = dir.join("complete");
    let tools = Tools {
        dir: dir.clone(),
        rust,
    };
    if !complete.is_file() {
        tools.fetch().context(
            "cannot fetch the emulator and the cross-compilation files; they come as Debian packages, through apt",
        )?;
        // Written last, so that an interrupted fetch is not taken for a whole one.
        std::fs::write(&complete, "")
            .with_context(|| format!("cannot write {}", complete.display()))?;
    }
    Ok(tools)
}

fn rust_version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    let output = command
        .arg("--version")
        .output()
        .map_err(|error| child::cannot_start(&command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).map(str::to_owned);
    version.with_context(|| format!("`rustc --version` printed {text:?}"))
}

impl Tools {
    fn fetch(&self) -> Result<()> {
        let root = self.root();
        cache::remove(&root)?;
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        let apt = Apt::new(
            self.dir.join("apt"),
            "amd64",
            &["trixie", "trixie-backports"],
        )?;
        // The exact version, in whatever packaging of it the backports hold.
        let source = format!("rust-src={}+*", self.rust);
        let mut names = vec![source.as_str()];
        names.extend(PACKAGES);
        for package in apt.download(&names)? {
            debian::unpack(&package, &root, &self.members(&package))?;
        }
        for needed in [self.library_source(), self.libc().join("libc.a")] {
            ensure!(
                needed.exists(),
                "the packages did not bring {}",
                needed.display()
            );
        }
        say(&format!("unpacked into {}", root.display()))?;
        apt.remove()
    }

    /// What is needed of a package: the emulators of other processors alone take half a gigabyte.
    fn members(&self, package: &Path) -> Vec<String> {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("qemu-user") {
            let emulators = ["./usr/bin/qemu-aarch64", "./usr/bin/qemu-x86_64"];
            emulators.map(str::to_owned).to_vec()
        } else if name.starts_with("rust-src") {
            vec![format!("./usr/src/rustc-{}/library", self.rust)]
        } else {
            Vec::new()
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    fn library_source(&self) -> PathBuf {
        self.root()
            .join(format!("usr/src/rustc-{}/library", self.rust))
    }

    fn libc(&self) -> PathBuf {
        self.root().join("usr/aarch64-linux-gnu/lib")
    }

    /// The program that runs programs of `target`.
    pub(super) fn emulator(&self, target: &str) -> PathBuf {
        let architecture = target.split('-').next().unwrap_or(target);
        self.root().join(format!("usr/bin/qemu-{architecture}"))
    }

    /// Makes a cargo command for AArch64 compile the standard library too, and link without a C compiler.
    pub(super) fn cross_compile(&self, command: &mut Command) {
        let (libc, gcc) = (
            self.libc(),
            self.root().join("usr/lib/gcc-cross/aarch64-linux-gnu/14"),
        );
        let object =
            |place, folder: &Path, name| format!("{place}={}", folder.join(name).display());
        // What a C compiler adds to a static program by itself. The first objects must come before the libraries.
        let (before, after) = ("-Zpre-link-arg", "-Clink-arg");
        let flags = [
            "-Clinker=rust-lld".to_owned(),
            "-Clinker-flavor=ld.lld".to_owned(),
            "-Ctarget-feature=+crt-static".to_owned(),
            "-Crelocation-model=static".to_owned(),
            object(before, &libc, "crt1.o"),
            object(before, &libc, "crti.o"),
            object(before, &gcc, "crtbeginT.o"),
            // `libm.a` is a script that names files by their absolute paths.
            format!("-Clink-arg=--sysroot={}", self.root().display()),
            format!("-L{}", libc.display()),
            format!("-L{}", gcc.display()),
            "-Clink-args=--start-group -lc -lgcc -lgcc_eh --end-group".to_owned(),
            object(after, &gcc, "crtend.o"),
            object(after, &libc, "crtn.o"),
        ];
        command
            .arg("-Zbuild-std=std,test")
            .arg("--target-dir")
            .arg(self.dir.join("target"))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            // `-Zbuild-std` with a stable compiler, and the source elsewhere than in its own folder.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", self.library_source());
    }
}
