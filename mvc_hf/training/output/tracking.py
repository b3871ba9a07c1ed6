"""What is learnt on the way, for people's trackers: TensorBoard, Weights & Biases, trackio, through Accelerate's."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...config.recipe import Recipe
from ...config.stages.finetuning import FinetuneSettings
from ...errors import HostError, RecipeError
from ...utils.progress import is_main_process, say
from ...utils.text import reason

TRACKERS = ("tensorboard", "wandb", "trackio")  # each is the name of its package, too
PROJECT, FOLDER = "mvc_hf", "logs"  # the folder in that of the training checkpoints, which is never published


def trackers_of(report_to: str) -> tuple[str, ...]:
    """Those that are asked for; with "all" those that are installed.

    Raises:
        RecipeError: one is not installed.
    """
    there = [name for name in TRACKERS if importlib.util.find_spec(name)]
    if report_to == "none":
        return ()
    if report_to == "all" and there:
        return tuple(there)
    if report_to not in there:
        wanted = f"one of {', '.join(TRACKERS)}" if report_to == "all" else f"the package {report_to}"
        example = TRACKERS[0] if report_to == "all" else report_to
        raise RecipeError(f"--report-to {report_to} needs {wanted}, which is not installed: pip install {example}")
    return (report_to,)


class Tracking:
    """Hands on what a step gave, in the main process. It changes nothing of the training, and cannot end it.

    Args:
        folder: of the training checkpoints; TensorBoard's files go to `logs/` in it.
        step: updates done before.

    Raises:
        HostError: when it is entered: a tracker does not start.
    """

    def __init__(self, recipe: Recipe, folder: Path, step: int) -> None:
        self._names = trackers_of(recipe.report_to) if is_main_process() else ()
        self._settings, self._folder, self._step = _settings(recipe), folder / FOLDER, step
        self._trackers: dict[str, Any] = {}
        self._time = 0.0

    def __enter__(self) -> Tracking:
        for name in self._names:
            try:
                self._trackers[name] = self._started(name)
            except Exception as error:  # of a client of somebody's service: no account, no network, …
                raise HostError(
                    f"--report-to {name} does not start ({reason(error)}): set it up, or leave it out"
                ) from error
        self._time = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._trackers):
            self._guarded(name, lambda tracker: tracker.finish())

    def log(self, row: Mapping[str, float | str], sheet: Path | None = None) -> None:
        """A row of the training log, and the pictures that were drawn of the step."""
        if not self._trackers:
            return
        step, now = int(row["step"]), time.perf_counter()
        values = {name: value for name, value in row.items() if name != "step" and isinstance(value, float)}
        values["steps_per_second"] = 1 / max(now - self._time, 1e-9)
        self._time = now
        for name in list(self._trackers):
            self._guarded(name, lambda tracker: tracker.log(values, step=step))
            if sheet is not None:
                self._guarded(name, lambda tracker: _log_images(tracker, sheet, step))

    def _started(self, name: str) -> Any:
        from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker

        self._folder.mkdir(parents=True, exist_ok=True)
        if name == "tensorboard":  # what a run wrote after the checkpoint that it goes on from is forgotten
            tracker = TensorBoardTracker("", str(self._folder), purge_step=self._step + 1)
            tracker.start()
            text = "\n".join(f"    {line}" for line in json.dumps(self._settings, indent=2).splitlines())
            tracker.writer.add_text("settings", text, self._step)
            return tracker
        tracker = TrackioTracker(PROJECT) if name == "trackio" else WandBTracker(PROJECT, dir=str(self._folder))
        tracker.start()
        tracker.store_init_configuration(self._settings)
        return tracker

    def _guarded(self, name: str, call: Any) -> None:
        """A tracker that fails is left out from then on: hours of training are worth more than a curve."""
        if name not in self._trackers:
            return
        try:
            call(self._trackers[name])
        except Exception as error:
            del self._trackers[name]
            say(f"note: {name} has failed ({reason(error)}); training goes on without it")


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Numbers and choices of the training. Names of data, models and files stay here."""
    names = [name for name in FinetuneSettings.__dataclass_fields__ if name not in ("base", "variant")]
    return {name: value for name in names if (value := getattr(recipe, name)) is not None}


def _log_images(tracker: Any, sheet: Path, step: int) -> None:
    from PIL import Image

    with Image.open(sheet) as opened:
        picture = opened.convert("RGB")
    if tracker.name == "tensorboard":
        tracker.log_images({"images": np.asarray(picture)[None]}, step=step, dataformats="NHWC")
        tracker.writer.flush()
    elif tracker.name == "trackio":  # Accelerate's knows no pictures
        import trackio

        tracker.log({"images": trackio.Image(picture)}, step=step)
    else:
        tracker.log_images({"images": [picture]}, step=step)
