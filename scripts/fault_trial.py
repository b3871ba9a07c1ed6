"""Kill runs at random moments, start them again, and compare what comes out with an unbroken run.

    python scripts/fault_trial.py --seconds 180

Every trial begins in an empty folder with empty caches: the command is started and killed (SIGKILL) one to three
times, each time at a random moment, and then started once more and left alone. It has to end with the same weights,
losses, rows and notes as the unbroken run, byte for byte, and leave nothing of the killed ones behind. The moments
follow from --seed. Exits with 1 where any trial differs. Works on the tiny model and pictures of the tests, without a
network.

Commands run in processes of their own, forked from this one, which has imported the libraries already: a kill then
hits the work and not the seconds of importing. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

FINETUNE = ["--train-batch-size", "4", "--max-train-steps", "12", "--checkpointing-steps", "2"]
FINETUNE += ["--validation-steps", "4"]
GENERATE = ["--images-per-class", "8", "--num-inference-steps", "2", "--batch-size", "3", "--shard-size", "7"]
LEFT_BEHIND = re.compile(r"\..*(tmp|spool|damaged|lock|holder\.json)")
PATIENCE = 300.0  # seconds that an unbroken run may take at most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0, help="begin no trial after so many (default: 180)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (default: 0)")
    parser.add_argument("--commands", nargs="+", default=["finetune", "generate", "run"], help="default: all three")
    parser.add_argument("--keep", action="store_true", help="keep the folders of trials that differ")
    options = parser.parse_args()
    tiny = _import_all()
    work = Path(tempfile.mkdtemp(prefix="mvc-hf-faults-"))
    try:
        tiny.tiny_base(work / "base")
        tiny.image_folder(work / "photos", {"apple": 80, "pear": 60, "plum": 3})
        return Trials(work, options.commands, options.seed, options.keep).run(options.seconds)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


class Trials:
    """The unbroken run of every command, and the trials that are compared with it."""

    def __init__(self, work: Path, commands: list[str], seed: int, keep: bool):
        self.work, self.commands, self.seed, self.keep = work, commands, seed, keep
        self.counts: Counter[tuple[str, str]] = Counter()
        self.wanted: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}

    def run(self, seconds: float) -> int:
        whole = self.work / "whole"
        for command in ["finetune", *(c for c in self.commands if c != "finetune")]:  # what `generate` starts from
            started = time.monotonic()
            self._finish(command, whole / command)
            self.seconds[command] = time.monotonic() - started
            self.wanted[command] = outcome(whole / command / "out")
            print(f"{command}: an unbroken run takes {self.seconds[command]:.1f} s", flush=True)
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            self._trial(self.commands[number % len(self.commands)], number)
            number += 1
        for command in self.commands:
            done, kills, differ = (self.counts[command, what] for what in ("trials", "kills", "differ"))
            print(f"{command}: {done} trials, {kills} kills, {differ} ended otherwise than the unbroken run")
        return int(any(self.counts[command, "differ"] for command in self.commands))

    def _trial(self, command: str, number: int) -> None:
        chance = random.Random(f"{self.seed} {number}")
        place, moments = self.work / f"trial-{number}", []
        for _ in range(chance.randint(1, 3)):
            moments.append(chance.uniform(0, self.seconds[command]))
            if not self._killed(command, place, moments[-1]):
                break
            self.counts[command, "kills"] += 1
        wrong = self._finish(command, place, must=False)
        found = outcome(place / "out") if not wrong else {}
        names = {**self.wanted[command], **found}
        if not wrong:
            wrong = ", ".join(n for n in names if found.get(n) != self.wanted[command].get(n))
        self.counts[command, "trials"] += 1
        self.counts[command, "differ"] += bool(wrong)
        if wrong:
            told = ", ".join(f"{moment:.2f}" for moment in moments)
            print(f"trial {number}, {command} killed after {told} s: {wrong}", flush=True)
        if not (wrong and self.keep):
            shutil.rmtree(place, ignore_errors=True)

    def _killed(self, command: str, place: Path, moment: float) -> bool:
        """Whether the kill came before the end."""
        process = self._start(command, place)
        status = wait(process, moment)
        if status is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        return status is None

    def _finish(self, command: str, place: Path, must: bool = True) -> str:
        """Run to the end; what was wrong, or nothing."""
        process = self._start(command, place)
        status = wait(process, PATIENCE)
        if status is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        wrong = "" if status == 0 else f"status {status}: {last_line(place / 'log')}"
        if wrong and must:
            raise SystemExit(f"{command}: {wrong}")
        return wrong

    def _start(self, command: str, place: Path) -> int:
        place.mkdir(parents=True, exist_ok=True)
        arguments = self._arguments(command, place)
        process = os.fork()
        if process:
            return process
        code = 70
        try:
            log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["MVC_HF_CACHE"] = str(place / "cache")
            from mvc_hf.cli import run

            code = run(arguments)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _arguments(self, command: str, place: Path) -> list[str]:
        real, base, out = str(self.work / "photos"), str(self.work / "base"), str(place / "out")
        if command == "finetune":
            return ["finetune", real, "-o", out, "--base", base, *FINETUNE]
        if command == "generate":
            return ["generate", str(self.work / "whole/finetune/out"), "-o", out, "--dataset", real, *GENERATE]
        settings = {"dataset": real, "base": base, "output": out}
        flags = [*FINETUNE, *GENERATE]
        settings |= {name[2:]: value for name, value in zip(flags[::2], flags[1::2])}
        recipe = place / "recipe.yaml"
        recipe.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()), encoding="utf-8")
        return ["run", str(recipe)]


def outcome(folder: Path) -> dict[str, str]:
    """The digest of every file that a run leaves, and "left behind" for what it should not."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if LEFT_BEHIND.fullmatch(path.name):
            found[name] = "left behind"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wait(process: int, seconds: float) -> int | None:
    """The exit status; None where it does not end in time."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(min(0.005, max(0.0, until - time.monotonic())))


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _import_all() -> ModuleType:
    """Everything that a command imports. Returns the helper of the tests that makes the model and the pictures."""

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
    import tiny

    return tiny


if __name__ == "__main__":
    sys.exit(main())
