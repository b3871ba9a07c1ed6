"""What of a finished run is left to go on from, and what it takes on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...utils.progress import say
from ...utils.text import as_bytes
from .best import BestWeights
from .state import saved_states


def leave(out: Path, limit: int) -> None:
    """Say how large the training checkpoints are and what they are for; where the limit is 0, drop them."""
    folder = out / "checkpoints"
    states = saved_states(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if limit == 0 and not states:
        return
    if limit == 0:
        for state in states:
            shutil.rmtree(state)
        BestWeights(folder).forget_all_but(())
        say(f"{folder}: its {as_bytes(size)} of training checkpoints are dropped; nothing can go on from here")
        return
    say(
        f"{folder} holds {as_bytes(size)} to go on from with more --max-train-steps; --checkpoints-total-limit 0 "
        "drops them when a run is finished"
    )
