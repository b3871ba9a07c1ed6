"""Peak memory of generating and of pushing, against the number of images: neither should grow with it.

    python benchmarks/run_memory.py [--images 1000 10000 100000] [--batch-size 100]

Both are commands in processes of their own, on a tiny base with random weights (16×16 pixels, one step), so that what
is looked at is what carries the images: rows, PNGs, shards, uploads. The Hub is the one of the tests, in this process.
For the smallest number it is also said after how many seconds `generate` shows its bar on a terminal.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
COMMAND = [sys.executable, "-m", "mvc_hf.cli"]


def helper(name: str, path: Path) -> Any:
    """A module of the tests, which are no package."""
    spec = spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    assert spec and spec.loader
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peak(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; returns (its largest resident memory in MiB, seconds)."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed: {said[-2000:]}")
    return usage.ru_maxrss / 1024, time.monotonic() - began


def first_bar(arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds until a command shows the bar of its images; it is ended then."""
    ours, theirs = pty.openpty()
    began, seen = time.monotonic(), b""
    process = subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        while b"generating (" not in seen:
            seen += os.read(ours, 4096)
        return time.monotonic() - began
    except OSError:  # the terminal of a process that has ended
        raise SystemExit(f"{arguments[0]} ended before: {seen[-2000:].decode()}") from None
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--shard-size", type=int, default=1_000)
    args = parser.parse_args()
    tiny, hub_server = (
        helper("tiny", TESTS / "helpers" / "tiny.py"),
        helper("hub_server", TESTS / "hub_server" / "__init__.py"),
    )
    with tempfile.TemporaryDirectory() as name, hub_server.LocalHub() as hub:
        folder = Path(name)
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1", "MVC_HF_CACHE": f"{folder}/cache", "HF_DATASETS_CACHE": f"{folder}/datasets",
            "HF_HOME": f"{folder}/home",
        }  # fmt: skip
        online = environment | {
            "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_TOKEN": hub_server.ANN, "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        base = tiny.tiny_base(folder / "base")
        photos = tiny.image_folder(folder / "photos", {"apple": 20, "pear": 20})
        checkpoint = f"{folder}/checkpoint"
        peak(
            ["finetune", str(photos), "-o", checkpoint, "--base", str(base), "--max-train-steps", "1",
             "--train-batch-size", "4"], environment,
        )  # fmt: skip
        print(f"{'images':>8}{'generate, MiB':>15}{'seconds':>9}{'push, MiB':>11}{'seconds':>9}", flush=True)
        for count in args.images:
            out = f"{folder}/{count}"
            generate = [
                "generate", checkpoint, "-o", out, "--dataset", str(photos), "--total", str(count),
                "--num-inference-steps", "1", "--batch-size", str(args.batch_size),
                "--shard-size", str(args.shard_size),
            ]  # fmt: skip
            if count == min(args.images):
                bar = first_bar([*generate, "--seed", "1"], environment)
                subprocess.run(["rm", "-rf", out], check=True)
            made, took = peak(generate, environment)
            sent, pushed = peak(["push", out, f"lab/n{count}"], online)
            print(f"{count:>8}{made:>15.0f}{took:>9.0f}{sent:>11.0f}{pushed:>9.0f}", flush=True)
            hub.repos.clear()
            subprocess.run(["rm", "-rf", out], check=True)
        print(f"generate shows its bar on a terminal after {bar:.1f} s")


if __name__ == "__main__":
    main()
