"""Measuring: batches against the clock, memory at its peak, and what a stage was found to cost."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from ..data.base import Source
from ..errors import DataError, MvcError
from ..utils.memory import Peak, is_memory_error, too_small
from ..utils.progress import say
from .cost_table import Estimate, Stage

SAMPLES = 32  # images and captions that are encoded
BATCHES = 4  # measured at most of each stage, after one to warm up
SECONDS = 10.0  # spent at most on each stage, where a batch does not take longer

Made = TypeVar("Made")


@dataclass(frozen=True)
class Sample:
    """A few images of a data set, taken from all over it."""

    source: Source
    rows: np.ndarray

    @classmethod
    def of(cls, source: Source) -> Sample:
        """Raises DataError where none of them can be read."""
        rows, error, known = [], None, source.rows
        for row in known[np.unique(np.linspace(0, len(known) - 1, min(SAMPLES, len(known))).round().astype(int))]:
            try:
                source.image(int(row))
                rows.append(row)
            except DataError as broken:
                error = broken
        if not rows:
            raise DataError(f"no image can be read: {error}")
        return cls(source, np.array(rows))

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Batches of rows, over and over."""
        for number in range(BATCHES + 1):
            yield np.take(self.rows, number * size + np.arange(size), mode="wrap")


@dataclass(frozen=True)
class Cost:
    """What a stage does, in words; its time; and what it leaves on the disk: bytes, by name."""

    what: str
    time: Estimate
    disk: dict[str, int] = field(default_factory=dict)


@dataclass
class StageMeasurements:
    """What the stages that were measured will cost.

    Attributes:
        disk: bytes of what they will leave behind, by name.
    """

    device: torch.device
    stages: list[Stage] = field(default_factory=list)
    disk: dict[str, int] = field(default_factory=dict)

    def measure(self, name: str, stage: Callable[[], tuple[Cost, Made]], loading: float = 0.0) -> Made:
        """Add what a stage costs, with the seconds that loading its model takes; hands on what it made.

        Raises:
            NotEnoughMemory: with the flags that lower what the stage takes.
        """
        say(f"plan: measuring {name} …")
        try:
            with Peak(self.device) as peak:
                cost, made = stage()
        except Exception as error:
            if isinstance(error, MvcError) or not is_memory_error(error):
                raise
            raise too_small(name, self.device) from error
        finally:
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        took = cost.time + Estimate.of([loading]) if loading else cost.time
        self.stages.append(Stage(name, cost.what, took, peak.bytes))
        self.disk |= cost.disk
        return made


class Enough(Exception):
    """Enough steps were measured."""


def seconds_per_item(batches: Iterator[int]) -> Estimate:
    """Seconds for each item of some batches, given by their sizes as each is done. The first one warms up.

    A batch that takes longer than all the time there is, is the only one.
    """
    started = last = time.monotonic()
    seconds: list[float] = []
    for number, size in enumerate(batches):
        now = time.monotonic()
        if number or now - started > SECONDS:
            seconds.append((now - last) / size)
        last = now
        if seconds and (now - started > SECONDS or len(seconds) == BATCHES):
            break
    if not seconds:
        raise DataError("nothing could be measured: the data set is too small")
    return Estimate.of(seconds)


class StepClock:
    """Seconds of each denoising step; ends the measurement (`Enough`) when it has lasted long enough."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: list[float] = []
        self.started = self.last = time.monotonic()

    def start_batch(self) -> None:
        self.last = time.monotonic()

    def step(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.monotonic()
        self.seconds.append(now - self.last)
        self.last = now
        if now - self.started > SECONDS and len(self.seconds) > 1:
            raise Enough

    def estimate(self) -> Estimate:
        """Of a step, without the first one, which warms up."""
        measured = self.seconds[1:] or self.seconds
        return Estimate.of([float(np.mean(part)) for part in np.array_split(measured, min(BATCHES, len(measured)))])
