"""One measurement of a peer runtime: N greedy paths from one prompt, in one process. Prints one JSON line.

    python targets/peers/decode.py --runtime genai     --package DIR  --batch 16 [--prompt-tokens 190 --new-tokens 64]
    python targets/peers/decode.py --runtime llama.cpp --package FILE.gguf --batch 16

Both are fed the same token ids, and both continue past the end-of-answer token. The keys are described in README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

REFERENCE_DATA = Path(__file__).resolve().parents[2] / "models" / "recipes" / "reference" / "data"
CHECKED_TOKENS = 16


@dataclass(frozen=True)
class Measurement:
    runtime: str
    package: str
    batch: int
    prompt_tokens: int
    new_tokens: int
    threads: int
    load_ms: float
    prefill_ms: float
    fork_ms: float
    decode_ms: float
    wall_ms: float
    first_token_ms: float
    peak_resident_bytes: int


class Peer(Protocol):
    """Starts `batch` paths from one prompt, then takes them one token further at a time."""

    def prefill(self, prompt: list[int]) -> list[int]: ...

    def fork(self) -> None: ...

    def step(self) -> list[int]: ...


class Genai:
    """onnxruntime-genai 0.18 has no fork: every row of a batch is prefilled (num_return_sequences must be 1 here, and
    a generator of several rows accepts tokens once)."""

    def __init__(self, package: Path, batch: int, prompt_tokens: int, capacity: int, threads: int) -> None:
        import numpy
        import onnxruntime_genai

        self.numpy, self.og = numpy, onnxruntime_genai
        config = onnxruntime_genai.Config(str(package))
        options = {"intra_op_num_threads": threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self.model = onnxruntime_genai.Model(config)
        self.batch = batch
        self.capacity = capacity

    def prefill(self, prompt: list[int]) -> list[int]:
        parameters = self.og.GeneratorParams(self.model)
        # min_length keeps rows going past the end-of-answer token.
        parameters.set_search_options(
            batch_size=self.batch, max_length=self.capacity, min_length=self.capacity, do_sample=False
        )
        self.generator = self.og.Generator(self.model, parameters)
        self.generator.append_tokens(self.numpy.tile(self.numpy.array(prompt, self.numpy.int32), (self.batch, 1)))
        return self.step()

    def fork(self) -> None:
        """The rows are there already."""

    def step(self) -> list[int]:
        self.generator.generate_next_token()
        return self.generator.get_next_tokens().tolist()


class LlamaCpp:
    """llama.cpp through its C API: one prefill, its cells shared by all sequences, one batched decode a step."""

    def __init__(self, gguf: Path, batch: int, prompt_tokens: int, capacity: int, threads: int) -> None:
        import llama_cpp
        import numpy

        self.numpy, self.api = numpy, llama_cpp
        self.log = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(gguf).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"error: llama.cpp could not load {gguf}")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        parameters = llama_cpp.llama_context_default_params()
        # One pool of cells for all sequences, so that copying a sequence copies no keys or values.
        parameters.kv_unified = True
        parameters.n_ctx = prompt_tokens + (capacity - prompt_tokens) * batch
        parameters.n_batch = parameters.n_ubatch = max(512, batch)
        parameters.n_seq_max = batch
        parameters.n_threads = parameters.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        self.tokens = llama_cpp.llama_batch_init(max(capacity, batch), 0, 1)
        self.batch = batch

    def prefill(self, prompt: list[int]) -> list[int]:
        memory = self.api.llama_get_memory(self.context)
        self.api.llama_memory_clear(memory, False)
        for position, token in enumerate(prompt):
            self.set_token(position, token, position, path=0, wants_logits=position == len(prompt) - 1)
        self.decode(len(prompt))
        self.position = len(prompt)
        self.last = [self.pick(len(prompt) - 1)] * self.batch
        return self.last

    def fork(self) -> None:
        memory = self.api.llama_get_memory(self.context)
        for path in range(1, self.batch):
            self.api.llama_memory_seq_cp(memory, 0, path, -1, -1)

    def step(self) -> list[int]:
        for path, token in enumerate(self.last):
            self.set_token(path, token, self.position, path, wants_logits=True)
        self.decode(self.batch)
        self.position += 1
        self.last = [self.pick(path) for path in range(self.batch)]
        return self.last

    def set_token(self, index: int, token: int, position: int, path: int, wants_logits: bool) -> None:
        self.tokens.token[index] = token
        self.tokens.pos[index] = position
        self.tokens.n_seq_id[index] = 1
        self.tokens.seq_id[index][0] = path
        self.tokens.logits[index] = wants_logits

    def decode(self, count: int) -> None:
        self.tokens.n_tokens = count
        status = self.api.llama_decode(self.context, self.tokens)
        if status != 0:
            raise SystemExit(f"error: llama_decode returned {status} for {count} tokens")

    def pick(self, index: int) -> int:
        logits = self.api.llama_get_logits_ith(self.context, index)
        return int(self.numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,)).argmax())


PEERS: dict[str, Callable[[Path, int, int, int, int], Peer]] = {"genai": Genai, "llama.cpp": LlamaCpp}


def main() -> None:
    arguments = parse_arguments()
    prompt, expected = reference(arguments.reference or arguments.package.name, arguments.prompt_tokens)
    capacity = arguments.prompt_tokens + arguments.new_tokens

    started = time.perf_counter()
    make = PEERS[arguments.runtime]
    peer = make(arguments.package, arguments.batch, arguments.prompt_tokens, capacity, arguments.threads)
    load_ms = since(started)
    # The first run is cold and gives the time to first token; it is also the one whose ids are checked.
    first = peer.prefill(prompt)
    first_token_ms = process_age_ms()
    peer.fork()
    rows = [first] + [peer.step() for _ in range(min(CHECKED_TOKENS, arguments.new_tokens) - 1)]
    check(arguments.runtime, [list(path) for path in zip(*rows, strict=True)], expected)

    started = time.perf_counter()
    peer.prefill(prompt)
    prefill_ms = since(started)
    forked = time.perf_counter()
    peer.fork()
    fork_ms = since(forked)
    decoding = time.perf_counter()
    for _ in range(arguments.new_tokens - 1):
        peer.step()
    measurement = Measurement(
        runtime=arguments.runtime,
        package=arguments.package.name,
        batch=arguments.batch,
        prompt_tokens=len(prompt),
        new_tokens=arguments.new_tokens,
        threads=arguments.threads,
        load_ms=load_ms,
        prefill_ms=prefill_ms,
        fork_ms=fork_ms,
        decode_ms=since(decoding),
        wall_ms=since(started),
        first_token_ms=first_token_ms,
        peak_resident_bytes=peak_resident_bytes(),
    )
    print(json.dumps(asdict(measurement)))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=PEERS, required=True)
    parser.add_argument("--package", type=Path, required=True, help="package folder, or the GGUF file for llama.cpp")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=190)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", metavar="NAME", help="reference file to take ids from (default: the package's)")
    return parser.parse_args()


def reference(name: str, prompt_tokens: int) -> tuple[list[int], list[int]]:
    """The committed prompt of that many tokens (there is one of 190) and its greedy ids up to the end of the answer. A
    longer one is the longest, repeated: no ids are known of it."""
    items = json.loads((REFERENCE_DATA / f"{name}.json").read_text())["items"]
    for item in items:
        if len(item["prompt"]) == prompt_tokens:
            return item["prompt"], item["greedy"][: -1 if item["finish"] == "eos" else None]
    longest: list[int] = max((item["prompt"] for item in items), key=len)
    if prompt_tokens > len(longest):
        return (longest * (prompt_tokens // len(longest) + 1))[:prompt_tokens], []
    lengths = sorted({len(item["prompt"]) for item in items})
    raise SystemExit(f"error: {name}.json has no prompt of {prompt_tokens} tokens; it has {lengths}")


def check(runtime: str, rows: list[list[int]], expected: list[int]) -> None:
    """All rows must agree, and for onnxruntime-genai with the committed ids. llama.cpp's weights are quantized
    otherwise, so its ids may part from them; that its paths agree shows that the shared cells are read right."""
    if any(row != rows[0] for row in rows):
        raise SystemExit(f"error: {runtime}: rows of one prompt differ: {rows}")
    checked = min(len(rows[0]), len(expected))
    if runtime == "genai" and rows[0][:checked] != expected[:checked]:
        raise SystemExit(f"error: {runtime}: ids {rows[0][:checked]}, reference {expected[:checked]}")


def since(start: float) -> float:
    return round((time.perf_counter() - start) * 1e3, 3)


def process_age_ms() -> float:
    """Since the kernel started this process, so the interpreter's start is in it; in steps of 10 ms."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of the line, counted from boot
    return round((time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1e3, 3)


def peak_resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
