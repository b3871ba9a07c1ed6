"""The classifier of a comparison or a sweep: its settings as command lines of a training script, and its jobs."""

from __future__ import annotations

import ast
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...config.files import fingerprint
from ...config.stages.comparing import ClassifierSettings
from ...errors import ModelError, MvcError, RecipeError
from ...storage.files import read_file
from ...utils.text import brief, reason
from .runs import Job, places

POLICY_FLAGS = {
    "none": (),
    "randaugment": ("--aa", "rand-m9-mstd0.5"),
    "autoaugment": ("--aa", "original"),
    "autoaugment-cifar": ("--aug-policy", "cifar10"),
}


@dataclass(frozen=True)
class Images:
    """Two splits as timm reads them: what is trained on, and what is read after the last epoch.

    Attributes:
        folder: with a Parquet file for each split.
        train, judged: names of the splits.
        digest: of all of them.
    """

    folder: Path
    train: str
    judged: str
    digest: str


@dataclass(frozen=True)
class Classifier:
    """What all arms have in common.

    Attributes:
        settings: of the classifier.
        classes: how many there are.
        side: of its images.
        devices: where trainings go on side by side.
    """

    settings: ClassifierSettings
    classes: int
    side: int
    devices: tuple[str, ...]

    @classmethod
    def of(cls, settings: ClassifierSettings, classes: int, side: int) -> Classifier:
        """Raises MvcError: a model that timm cannot make, or that does not take images of this size."""
        _try_out(settings, classes, side)
        return cls(settings, classes, side, tuple(places(settings.workers)))

    def job(
        self, name: str, images: Images, own: Sequence[str], seed: int, out: Path, rate: float, inputs: str = ""
    ) -> Job:
        """One training.

        Args:
            name: fit for a file.
            own: the flags of the arm.
            out: gets the result, and the cache of the images.
            inputs: digest of what the names in `own` stand for.
        """
        result = out / f"{name}-{seed}.json"
        flags = self._of_script(result, images, rate) if self.settings.script else self._of_small(result, images, rate)
        key = {"images": images.digest, "synthetic": inputs, "script": self._script_digest()}
        return Job(result, (*flags, "--seed", str(seed), *own), self.settings.script, fingerprint(key))

    def briefly(self, job: Job, epochs: int, result: Path) -> Job:
        """The same training with fewer epochs, and its result elsewhere."""
        flags = list(job.flags)
        flags[flags.index("--epochs") + 1] = str(epochs)
        output = flags.index("--output") + 1
        flags[output] = str(result) if not job.script else str(result.parent)
        if job.script:
            flags[flags.index("--experiment") + 1] = result.stem
        return replace(job, flags=tuple(flags), result=result)

    def _common(self, images: Images, rate: float) -> list[str]:
        s = self.settings
        flags = {
            "--dataset": f"hfds/{images.folder.resolve()}",
            "--train-split": images.train, "--val-split": images.judged,
            "--model": s.classifier, "--num-classes": self.classes, "--epochs": s.epochs, "--batch-size": s.batch_size,
            "--lr": rate, "--weight-decay": s.weight_decay, "--warmup-epochs": s.warmup_epochs,
            "--smoothing": s.smoothing, "--device": self.devices[0].partition(":")[0],
        }  # fmt: skip
        return [str(part) for pair in flags.items() for part in pair]

    def _of_small(self, result: Path, images: Images, rate: float) -> list[str]:
        flags = [str(result.parent / "cache"), "--output", str(result), *self._common(images, rate)]
        flags += ["--input-size", str(self.side)]
        arguments = model_arguments(self.settings.classifier_kwargs)
        return [*flags, "--model-kwargs", json.dumps(arguments)] if arguments else flags

    def _of_script(self, result: Path, images: Images, rate: float) -> list[str]:
        flags = ["--data-dir", str(result.parent / "cache"), "--output", str(result.parent)]
        flags += ["--experiment", result.stem, *self._common(images, rate), "--opt", "adamw"]
        flags += ["--input-size", "3", str(self.side), str(self.side), "--checkpoint-hist", "1"]
        flags += ["--workers", "2" if self.devices[0] != "cpu" else "0"]
        if self.settings.classifier_kwargs:
            flags += ["--model-kwargs", *self.settings.classifier_kwargs.split()]
        return [*flags, *shlex.split(self.settings.script_flags)]

    def _script_digest(self) -> str:
        script = self.settings.script
        return fingerprint({"text": read_file(script, script).decode("utf-8", "replace")}) if script else ""


def _try_out(settings: ClassifierSettings, classes: int, side: int) -> None:
    """Make the model, and show it a black image: some take images of one size only."""
    import timm
    import torch

    name, arguments = brief(settings.classifier), model_arguments(settings.classifier_kwargs)
    try:
        model = timm.create_model(settings.classifier, num_classes=classes, **arguments).eval()
    except (MvcError, MemoryError):
        raise
    except Exception as error:  # of timm and the Hub's client, of many kinds
        raise ModelError(f"timm cannot make the model {name}: {type(error).__name__}: {reason(error)}") from error
    try:
        with torch.inference_mode():
            model(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise ModelError(
            f"{name} does not take images of {side}×{side} ({reason(error)}): give --input-size, or its own argument "
            f"for that (--classifier-kwargs img_size={side})"
        ) from error


def check(settings: ClassifierSettings) -> None:
    """Raises MvcError: a model that timm lacks, arguments that are none, or a script that is no train.py."""
    from .. import timm_models  # noqa: F401  (registers WRN-28-2 and WRN-28-10)
    from ..timm_checks import check_model
    from ..timm_script import check_script

    check_model(settings.classifier)
    model_arguments(settings.classifier_kwargs)
    if settings.script:
        check_script(settings.script)
        try:
            shlex.split(settings.script_flags)
        except ValueError as error:
            raise RecipeError(f"--script-flags is {brief(settings.script_flags)}: {error}") from error


def alone() -> None:
    """Raises RecipeError in one process of many: trainings go on side by side by themselves."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise RecipeError(
            "trainings go on side by side by themselves, on all cores or GPUs: give the command without torchrun or "
            "accelerate launch; where the recipe makes images, mvc-hf run may make them on many GPUs before"
        )


def model_arguments(text: str) -> dict[str, Any]:
    """The arguments of a model, as timm reads its --model-kwargs: "depth=10 width=1". Raises RecipeError."""
    found: dict[str, Any] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier() or not value:
            raise RecipeError(f"--classifier-kwargs has {brief(part)}; give NAME=VALUE, without spaces within")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = value
    return found


def policy_flags(augmentation: str) -> tuple[str, ...]:
    """The flags of an augmentation. Raises RecipeError for one that neither we nor timm know."""
    from timm.data.auto_augment import auto_augment_transform, rand_augment_transform

    if augmentation in POLICY_FLAGS:
        return POLICY_FLAGS[augmentation]
    make = rand_augment_transform if augmentation.startswith("rand") else auto_augment_transform
    try:
        if not augmentation.startswith("augmix"):
            make(augmentation, {"translate_const": 10, "img_mean": (128, 128, 128)})
            return ("--aa", augmentation)
    except Exception:  # timm checks by assertions, and by what fails
        pass
    known = ", ".join(POLICY_FLAGS)
    raise RecipeError(
        f"--augmentations names {brief(augmentation)}; choose among {known}, or a policy of timm's --aa such as "
        "rand-m9-mstd0.5-inc1, v0 or 3a"
    )
