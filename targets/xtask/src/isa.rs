//! `cargo xtask isa`: the kernel tests on instruction sets that this processor has, and on those that it has not.
//!
//! Natively, then in QEMU's user emulation: an older x86-64, one without AVX, and two AArch64 processors. Each run is
//! told what it must find (`EXPECT_ISAS`: see kernels/tests/coverage.rs) and fails where it finds else. Emulated runs take
//! fewer cases (`CURT_KERNEL_CASES=few`): what differs there is the instructions, not the shapes. They say nothing of speed.

mod inlined;
mod tools;

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::cache;
use crate::child;
use crate::skips;
use crate::steps::{Steps, say};
use tools::Tools;

/// The step of a full test run.
pub(crate) const STEP: &str = "kernels on every instruction set";

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

/// A processor that QEMU plays, and the instruction sets that the kernels must find on it.
struct Emulated {
    target: &'static str,
    cpu: &'static str,
    isas: &'static str,
}

const PLAIN: &str = "scalar";
const AVX2: &str = "scalar,avx2";
const AVX512: &str = "scalar,avx2,avx512";
const NEON: &str = "scalar,neon";

const EMULATED: [Emulated; 4] = [
    // QEMU's user emulation has no AVX-512, whatever the processor is called.
    emulated(X86, "Haswell", AVX2),
    emulated(X86, "qemu64", PLAIN),
    // As on a Raspberry Pi 4.
    emulated(ARM, "cortex-a53", NEON),
    // Everything that QEMU knows: what is compiled for Advanced SIMD must not depend on what lies beyond it.
    emulated(ARM, "max", NEON),
];

const fn emulated(target: &'static str, cpu: &'static str, isas: &'static str) -> Emulated {
    Emulated { target, cpu, isas }
}

/// The command itself.
pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    let outcome = all(&mut steps, &cache::dir()?);
    steps.print_table()?;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// One step for the tools, and one for each processor.
pub(crate) fn all(steps: &mut Steps, cache: &Path) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the kernels' emulated tests run on x86-64 Linux alone"
    );
    let flags = skips::cpu_flags().unwrap_or_default();
    steps.run("kernels, native", || {
        let expected = expected(&flags);
        say(&format!("expects {expected}"))?;
        child::succeed(&mut tests(expected))
    })?;
    steps.run("kernels, inlined", || {
        inlined::check(&cache.join("inlined"))
    })?;
    let tools = steps.run("emulator and cross-compilation", || tools::ensure(cache))?;
    for processor in &EMULATED {
        let name = format!("kernels, {} as {}", processor.target, processor.cpu);
        steps.run(&name, || {
            child::succeed(&mut emulated_tests(&tools, processor))
        })?;
    }
    Ok(())
}

/// What the kernels must find on a processor with these flags of /proc/cpuinfo: told without asking them.
fn expected(flags: &HashSet<String>) -> &'static str {
    let has = |wanted: &[&str]| wanted.iter().all(|flag| flags.contains(*flag));
    if !has(&["avx2", "fma", "f16c"]) {
        PLAIN
    } else if !has(&["avx512f", "avx512bw", "avx512dq", "avx512vl"]) {
        AVX2
    } else {
        AVX512
    }
}

fn tests(isas: &str) -> Command {
    let mut command = child::cargo(["test", "--package", "curt-kernels", "--tests"]);
    command.env("EXPECT_ISAS", isas);
    command
}

fn emulated_tests(tools: &Tools, processor: &Emulated) -> Command {
    let mut command = tests(processor.isas);
    let emulator = tools.emulator(processor.target);
    command
        .arg("--config")
        .arg(format!(
            "target.{}.runner=[{:?}, \"-cpu\", {:?}]",
            processor.target, emulator, processor.cpu
        ))
        .env("CURT_KERNEL_CASES", "few");
    // x86-64 runs what was built for this machine.
    if processor.target == ARM {
        command.args(["--target", ARM]);
        tools.cross_compile(&mut command);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_expected_where_all_of_it_is_there() {
        let flags = |text: &str| text.split(' ').map(str::to_owned).collect();
        assert_eq!(expected(&flags("sse2")), PLAIN);
        assert_eq!(expected(&flags("avx2 fma f16c")), AVX2);
        let all = "avx2 fma f16c avx512f avx512bw avx512dq avx512vl";
        assert_eq!(expected(&flags(all)), AVX512);
        assert_eq!(expected(&flags(&all.replace("f16c ", ""))), PLAIN);
    }
}
