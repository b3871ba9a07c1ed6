"""mvc-hf as a launcher starts it, in processes that note what they encode, and of which one may die.

WATCHED is a folder: each process appends to `RANK.txt` in it what it encodes. DIES is a number of updates: where it is
given, the process of rank 1 is killed in the update after them.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mvc_hf.cli import main
from mvc_hf.diffusion.model import StableDiffusion
from mvc_hf.training.trainer import Trainer

RANK = os.environ.get("RANK", "0")


def watched(name: str) -> Any:
    encode = getattr(StableDiffusion, name)

    def noted(self: StableDiffusion, values: Any) -> Any:
        with (Path(os.environ["WATCHED"]) / f"{RANK}.txt").open("a") as file:
            file.write(f"{name} {len(values)}\n")
        return encode(self, values)

    return noted


def dying(self: Trainer, *arguments: Any, update: Any = Trainer._update) -> Any:
    if RANK == "1" and self.step == int(os.environ.get("DIES", "-1")):
        os.kill(os.getpid(), signal.SIGKILL)
    return update(self, *arguments)


if __name__ == "__main__":
    StableDiffusion.encode_text, StableDiffusion.encode_images = watched("encode_text"), watched("encode_images")
    Trainer._update = dying
    main()
