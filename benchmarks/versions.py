"""What a change costs: two checkouts of this project, each with a Python of its own, in turns on the same work.

    python benchmarks/versions.py --before ../old ../old/.venv/bin/python --after . python [--turns 5] [--parts …]

Fine-tuning and generating are whole commands on one base and one data set (--assets, as `mvc_hf/assets` of a checkout
that both can read), each for two numbers of steps or images: the difference of the times is what the steps or images
cost, without start-up, which is printed apart. Times are those of processors, since a busy machine changes them less
than the clock's: give OMP_NUM_THREADS=1. The loader and the mixing are each checkout's own `loader.py` and
`mixing.py`: ratios against timm's reader and against a plain copy, which a busy machine changes little.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PARTS = ("finetune", "generate", "loader", "mixing", "start-up")
STEPS = (5, 45)
IMAGES = (4, 28)  # of each class
SIDES = ("before", "after")


def finetune(side, assets, work, steps):
    return [
        side.python, "-m", "mvc_hf.cli", "finetune", assets / "real.parquet", "-o", work / "checkpoint",
        "--base", assets / "base", "--captions", "column:caption", "--holdout-fraction", 0,
        "--train-batch-size", 16, "--max-train-steps", steps, "--checkpointing-steps", 10**6,
    ]  # fmt: skip


def generate(side, assets, work, images):
    return [
        side.python, "-m", "mvc_hf.cli", "generate", side.checkpoint, "-o", work / "synthetic",
        "--dataset", assets / "real.parquet", "--images-per-class", images, "--num-inference-steps", 10,
    ]  # fmt: skip


class Side:
    """A checkout and the Python that has it installed."""

    def __init__(self, checkout, python):
        self.checkout, self.python = Path(checkout).resolve(), python
        self.checkpoint = None

    def run(self, command, work, cache=None):
        """Seconds of processors that the command took, and what it wrote."""
        work.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"MVC_HF_CACHE": str(cache or work / "cache"), "HF_HUB_OFFLINE": "1"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(list(map(str, command)), cwd=work, capture_output=True, text=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.stderr)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout

    def per_unit(self, command, counts, assets, work):
        """Seconds a step or an image, by the difference of two runs with caches of their own; the small one's."""
        times = [self.run(command(self, assets, work / str(n), n), work / str(n))[0] for n in counts]
        return (times[1] - times[0]) / (counts[1] - counts[0]), times[0]


def columns(table, first, last):
    """The last column of the lines of a benchmark's table that begin with a name or number: name → figure."""
    lines = [line.split() for line in table.splitlines()]
    return {" ".join(line[:first]): float(line[-1]) for line in lines if len(line) == last and is_number(line[-1])}


def is_number(text):
    return text.replace(".", "", 1).isdigit()


def measure(part, side, assets, work):
    """Name of a figure → its value in this turn; for all of them less is better."""
    if part == "finetune":
        step, whole = side.per_unit(finetune, STEPS, assets, work)
        return {"fine-tuning, ms a step": 1000 * step, f"fine-tuning, {STEPS[0]} steps with start-up, s": whole}
    if part == "generate":
        per_class, whole = side.per_unit(generate, IMAGES, assets, work)
        return {"generating, ms an image": 100 * per_class, f"generating, {IMAGES[0]} a class with start-up, s": whole}
    if part == "loader":
        command = [side.python, side.checkout / "benchmarks/loader.py", "--million", 0, "--repeats", 3]
        found = columns(side.run(command, work)[1], 1, 4)
        return {f"loader, {name}: time / timm's reader": 1 / ratio for name, ratio in found.items()}
    if part == "mixing":
        command = [side.python, side.checkout / "benchmarks/mixing.py", "--mixes", 2000, "--repeats", 3]
        found = columns(side.run(command, work)[1], 2, 6)
        return {f"mixing, P Q = {name}: time / copy": ratio for name, ratio in found.items()}
    helping = [side.run([side.python, "-m", "mvc_hf.cli", "--help"], work)[0] for _ in range(5)]
    importing = [side.run([side.python, "-c", "import mvc_hf"], work)[0] for _ in range(5)]
    return {
        "--help, s": statistics.median(helping),
        "import mvc_hf with Python's start, s": statistics.median(importing),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in SIDES:
        parser.add_argument(f"--{name}", nargs=2, required=True, metavar=("CHECKOUT", "PYTHON"))
    parser.add_argument("--assets", type=Path, help="folder with base/ and real.parquet (default: those of --before)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    sides = {name: Side(*getattr(args, name)) for name in SIDES}
    assets = (args.assets or sides["before"].checkout / "mvc_hf" / "assets").resolve()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if "generate" in args.parts:
            for name, side in sides.items():
                side.checkpoint = folder / name / "checkpoint"
                side.run(finetune(side, assets, folder / name, 5), folder / name)
        for part in args.parts:
            for turn in range(args.turns):
                for name in SIDES if turn % 2 else SIDES[::-1]:
                    for figure, value in measure(part, sides[name], assets, folder / f"{part}-{turn}-{name}").items():
                        found.setdefault(figure, {side: [] for side in SIDES})[name].append(value)
            print(f"{part} measured", file=sys.stderr, flush=True)
    print(f"| | before | after | after / before (of {args.turns} turns) |\n|---|---|---|---|")
    for figure, values in found.items():
        ratios = [after / before for before, after in zip(values["before"], values["after"])]
        before, after = (statistics.median(values[name]) for name in SIDES)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"| {figure} | {before:.3g} | {after:.3g} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
