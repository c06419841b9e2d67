//! What the tests did not do on this machine, and whether that is the machine's fault.
//!
//! A test that lacks something appends a line `<test name>\t<why>` to the file that `CURT_SKIP_LOG` names, says the same
//! on standard error, and returns. Where a processor feature is lacking, `<why>` is `hardware: <flag> ...`, the flags
//! spelled as in /proc/cpuinfo (`hardware: avx512f avx512bw`, `hardware: asimd`), and what follows a `(` is remark. Such
//! a skip is believed only if the machine really lacks one of them, by /proc/cpuinfo and not by our own dispatcher.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const HARDWARE: &str = "hardware:";

/// The file that tests append to, for one run of one command. Removed when dropped.
#[derive(Debug)]
pub(crate) struct SkipLog {
    path: PathBuf,
}

impl SkipLog {
    /// An empty log.
    pub(crate) fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("curt-skips-{}.tsv", std::process::id()));
        crate::cache::remove(&path)?;
        File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every skip logged so far, each once.
    pub(crate) fn read(&self) -> Result<Vec<Skip>> {
        let bytes = std::fs::read(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(parse(&String::from_utf8_lossy(&bytes)))
    }
}

impl Drop for SkipLog {
    fn drop(&mut self) {
        // A leftover in the folder for temporary files harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One thing that was not tested.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Skip {
    /// The test, or a whole step.
    pub(crate) name: String,
    /// What it lacks.
    pub(crate) why: String,
}

fn parse(text: &str) -> Vec<Skip> {
    let mut seen = HashSet::new();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (name, why) = line.split_once('\t').unwrap_or((line, "no reason given"));
            Skip {
                name: name.trim().to_owned(),
                why: why.trim().to_owned(),
            }
        })
        .filter(|skip| seen.insert(skip.clone()))
        .collect()
}

/// The processor's features, by the kernel's word; `None` where the system has no /proc/cpuinfo.
pub(crate) fn cpu_flags() -> Option<HashSet<String>> {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .map(|text| parse_flags(&text))
}

fn parse_flags(cpuinfo: &str) -> HashSet<String> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| matches!(key.trim(), "flags" | "Features"))
        .flat_map(|(_, flags)| flags.split_whitespace().map(str::to_owned))
        .collect()
}

/// How a skip weighs when everything is required.
#[derive(Debug, PartialEq, Eq)]
enum Weight {
    /// Something this machine cannot have: listed.
    Hardware,
    /// The test says that hardware is missing, and this machine has all of it.
    False(String),
    /// Something that could have been there.
    Missing,
}

fn weigh(skip: &Skip, flags: Option<&HashSet<String>>) -> Weight {
    let Some(rest) = skip.why.strip_prefix(HARDWARE) else {
        return Weight::Missing;
    };
    let named = rest.split('(').next().unwrap_or(rest);
    let mut wanted = named
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|flag| !flag.is_empty())
        .peekable();
    if wanted.peek().is_none() {
        return Weight::False("it names no flag of /proc/cpuinfo".to_owned());
    }
    match flags {
        Some(flags) if wanted.all(|flag| flags.contains(flag)) => {
            Weight::False(format!("/proc/cpuinfo lists{}", named.trim_end()))
        }
        _ => Weight::Hardware,
    }
}

/// What was skipped and why, for a person; and how many skips count as failures when everything is required.
pub(crate) fn report(skips: &[Skip], flags: Option<&HashSet<String>>) -> (String, usize) {
    if skips.is_empty() {
        return ("skipped: nothing".to_owned(), 0);
    }
    let mut text = format!("skipped: {}", skips.len());
    let mut failures = 0;
    for skip in skips {
        let weight = weigh(skip, flags);
        failures += usize::from(weight != Weight::Hardware);
        let remark = match weight {
            Weight::False(why) => format!("  [not so: {why}]"),
            Weight::Hardware | Weight::Missing => String::new(),
        };
        text.push_str(&format!("\n  {}: {}{remark}", skip.name, skip.why));
    }
    (text, failures)
}

/// The skip that a line of libtest's output tells of: `test <name> ... ignored[, <why>]`.
pub(crate) fn ignored(line: &str) -> Option<Skip> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let why = outcome.strip_prefix("ignored")?;
    let why = match why.strip_prefix(", ") {
        Some(why) => format!("#[ignore]: {why}"),
        None => "#[ignore]".to_owned(),
    };
    Some(Skip {
        name: name.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(why: &str) -> Skip {
        Skip {
            name: "a::test".to_owned(),
            why: why.to_owned(),
        }
    }

    #[test]
    fn each_line_is_a_skip_and_repeats_count_once() {
        let got = parse("a::test\tno package\n\na::test\tno package\nb\n");
        assert_eq!(
            got,
            [
                skip("no package"),
                Skip {
                    name: "b".into(),
                    why: "no reason given".into()
                }
            ]
        );
    }

    #[test]
    fn flags_of_x86_and_arm() {
        let x86 = parse_flags("processor\t: 0\nflags\t\t: fpu avx2 avx512f\nbugs\t\t: spectre\n");
        assert!(x86.contains("avx512f") && !x86.contains("spectre"));
        assert!(parse_flags("Features\t: fp asimd\n").contains("asimd"));
    }

    #[test]
    fn hardware_is_believed_only_if_it_is_lacking() {
        let flags = HashSet::from(["avx2".to_owned(), "avx512f".to_owned()]);
        let weight = |why| weigh(&skip(why), Some(&flags));
        assert_eq!(weight("hardware: asimd"), Weight::Hardware);
        assert_eq!(
            weight("hardware: avx512f, avx512bw (f16 kernels)"),
            Weight::Hardware
        );
        assert_eq!(
            weight("hardware: avx2 avx512f (asimd)"),
            Weight::False("/proc/cpuinfo lists avx2 avx512f".into())
        );
        assert!(matches!(weight("hardware: "), Weight::False(_)));
        assert_eq!(weight("no package; hardware: asimd"), Weight::Missing);
        assert_eq!(weigh(&skip("hardware: avx2"), None), Weight::Hardware);
    }

    #[test]
    fn only_missing_and_false_skips_fail() {
        let flags = HashSet::from(["avx2".to_owned()]);
        let skips = [
            skip("hardware: asimd"),
            skip("hardware: avx2"),
            skip("no package"),
        ];
        let expected = "skipped: 3\n\
                        \x20 a::test: hardware: asimd\n\
                        \x20 a::test: hardware: avx2  [not so: /proc/cpuinfo lists avx2]\n\
                        \x20 a::test: no package";
        assert_eq!(report(&skips, Some(&flags)), (expected.to_owned(), 2));
        assert_eq!(report(&[], None).1, 0);
    }

    #[test]
    fn ignored_tests_are_skips() {
        assert_eq!(ignored("test a::test ... ignored"), Some(skip("#[ignore]")));
        assert_eq!(
            ignored("test a::test ... ignored, needs a GPU"),
            Some(skip("#[ignore]: needs a GPU"))
        );
        assert_eq!(ignored("test a::test ... ok"), None);
        assert_eq!(
            ignored("test result: ok. 1 passed; 0 failed; 1 ignored"),
            None
        );
    }
}
