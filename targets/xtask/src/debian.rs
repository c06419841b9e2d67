//! Debian packages, fetched with apt into a folder and unpacked there: nothing is installed, and apt's own state stays as
//! it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache;
use crate::child;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt of its own, which knows nothing to be installed.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// One in `dir`, which it empties, for packages of `architecture` in `suites`; its lists are fetched.
    pub(crate) fn new(dir: PathBuf, architecture: &str, suites: &[&str]) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is not there: this is not Debian"
        );
        cache::remove(&dir)?;
        for folder in ["state/lists/partial", "cache/archives/partial", "packages"] {
            let folder = dir.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let write = |name: &str, text: String| {
            let file = dir.join(name);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        let mirror = mirror()?;
        let lines = suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"));
        write("sources.list", lines.collect())?;
        write(
            "apt.conf",
            format!(
                "Dir::State \"{apt}/state\";\nDir::State::status \"/dev/null\";\nDir::Cache \"{apt}/cache\";\n\
                 Dir::Etc::sourcelist \"{apt}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::Etc::preferencesparts \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
                 APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
                 APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n",
                apt = dir.display()
            ),
        )?;
        let apt = Self { dir };
        apt.run(&["update", "--quiet=2"])?;
        Ok(apt)
    }

    /// Fetches these packages alone; each may be `NAME`, `NAME=VERSION` or `NAME/SUITE`.
    pub(crate) fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        self.run(&[&["download", "--quiet=2"], packages].concat())?;
        listed(&self.dir.join("packages"))
    }

    /// Fetches these packages and all that they need, down to the C library.
    pub(crate) fn download_all(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let fetch = ["install", "--download-only", "--yes", "--quiet=2"];
        self.run(&[&fetch[..], packages].concat())?;
        listed(&self.dir.join("cache/archives"))
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        child::succeed(
            Command::new("apt-get")
                .args(args)
                .current_dir(self.dir.join("packages"))
                .env("APT_CONFIG", self.dir.join("apt.conf"))
                .stdout(Stdio::from(std::io::stderr())),
        )
    }

    /// Forgets all of it.
    pub(crate) fn remove(self) -> Result<()> {
        cache::remove(&self.dir)
    }
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut packages = Vec::new();
    for entry in entries {
        let path = entry.context("cannot list the packages")?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

/// Unpacks `members` of a package below `root`; none means all.
pub(crate) fn unpack(package: &Path, root: &Path, members: &[String]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--file", "-", "--directory"])
        .arg(root)
        .args(members);
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
        "`dpkg-deb --fsys-tarfile {}`: {status}",
        package.display()
    );
    Ok(())
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
