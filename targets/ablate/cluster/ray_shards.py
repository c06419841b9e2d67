"""Runs the shards of an ablation on a Ray cluster and merges them.

    python ray_shards.py --shards 4 --out ablation -- --workload DIR --package DIR --paths 16 --keep 4

What stands after `--` goes to `curt ablate` as it is. `--out` lies on storage that every node sees; a task that is killed
is tried again and goes on where it was.
"""

import argparse
import subprocess
from pathlib import Path

import ray


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curt", default="curt", help="the command, on every node")
    parser.add_argument("--cpus", type=float, default=2, help="cores of one shard")
    parser.add_argument("--tries", type=int, default=3, help="times that a shard may be started")
    parser.add_argument("options", nargs="+", help="options of `curt ablate`, after --")
    return parser.parse_args()


def run_shard(curt: str, options: list[str], shard: int, shards: int, out: str) -> str:
    command = [curt, "ablate", *options, "--shard", f"{shard}/{shards}", "--out", out, "--resume"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"shard {shard} of {shards}: {done.stderr.strip()}")
    return out


def main() -> None:
    arguments = parse()
    out = arguments.out.resolve()
    ray.init(ignore_reinit_error=True)
    task = ray.remote(num_cpus=arguments.cpus, max_retries=arguments.tries - 1, retry_exceptions=True)(run_shard)
    shards = range(1, arguments.shards + 1)
    pending = [
        task.remote(arguments.curt, arguments.options, shard, arguments.shards, str(out / f"shard-{shard}"))
        for shard in shards
    ]
    folders = ray.get(pending)
    subprocess.run([arguments.curt, "ablate", "merge", *folders, "--out", str(out / "merged")], check=True)


if __name__ == "__main__":
    main()
