"""What the autoencoder's and the U-Net's training share: time, rates, averages, and steps captured as a CUDA graph."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

WARM_UP = 200  # steps
EMA_DECAY = 0.999


def half_precision(device: str) -> torch.autocast:
    """bfloat16 where it is fast."""
    return torch.autocast("cuda", torch.bfloat16, enabled=device != "cpu")


class Clock:
    """How much of a stage is done: by steps, or by minutes, whichever ends first."""

    def __init__(self, steps: int, minutes: float | None):
        self.steps, self.seconds, self.step = steps, (minutes or math.inf) * 60, 0
        self.begin()

    def begin(self) -> None:
        self.started = time.time()

    @property
    def done(self) -> float:
        return min(1.0, max(self.step / self.steps, (time.time() - self.started) / self.seconds))

    def rate(self) -> float:
        """A share of the peak rate: linear warm-up, then half a cosine."""
        return min(1.0, (self.step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.done)))


class Log:
    """Rows of losses in a CSV that goes with the asset."""

    def __init__(self, path: Path, stage: str):
        self.path, self.stage, self.start = path, stage, time.time()

    def __call__(self, step: int, loss: float, held_out: float) -> None:
        new = not self.path.exists()
        row = [self.stage, step, f"{loss:.5f}", f"{held_out:.5f}", f"{time.time() - self.start:.0f}"]
        with self.path.open("a", newline="") as f:
            writer = csv.writer(f)
            if new:
                writer.writerow(["stage", "step", "loss", "held_out_loss", "seconds"])
            writer.writerow(row)
        print(*row, flush=True)


class Learner:
    """AdamW with a moving average of the weights, a step of which can be a CUDA graph: models this small would
    otherwise wait for Python.

    Args:
        loss: draws a batch, of the same shape each time, and returns the loss. Nothing in it waits for the device.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], loss: Callable[[], torch.Tensor], rate: float):
        self.parameters, self.loss, self.peak = parameters, loss, rate
        self.device = parameters[0].device
        self.average = [p.detach().clone() for p in parameters]
        self.rate, self.decay = (torch.zeros((), device=self.device) for _ in range(2))
        self.last = torch.zeros((), device=self.device)
        cuda = self.device.type == "cuda"
        self.optimiser = torch.optim.AdamW(
            parameters, lr=self.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True, capturable=cuda
        )
        self.graph: torch.cuda.CUDAGraph | None = None

    def _update(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimiser.step()
        with torch.no_grad():
            difference = torch._foreach_sub(self.parameters, self.average)
            torch._foreach_mul_(difference, 1 - self.decay)
            torch._foreach_add_(self.average, difference)
        self.last.copy_(loss.detach())

    def step(self, clock: Clock) -> None:
        self.rate.fill_(self.peak * clock.rate())
        self.decay.fill_(min(EMA_DECAY, (clock.step + 1) / (clock.step + 10)))
        if self.graph is None:
            self._update()
            if self.device.type == "cuda" and clock.step == 10:
                self._capture()
        else:
            self.graph.replay()
        clock.step += 1

    def _capture(self) -> None:
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._update()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            self.optimiser.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph):
                self._update()
            self.graph = graph
        except RuntimeError as error:
            torch.cuda.synchronize()
            print(f"no CUDA graph, step by step instead: {error}", flush=True)

    def averaged(self, function: Callable[[], float]) -> float:
        """What the function returns under the averaged weights."""
        with torch.no_grad():
            kept = [p.detach().clone() for p in self.parameters]
            torch._foreach_copy_(self.parameters, self.average)
            try:
                return function()
            finally:
                torch._foreach_copy_(self.parameters, kept)

    @torch.no_grad()
    def finish(self) -> None:
        torch._foreach_copy_(self.parameters, self.average)
