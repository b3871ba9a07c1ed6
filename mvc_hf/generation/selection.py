"""Which shards of a data set one command makes: some of them, by number, or its share among several tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import RecipeError
from ..utils.text import brief, counted

PART = re.compile(r"(\d{1,9})|(\d{0,9}):(\d{0,9})", re.ASCII)


@dataclass(frozen=True)
class ShardRange:
    """Shards by number: "0:50" are those from 0 to 49, "50:" all from 50 on, "3,7" two, and "0:3,7" four.

    Raises:
        RecipeError: the text says something else.
    """

    text: str

    def __post_init__(self) -> None:
        for part in self.text.split(","):
            found = PART.fullmatch(part.strip())
            if not found or (found[1] is None and found[2] and found[3] and int(found[2]) >= int(found[3])):
                raise RecipeError(
                    f"--shards is {brief(self.text)}: give ranges as 0:50 (from 0 to 49), numbers as 3,7, or both"
                )

    def of(self, count: int) -> list[int]:
        """The numbers among `count` shards. Raises RecipeError for those that are not."""
        chosen: set[int] = set()
        for part in self.text.split(","):
            first, colon, end = part.strip().partition(":")
            start = int(first or 0)
            stop = (int(end) if end else max(count, start + 1)) if colon else start + 1
            if stop > count:
                raise RecipeError(
                    f"--shards is {brief(self.text)}, and the data set has {counted(count, 'shard')}: 0 to {count - 1}"
                )
            chosen.update(range(start, stop))
        return sorted(chosen)


@dataclass(frozen=True)
class Share:
    """The shards of task `rank` of `tasks`: neighbours, as many for each as can be."""

    rank: int
    tasks: int

    def of(self, count: int) -> list[int]:
        return list(range(self.rank * count // self.tasks, (self.rank + 1) * count // self.tasks))


def as_range(shards: list[int]) -> str:
    """Numbers as `--shards` takes them: [0, 1, 2, 7] → "0:3,7"."""
    runs: list[list[int]] = []
    for shard in sorted(shards):
        if runs and shard == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([shard, shard + 1])
    return ",".join(str(start) if stop == start + 1 else f"{start}:{stop}" for start, stop in runs)
