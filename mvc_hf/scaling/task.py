"""One task of an executor, as a process of its own: `python -m mvc_hf.scaling.task TASK.json RANK TASKS`.

It makes its share of the shards. A process of its own, so that what kills it (a lack of memory, a signal) is seen by
the executor, takes no other task along, and leaves the GPU empty.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from ..config.recipe import Recipe
from ..ending import exit_code
from ..generation.generate import generate
from ..generation.selection import Share
from ..storage.notes import read_json

CHECK = 1.0  # seconds between two looks whether anybody still waits for this task


def run(file: Path, rank: int, tasks: int) -> None:
    task = read_json(file, "give the generate command again", {"model": str, "out": str, "recipe": dict})
    generate(Recipe.from_dict(task["recipe"]), task["model"], task["out"], shards=Share(rank, tasks))


def end_with_parent() -> None:
    """Stop as by SIGTERM when the process that started this one is gone: its rows are kept, its lock is let go."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    sys.exit(exit_code(lambda: run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])), stage="generate"))
