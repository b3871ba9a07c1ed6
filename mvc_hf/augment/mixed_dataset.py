"""Real and synthetic images as one map-style data set, filled by a schedule: for timm, or for a loop of your own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..data.base import Source
from ..data.loading import open_dataset
from ..errors import DataError, HostError, RecipeError
from ..utils.progress import say
from ..utils.text import reason, some
from . import schedules
from .schedules import RSP_FROM, SCHEDULES, Pools, SamplingSchedule
from .scores import Selection, select
from .synthetic_images import SyntheticImages
from .targets import SourceImages, check_pictures, class_numbers, labels, read, refuse_iterable

__all__ = ["MixedDataset", "mix_datasets"]

NOT_YET = -1  # the epoch before anybody has set one


class MixedDataset(Dataset):
    """The slots of an epoch: which image stands in one is up to the schedule and the epoch.

    Indexing gives (image, label) as the real data set does, for real and synthetic images alike. Call `set_epoch`
    before each epoch; the number lies in shared memory, so it reaches workers that were started long before.

    Args:
        real: map-style data set of (image, label).
        synthetic: the synthetic images.
        schedule: may be set later, and must be before the first image is asked for.
        transform: applied to real and synthetic images, in place of one of the real data set's own. Without it, the
            real data set's own transform is applied to synthetic images too.
        image_mode: PIL mode that synthetic images are converted to (None: that of the first real one).
        epoch: the first epoch; NOT_YET makes it an error to forget `set_epoch`.

    Attributes:
        follower: something else that is told each epoch, such as the loader's sampler; workers have none.
    """

    def __init__(
        self,
        real: Any,
        synthetic: SyntheticImages,
        schedule: SamplingSchedule | None,
        *,
        length: int,
        transform: Callable | None = None,
        image_mode: str | None = None,
        epoch: int = 0,
    ) -> None:
        own = getattr(real, "transform", None)
        if own is not None and transform is not None:
            raise RecipeError("the real data set has a transform of its own: give one there or here, not both")
        self.real, self.synthetic, self.schedule, self.length = real, synthetic, schedule, length
        self._first_synthetic = len(real)  # asked for with every image, and a data set may take long to say
        self._real_transforms_itself = own is not None
        self.transform = own if transform is None else transform
        self._mode = image_mode or _mode_of(real)
        self._epoch = torch.tensor(epoch).share_memory_()
        self._stream: tuple[int, np.ndarray] | None = None
        self.follower: Any = None

    def __len__(self) -> int:
        return self.length

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes in the order of their labels; None where the real data set does not say them."""
        numbers = class_numbers(self.real)
        return None if numbers is None else sorted(numbers, key=numbers.__getitem__)

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Fill the slots anew, here and in all workers."""
        self._epoch.fill_(epoch)
        if self.follower is not None:
            self.follower.set_epoch(epoch)

    def samples(self) -> np.ndarray:
        """The samples of this epoch: int64 (L,), below len(real) a real image, from there on a synthetic one."""
        epoch = self.epoch
        if self._stream is None or self._stream[0] != epoch:
            if self.schedule is None or epoch == NOT_YET:
                missing = "its schedule" if self.schedule is None else "the epoch"
                raise HostError(f"an image was asked for before {missing} was set: call set_epoch before each epoch")
            self._stream = epoch, self.schedule.samples(epoch)
        return self._stream[1]

    def __getitem__(self, slot: int) -> tuple[Any, int]:
        sample = int(self.samples()[slot])
        if sample < self._first_synthetic:
            image, label, *_ = read(self.real, sample)
            if self._real_transforms_itself:
                return image, label
        else:
            i = sample - self._first_synthetic
            image, label = self.synthetic.image(i), int(self.synthetic.labels[i])
            if image.mode != self._mode:
                image = self._converted(image, i)
            target_transform = getattr(self.real, "target_transform", None)
            label = label if target_transform is None else target_transform(label)
        return (image if self.transform is None else self.transform(image)), label

    def _converted(self, image: Any, i: int) -> Any:
        try:
            return image.convert(self._mode)
        except ValueError as error:
            raise DataError(
                f"{self.synthetic.describe(i)} cannot be used ({reason(error)}): store it as {self._mode}"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stream": None, "follower": None}


def _mode_of(real: Any) -> str:
    mode = getattr(real, "input_img_mode", None)
    if mode:
        return mode
    image = read(real, 0)[0]
    if isinstance(image, torch.Tensor):
        return "L" if image.ndim == 3 and image.shape[0] == 1 else "RGB"
    return getattr(image, "mode", "RGB")


def mix_datasets(
    real: Any,
    synthetic: str | Sequence[str],
    schedule: str = "two-phase",
    *,
    epochs: int | None = None,
    phase2_epochs: int | None = None,
    prob: float | None = None,
    rsp_from: str | None = None,
    ratio: float = math.inf,
    epoch: str | int = "real",
    label_match: str = "name",
    seed: int = 42,
    transform: Callable | None = None,
    image_mode: str | None = None,
    follow_symlinks: bool = False,
    filter: str | None = None,
    weights: str | None = None,
    scores: str | Sequence[str] | None = None,
) -> MixedDataset:
    """Real and synthetic images as one map-style data set for any PyTorch loop.

    Args:
        real: a map-style data set of (image, label): timm's, torchvision's, or your own with `classes` (and, for rsp,
            `targets`); or anything that `mvc_hf.data.loading.open_dataset` takes, such as a folder or a Hub id.
        synthetic: one or several labelled image sets, as `open_dataset` takes them.
        schedule: combined | two-phase | rsp | synthetic.
        epochs: epochs of the whole training; needed for two-phase alone.
        phase2_epochs: the last ones, on real images alone (default: 20 % of the epochs, at least 1).
        prob: rsp's probability (default: 0.8).
        rsp_from: where rsp's image comes from: the same class, any class, or those whose condition was that image
            (class | any | condition; default: class).
        ratio: at most so many synthetic images for each real one; which, the seed decides.
        epoch: samples in an epoch: "real" (as many as real images), "union", or a number.
        label_match: "name", or "index" where both sets count their classes alike.
        seed: of the streams.
        transform, image_mode: as for `MixedDataset`.
        follow_symlinks: as for `open_dataset`, of both kinds.
        filter: a condition on the columns of scores, such as "label_confidence > 0.2 and not looks_like_copy": only
            images of which it is true are used.
        weights: a number made of such columns: an image of twice the number comes twice as often.
        scores: files of scores, one for each set (default: `report/scores.parquet` beside each).

    Returns:
        A MixedDataset; call its `set_epoch(epoch)` before each epoch.

    Raises:
        RecipeError: a setting is out of range, or means nothing under the schedule.
        DataError: an image set cannot be used, or classes do not match.
    """
    _check_idle(schedule, {"rsp": {"prob": prob, "rsp_from": rsp_from}, "two-phase": {"phase2_epochs": phase2_epochs}})
    if isinstance(real, str):
        real = SourceImages(open_dataset(real, follow_symlinks=follow_symlinks))
    refuse_iterable(real)
    names = [synthetic] if isinstance(synthetic, str) else list(synthetic)
    sources = [open_dataset(name, every_class=False, follow_symlinks=follow_symlinks) for name in names]
    mixed = mix(
        real,
        sources,
        ratio=ratio,
        epoch=epoch,
        label_match=label_match,
        seed=seed,
        transform=transform,
        mode=image_mode,
        selection=select(names, sources, filter, weights, [scores] if isinstance(scores, str) else scores),
    )
    switch = None
    if schedule == "two-phase":
        if epochs is None:
            raise RecipeError("two-phase needs the number of epochs: epochs=N")
        switch = epochs - phase2_length(epochs, phase2_epochs)
    mixed.schedule = make_schedule(
        mixed,
        schedule,
        prob=0.8 if prob is None else prob,
        rsp_from="class" if rsp_from is None else rsp_from,
        switch=switch,
        seed=seed,
    )
    mixed.set_epoch(0)
    return mixed


def _check_idle(schedule: str, settings: dict[str, dict[str, Any]]) -> None:
    """Raises RecipeError: a setting is given that means something under another schedule only."""
    for of, own in settings.items():
        for name, value in own.items():
            if value is not None and schedule in SCHEDULES and schedule != of:
                raise RecipeError(f"{name} means nothing under schedule={schedule!r}: leave it out, or take {of!r}")


def mix(
    real: Any,
    sources: Sequence[Source],
    *,
    ratio: float,
    epoch: str | int,
    label_match: str,
    seed: int,
    transform: Callable | None = None,
    mode: str | None = None,
    selection: Selection | None = None,
) -> MixedDataset:
    """Both kinds of images as one data set that still lacks its schedule and its epoch."""
    check_pictures(real)
    for source in sources:
        source.check_lacking(0)
    classes = class_numbers(real)
    synthetic = SyntheticImages(sources, classes, label_match, seed, ratio * len(real), selection)
    if not len(synthetic):
        raise RecipeError(f"at most {ratio:g} synthetic images for each of {len(real)} real ones are none at all")
    classes = classes or {}
    without = set(classes.values()) - set(synthetic.labels.tolist())
    if without:
        names = [name for name, label in classes.items() if label in without]
        say(f"no synthetic images for {len(names)} of {len(classes)} classes: {some(names)}")
    length = epoch_length(epoch, len(real), len(synthetic))
    return MixedDataset(real, synthetic, None, length=length, transform=transform, image_mode=mode, epoch=NOT_YET)


def epoch_length(epoch: str | int, real: int, synthetic: int) -> int:
    """L from "real", "union" or a number."""
    if epoch in ("real", "union"):
        return real if epoch == "real" else real + synthetic
    try:
        return int(epoch)
    except ValueError:
        raise RecipeError(f"an epoch is real, union or a number of samples, not {epoch!r}") from None


def phase2_length(epochs: int, wanted: int | None) -> int:
    """Epochs of phase two: those wanted, or 20 % of all, at least 1.

    Raises:
        RecipeError: no epoch is left for one of the phases.
    """
    if epochs < 2:
        raise RecipeError(f"two phases need at least 2 epochs, got {epochs}: train longer or use combined")
    wanted = max(1, round(0.2 * epochs)) if wanted is None else wanted
    if not 1 <= wanted < epochs:
        raise RecipeError(
            f"phase two can have 1 to {epochs - 1} of {epochs} epochs, got {wanted} (--aug-phase2-epochs)"
        )
    return wanted


def make_schedule(
    mixed: MixedDataset, kind: str, *, prob: float, rsp_from: str, switch: int | None, seed: int
) -> SamplingSchedule:
    """The schedule by its name; `switch` is the first epoch of phase two.

    Raises:
        RecipeError, DataError: as `mix_datasets`.
    """
    sizes = len(mixed.real), len(mixed.synthetic), mixed.length
    if kind == "combined":
        return schedules.Combined(*sizes, seed=seed)
    if kind == "two-phase":
        assert switch is not None, "two phases have a switch"
        return schedules.TwoPhase(*sizes, seed=seed, switch=switch)
    if kind == "synthetic":
        return schedules.Synthetic(*sizes, seed=seed)
    if kind != "rsp":
        raise RecipeError(f"there is no schedule {kind!r}: choose one of {', '.join(SCHEDULES)}")
    made = schedules.RandomReplacement(*sizes, seed=seed, prob=prob, pools=_pools(mixed, rsp_from))
    if made.without_pool:
        say(f"{made.without_pool} of {len(mixed.real)} real images stay: no synthetic one may take their place")
    return made


def _pools(mixed: MixedDataset, rsp_from: str) -> Pools:
    if rsp_from == "any":
        return Pools.all(len(mixed.real), len(mixed.synthetic))
    if rsp_from == "class":
        return Pools.same(labels(mixed.real), mixed.synthetic.labels)
    if rsp_from != "condition":
        raise RecipeError(f"replacements come from {', '.join(RSP_FROM)}, not from {rsp_from!r}")
    conditions, known = mixed.synthetic.conditions(), labels(mixed.real)
    beyond = conditions >= len(known)
    other = ~beyond & (conditions >= 0) & (known[np.where(beyond, 0, conditions)] != mixed.synthetic.labels)
    if beyond.any() or other.any():
        raise DataError(
            f"{np.count_nonzero(beyond | other)} synthetic images name a condition image that these real images do "
            "not have, or have under another class: the real set is not the one (or not in the order) that they were "
            "made from; replace by class (--aug-rsp-from class)"
        )
    return Pools.same(np.arange(len(known)), conditions)
