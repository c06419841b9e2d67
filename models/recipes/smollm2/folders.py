"""Folders in the user's cache: where they are, and how they come to be there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

# Written last into a finished folder; a folder without it is not finished.
MARKER = "recipe.json"


def cache_dir() -> Path:
    """The folder the Rust side looks in as well: $CURT_CACHE_DIR, else $XDG_CACHE_HOME/curt, else ~/.cache/curt."""
    if explicit := os.environ.get("CURT_CACHE_DIR"):
        return Path(explicit).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "curt"
    return Path.home() / ".cache" / "curt"


@contextlib.contextmanager
def building(target: Path, inputs: dict[str, object]) -> Iterator[Path | None]:
    """Lends a scratch folder that becomes `target` in one rename, or None where `target` is already what `inputs` make.

    The lock makes a second process wait and then find the folder; the kernel drops it if this process dies.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f".{target.name}.building"
    with open(target.parent / f".{target.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(target, inputs):
            say(f"{target}: already there")
            yield None
            return
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        started = time.monotonic()
        try:
            yield scratch
            (scratch / MARKER).write_text(json.dumps(inputs, indent=2) + "\n")
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        mib = sum(file.stat().st_size for file in target.iterdir()) / 2**20
        say(f"{target}: done, {mib:.0f} MiB in {time.monotonic() - started:.0f} s")


def is_complete(folder: Path, inputs: dict[str, object]) -> bool:
    try:
        return json.loads((folder / MARKER).read_text()) == inputs
    except (OSError, ValueError):
        return False


def sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def say(message: str) -> None:
    print(message, flush=True)
