"""Makes the reference token ids and logits that curt's tests are held to, or checks the committed ones.

    python models/recipes/reference/make.py [--only tiny smollm2 reasoner] [--check [--every N]]

Writes data/<package>.json and data/README.md, and the tiny packages themselves. With --check nothing is written:
everything is made anew, compared with what is committed, and the exit status says whether it is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Read when onnxruntime and the hub client load: this recipe reports nothing to anyone.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# Threads that spin while they wait starve each other on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
warnings.filterwarnings("ignore")

RECIPES = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(RECIPES / "smollm2"))

import dequantize  # noqa: E402
import prompts  # noqa: E402
import report  # noqa: E402
import tiny  # noqa: E402
from folders import building, cache_dir, say, sha256  # noqa: E402
from prompts import Prompt  # noqa: E402
from runtimes import Genai, Greedy, Runtime, Transformers  # noqa: E402
from tqdm import tqdm  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

HERE = RECIPES / "reference"
DATA = HERE / "data"
PACKAGES = HERE / "packages"
REASONER_PACKAGE = RECIPES.parent / "packages" / "reasoner"
REASONER_RECIPE = RECIPES / "reasoner"

GROUPS = ("tiny", "smollm2", "reasoner")
NEW_TOKENS = {"tiny": 64, "smollm2": 64, "reasoner": 128}
# A second thread costs the small models more in waiting than it saves, most of all on a busy machine.
THREADS = {"tiny": 1, "smollm2": 2, "reasoner": 1}
# CPU features that choose between ONNX Runtime's kernels: quantized results may differ between machines that differ
# in one of these, as each kernel rounds activations and sums in its own order.
KERNEL_FEATURES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "bf16")
# Largest difference of a logit between two runs that count as the same, on one machine and between machines. f32: the
# largest difference seen between the two runtimes is in data/README.md. Quantized: between machines an activation may
# round to the next of 255 steps, which moves logits by tenths.
LOGIT_TOLERANCE = {"fp32": 1e-3, "int8": 1e-3, "int4": 1e-3}
LOGIT_TOLERANCE_OTHER_CPU = {"fp32": 1e-3, "int8": 1.0, "int4": 1.0}


def main() -> int:
    arguments = parse_arguments()
    problems: list[str] = []
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        for group in arguments.only:
            jobs = JOBS[group](Path(scratch), problems, arguments.check)
            for package, weights, items in jobs:
                if arguments.check:
                    problems += check(group, package, weights, items[:: arguments.every])
                else:
                    write(DATA / f"{package.name}.json", make(group, package, weights, items, both=True))
    if not arguments.check:
        write_text(DATA / "README.md", report.render(DATA))
    for problem in problems:
        print(f"differs: {problem}", file=sys.stderr)
    if arguments.check:
        say(f"{len(problems)} differences from the committed references" if problems else "the references hold")
    return 1 if problems else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--check", action="store_true", help="compare with the committed references, write nothing")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="with --check: every Nth prompt only")
    return parser.parse_args()


# A package, the Hugging Face folder of its f32 weights where the package is f32, and its prompts.
Job = tuple[Path, Path | None, list[Prompt]]


def tiny_jobs(scratch: Path, problems: list[str], check_only: bool) -> Iterator[Job]:
    say("building the tiny packages")
    made = tiny.build_all(scratch / "hf", scratch / "packages")
    for name in made:
        if check_only:
            problems += tiny.differences(scratch / "packages" / name, PACKAGES / name)
        else:
            shutil.rmtree(PACKAGES / name, ignore_errors=True)
            shutil.copytree(scratch / "packages" / name, PACKAGES / name)
    items = prompts.arbitrary(20, first_id=tiny.EOS_ID + 1, vocabulary=tiny.VOCABULARY)
    for name, weights in made.items():
        yield PACKAGES / name, weights if name.endswith("fp32") else None, items


def smollm2_jobs(scratch: Path, problems: list[str], check_only: bool) -> Iterator[Job]:
    make_packages = [sys.executable, str(RECIPES / "smollm2" / "make.py"), "--precision", "int8", "int4", "fp32"]
    subprocess.run(make_packages, check=True)
    name = "smollm2-135m-instruct"
    for precision in ("int8", "int4", "fp32"):
        package = cache_dir() / "packages" / f"{name}-{precision}"
        yield package, cache_dir() / "hf" / name if precision == "fp32" else None, prompts.smollm2(package)


def reasoner_jobs(scratch: Path, problems: list[str], check_only: bool) -> Iterator[Job]:
    items = prompts.reasoner(REASONER_PACKAGE, REASONER_RECIPE / "task.py")
    yield REASONER_PACKAGE, None, items
    # In the cache and not in a scratch folder: the Rust tests run this package too.
    weights = cache_dir() / "hf" / "reasoner"
    package = cache_dir() / "packages" / "reasoner-fp32"
    rope_theta = tomllib.loads((REASONER_RECIPE / "config.toml").read_text())["model"]["rope_theta"]
    inputs = {"recipe": "models/recipes/reference", "package": model_sha256(REASONER_PACKAGE)}
    with building(weights, inputs) as folder:
        if folder is not None:
            dequantize.write_weights(REASONER_PACKAGE, rope_theta, folder)
    with building(package, inputs) as folder:
        if folder is not None:
            tiny.run_builder(weights, "fp32", folder)
    yield package, weights, items


JOBS = {"tiny": tiny_jobs, "smollm2": smollm2_jobs, "reasoner": reasoner_jobs}


def make(group: str, package: Path, weights: Path | None, items: list[Prompt], both: bool) -> dict[str, Any]:
    """The reference of an f32 package is transformers, with `both` compared to onnxruntime-genai; else the latter."""
    threads = THREADS[group]
    runtime: Runtime = Genai(package, threads) if weights is None else Transformers(weights, threads)
    other = Genai(package, threads) if both and weights is not None else None
    rows = []
    for prompt in tqdm(items, desc=f"{package.name} ({runtime.name})", disable=not sys.stderr.isatty()):
        greedy = runtime.greedy(prompt.ids, NEW_TOKENS[group])
        row = as_row(prompt, greedy, NEW_TOKENS[group])
        if other is not None:
            row["other"] = compare_runtimes(greedy, other.greedy(prompt.ids, NEW_TOKENS[group]))
        rows.append(row)
    say(f"{package.name}: {len(rows)} prompts, {runtime.name}{' and ' + other.name if other else ''}")
    return {
        "package": package.name,
        "precision": precision_of(package),
        "runtime": runtime.name,
        "made_by": f"python models/recipes/reference/make.py --only {group}",
        "onnxruntime": version("onnxruntime"),
        "onnxruntime_genai": version("onnxruntime-genai"),
        "transformers": version("transformers"),
        "seed": prompts.SEED,
        "new_tokens": NEW_TOKENS[group],
        "model_sha256": model_sha256(package),
        "cpu": cpu(),
        "items": rows,
    }


def as_row(prompt: Prompt, greedy: Greedy, new_tokens: int) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "prompt": prompt.ids,
        "greedy": greedy.tokens,
        "finish": "length" if len(greedy.tokens) == new_tokens else "eos",
        "min_margin": rounded(min(greedy.margins), 3),
        "margins": [rounded(margin, 3) for margin in greedy.margins],
        "logits": [
            {"step": step, "top": [[token, rounded(value, 7)] for token, value in top]}
            for step, top in greedy.top.items()
        ],
    }


def compare_runtimes(reference: Greedy, other: Greedy) -> dict[str, Any]:
    """Where a second runtime parts from the reference, and how far its logits are away before that."""
    step = first_difference(reference.tokens, other.tokens)
    shared = [at for at in reference.top if at in other.top and (step is None or at <= step)]
    gap = max(largest_gap(reference.top[at], other.top[at]) for at in shared)
    result: dict[str, Any] = {"runtime": Genai.name, "largest_logit_difference": rounded(gap, 3)}
    if step is not None:
        result |= {"first_difference": step, "margin": rounded(reference.margins[step], 3)}
    return result


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    if ours == theirs:
        return None
    return next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))


def largest_gap(ours: list[tuple[int, float]], theirs: list[tuple[int, float]]) -> float:
    """Over the tokens that both lists hold; where the lists differ only their tails do."""
    values = dict(theirs)
    return max((abs(value - values[token]) for token, value in ours if token in values), default=float("inf"))


def check(group: str, package: Path, weights: Path | None, items: list[Prompt]) -> list[str]:
    file = DATA / f"{package.name}.json"
    if not file.exists():
        return [f"{file.name}: not committed; run {Path(__file__).name} --only {group}"]
    committed = json.loads(file.read_text())
    made = make(group, package, weights, items, both=False)
    precision = committed["precision"]
    same_cpu = committed["cpu"] == made["cpu"]
    tolerance = (LOGIT_TOLERANCE if same_cpu else LOGIT_TOLERANCE_OTHER_CPU)[precision]
    if not same_cpu:
        say(f"{package.name}: committed on {committed['cpu']}, checked on {made['cpu']}: near-ties may fall either way")
    found = []
    for key in ("onnxruntime", "onnxruntime_genai", "transformers", "new_tokens", "runtime"):
        if committed[key] != made[key]:
            found.append(f"{file.name}: {key} is {made[key]}, committed {committed[key]}")
    # Packages in the cache are built on each machine, where a table of cosines may differ in its last bits.
    if package.is_relative_to(RECIPES.parent) and committed["model_sha256"] != made["model_sha256"]:
        found.append(f"{file.name}: made of another build of the package; run {Path(__file__).name} --only {group}")
    rows = {row["id"]: row for row in committed["items"]}
    for row in made["items"]:
        if row["id"] not in rows:
            found.append(f"{file.name}: {row['id']} is not committed")
        elif problem := row_difference(row, rows[row["id"]], tolerance):
            found.append(f"{file.name}: {row['id']}: {problem}")
    return found


def row_difference(made: dict[str, Any], committed: dict[str, Any], tolerance: float) -> str | None:
    if made["prompt"] != committed["prompt"]:
        return "the prompt is another"
    step = first_difference(made["greedy"], committed["greedy"])
    if step is not None and committed["margins"][step] > tolerance:
        ours, theirs = made["greedy"][step : step + 1], committed["greedy"][step : step + 1]
        return f"step {step} gives {ours}, committed {theirs} with a margin of {committed['margins'][step]}"
    for ours, theirs in zip(made["logits"], committed["logits"]):
        if step is not None and theirs["step"] > step:
            break
        gap = largest_gap(ours["top"], theirs["top"])
        if gap > tolerance:
            return f"logits of step {theirs['step']} differ by {gap:.4g}, more than {tolerance}"
    return None


def precision_of(package: Path) -> str:
    """From the graph, not from the name: the bits of its quantized layers, or fp32."""
    import onnx

    nodes = onnx.load(package / "model.onnx", load_external_data=False).graph.node
    bits = {dequantize.attribute(node, "bits").i for node in nodes if node.op_type == "MatMulNBits"}
    return f"int{min(bits)}" if bits else "fp32"


def model_sha256(package: Path) -> dict[str, str]:
    files = (package / "model.onnx", package / "model.onnx.data")
    return {file.name: sha256(file) for file in files if file.exists()}


def cpu() -> str:
    """The architecture and the features that matter to the results, e.g. `x86_64 avx2 avx512f avx512_vnni`."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    flags = next((line.split(":")[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return " ".join([platform.machine(), *(feature for feature in KERNEL_FEATURES if feature in flags)])


def rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def write(file: Path, reference: dict[str, Any]) -> None:
    """One line an item: small, and a change of one prompt is a change of one line."""
    head = json.dumps({key: value for key, value in reference.items() if key != "items"}, indent=1)
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in reference["items"])
    write_text(file, head.removesuffix("\n}") + f',\n "items": [\n{rows}\n]}}\n')


def write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


if __name__ == "__main__":
    sys.exit(main())
