//! QEMU, and what it takes to compile for AArch64: the standard library's source and a C library to link.
//!
//! Debian's packages, fetched with apt into a folder of the cache and unpacked there: nothing is installed, and apt's
//! own state stays as it is. The compiler is the one that runs anyway, with the source of the same version; it links
//! with its own linker, statically, so that the emulator needs no libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache::{self, Lock};
use crate::child;
use crate::steps::say;

/// From Debian 13: QEMU 10, the oldest that knows Neoverse V1. Its program is static and runs on Debian 12.
const PACKAGES: [&str; 3] = [
    "qemu-user/trixie",
    "libc6-dev-arm64-cross/trixie",
    "libgcc-14-dev-arm64-cross/trixie",
];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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

/// The mirror that this machine's own apt takes Debian from.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    let output = command
        .args([
            "indextargets",
            "--format",
            "$(CREATED_BY) $(RELEASE) $(SITE)",
        ])
        .output()
        .map_err(|error| child::cannot_start(&command, &error))?;
    let targets = String::from_utf8_lossy(&output.stdout).into_owned();
    mirror_of(&targets).map(str::to_owned).with_context(|| {
        format!("`apt-get indextargets` names no mirror of a release of Debian, but {targets:?}")
    })
}

/// The site of the first release, not one of its updates or security fixes, in lines of `Packages RELEASE SITE`.
fn mirror_of(targets: &str) -> Option<&str> {
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (kind, release, site) = (words.next()?, words.next()?, words.next()?);
        (kind == "Packages" && !release.is_empty() && !release.contains('-')).then_some(site)
    })
}

impl Tools {
    fn fetch(&self) -> Result<()> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is not there: this is not Debian"
        );
        let (apt, root) = (self.dir.join("apt"), self.root());
        cache::remove(&apt)?;
        cache::remove(&root)?;
        for folder in ["state/lists/partial", "cache/archives/partial", "packages"] {
            let folder = apt.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let write = |name: &str, text: String| {
            let file = apt.join(name);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        let mirror = mirror()?;
        let suite = |suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        write("sources.list", suite("trixie") + &suite("trixie-backports"))?;
        write(
            "apt.conf",
            format!(
                "Dir::State \"{apt}/state\";\nDir::State::status \"/dev/null\";\nDir::Cache \"{apt}/cache\";\n\
                 Dir::Etc::sourcelist \"{apt}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::Etc::preferencesparts \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
                 APT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\n",
                apt = apt.display()
            ),
        )?;
        self.apt(&["update", "--quiet=2"])?;
        // The exact version, in whatever packaging of it the backports hold.
        let source = format!("rust-src={}+*", self.rust);
        let mut download = vec!["download", "--quiet=2", source.as_str()];
        download.extend(PACKAGES);
        self.apt(&download)?;
        let packages = apt.join("packages");
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        for entry in std::fs::read_dir(&packages)
            .with_context(|| format!("cannot list {}", packages.display()))?
        {
            let package = entry.context("cannot list the packages")?.path();
            self.unpack(&package)?;
        }
        for needed in [self.library_source(), self.libc().join("libc.a")] {
            ensure!(
                needed.exists(),
                "the packages did not bring {}",
                needed.display()
            );
        }
        say(&format!("unpacked into {}", root.display()))?;
        cache::remove(&apt)
    }

    /// Unpacks of a package what is needed: the emulators of other processors alone take half a gigabyte.
    fn unpack(&self, package: &Path) -> Result<()> {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--file", "-", "--directory"])
            .arg(self.root());
        if name.starts_with("qemu-user") {
            tar.args(["./usr/bin/qemu-aarch64", "./usr/bin/qemu-x86_64"]);
        } else if name.starts_with("rust-src") {
            tar.arg(format!("./usr/src/rustc-{}/library", self.rust));
        }
        let mut contents = Command::new("dpkg-deb");
        contents.arg("--fsys-tarfile").arg(package);
        let mut unpacking = contents
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| child::cannot_start(&contents, &error))?;
        let archive = unpacking
            .stdout
            .take()
            .context("a piped child has no standard output")?;
        let unpacked = child::succeed(tar.stdin(archive));
        let status = unpacking.wait().context("cannot wait for `dpkg-deb`")?;
        unpacked?;
        ensure!(
            status.success(),
            "`dpkg-deb --fsys-tarfile {name}`: {status}"
        );
        Ok(())
    }

    fn apt(&self, args: &[&str]) -> Result<()> {
        let apt = self.dir.join("apt");
        child::succeed(
            Command::new("apt-get")
                .args(args)
                .current_dir(apt.join("packages"))
                .env("APT_CONFIG", apt.join("apt.conf"))
                .stdout(Stdio::from(std::io::stderr())),
        )
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

#[cfg(test)]
mod tests {
    use super::mirror_of;

    #[test]
    fn the_mirror_is_that_of_the_release_itself() {
        let targets = "DEP-11 bookworm http://a/debian\nPackages bookworm-security http://b/debian-security\n\
                       Packages bookworm http://a/debian\n";
        assert_eq!(mirror_of(targets), Some("http://a/debian"));
        assert_eq!(mirror_of("Packages stable-updates http://a/debian\n"), None);
        assert_eq!(mirror_of(""), None);
    }
}
