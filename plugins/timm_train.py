"""--aug-synthetic for timm's own train.py, unmodified: two-phase, RSP, combined.

    mvc-hf train TRAIN_PY [timm flags] --aug-synthetic org/name
    torchrun --nproc-per-node 2 -m mvc_hf.plugins.timm_train TRAIN_PY [timm flags] --aug-synthetic org/name

The script is loaded as a module. Its parser gets more flags, and four names in its own namespace are replaced by
functions that call the original and then do our part: timm itself is not touched.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..augment.mixed_dataset import MixedDataset, make_schedule, mix
from ..augment.scores import Selection, select
from ..augment.targets import check_pictures, largest_label, refuse_iterable
from ..data.base import Source
from ..data.loading import open_dataset
from ..ending import exit_code, line_of
from ..errors import DataError, HostError, ModelError, MvcError, RecipeError
from ..utils.progress import say
from ..utils.text import brief, reason
from .timm_checks import check_classes, check_config, check_flags, check_labels, place_of, say_where_validated
from .timm_cpu_ddp import allow_cpu
from .timm_flags import ALONE, add_flags, check_idle, check_policy, check_settings
from .timm_policies import insert_policy
from .timm_resume import check_resumed
from .timm_script import TRIED, load_script, where_to_get
from .timm_two_phase import two_phase_scheduler

__all__ = ["main", "train"]


class Hook:
    """Our part of one run of the script, from its settings to its schedule of learning rates."""

    def __init__(self, script: Any) -> None:
        self._script = script
        self._given: Any = None  # all settings
        self._args: Any = None  # the same, where there are synthetic images
        self.begun = False  # training, as far as can be seen from here
        self.updates = 0  # of the optimizer, in the whole run, as far as its schedule of rates says
        self._sources: list[Source] = []
        self._selection: Selection | None = None
        self._mixed: MixedDataset | None = None
        self._loaded = False
        self._trained_on: tuple[str, ...] | None = None  # where the training images are

    def install(self) -> None:
        """Add the flags, and stand before the functions that the script calls."""
        script = self._script
        add_flags(script.parser)
        script.parser.parse_args = self._before(script.parser.parse_args, self.parse_args)
        if hasattr(script, "config_parser"):
            config_parser = script.config_parser
            config_parser.parse_known_args = self._before(config_parser.parse_known_args, self.parse_config)
        if hasattr(script, "create_model"):
            script.create_model = self._before(script.create_model, self.create_model)
        script.create_dataset = self._before(script.create_dataset, self.create_dataset)
        script.create_loader = self._before(script.create_loader, self.create_loader)
        script.create_scheduler_v2 = self._before(script.create_scheduler_v2, self.create_scheduler)

    @staticmethod
    def _before(original: Callable, ours: Callable) -> Callable:
        return functools.wraps(original)(functools.partial(ours, original))

    def parse_config(self, original: Callable, *args: Any, **kwargs: Any) -> Any:
        """timm's --config, before timm reads it."""
        found, rest = original(*args, **kwargs)
        if getattr(found, "config", None):
            check_config(found.config)
        return found, rest

    def parse_args(self, original: Callable, *args: Any, **kwargs: Any) -> Any:
        """Settings are checked and synthetic sets opened before anything else happens.

        The commit of a Hub data set takes the place of its branch, so args.yaml says what was used.
        """
        self._given = found = original(*args, **kwargs)
        check_flags(found)
        check_policy(found)
        if not found.aug_synthetic:
            check_idle(found)
            check_resumed(found)
            return found
        check_settings(found)
        links = {"follow_symlinks": found.aug_follow_symlinks}
        self._sources = [open_dataset(name, every_class=False, **links) for name in found.aug_synthetic]
        self._selection = select(
            found.aug_synthetic, self._sources, found.aug_filter, found.aug_weights, found.aug_scores
        )
        found.aug_synthetic = [
            f"{source.name}@{source.revision}" if source.revision else name
            for source, name in zip(self._sources, found.aug_synthetic)
        ]
        check_resumed(found)
        self._args = found
        return found

    def create_model(self, original: Callable, *args: Any, **kwargs: Any) -> Any:
        """timm's own, whose errors are of many kinds."""
        try:
            return original(*args, **kwargs)
        except (MvcError, MemoryError):
            raise
        except Exception as error:
            name = brief(args[0] if args else kwargs.get("model_name"))
            raise ModelError(f"timm cannot make the model {name}: {type(error).__name__}: {reason(error)}") from error

    def create_dataset(self, original: Callable, *args: Any, **kwargs: Any) -> Any:
        """Training images become real and synthetic ones; any other data set is looked at, and left as it is."""
        try:
            real = original(*args, **kwargs)
        except (MvcError, MemoryError):
            raise
        except Exception as error:
            what = brief(getattr(self._given, "dataset", None) or kwargs.get("root"))
            raise DataError(f"timm cannot open the real images of {what}: {reason(error)}") from error
        training, classes = kwargs.get("is_training"), getattr(self._given, "num_classes", None)
        place = place_of(real, args[0] if args else kwargs.get("name"), kwargs.get("root"), kwargs.get("split"))
        if training:
            check_classes(real, classes)
            self._trained_on = place
        else:
            say_where_validated(self._trained_on, place)
        if self._args is None:
            return real
        if not training:
            check_pictures(real)
            check_labels(largest_label(real), classes, "validation")
            return real
        refuse_iterable(real)
        settings = self._args
        mixed = self._mixed = mix(
            real,
            self._sources,
            ratio=math.inf if settings.aug_ratio is None else settings.aug_ratio,
            epoch=settings.aug_epoch,
            label_match=settings.aug_label_match,
            seed=getattr(settings, "seed", 42),
            selection=self._selection,
        )
        check_labels(max(largest_label(real), int(mixed.synthetic.labels.max())), classes, "training")
        if settings.aug_schedule != "two-phase":  # which needs to know when the run ends
            self._schedule(mixed, None)
        say(
            f"{len(real)} real and {len(mixed.synthetic)} synthetic images, {settings.aug_schedule}, "
            f"{len(mixed)} samples in an epoch"
        )
        return mixed

    def create_loader(self, original: Callable, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """The epoch must reach the training images and their sampler, whatever wraps them."""
        if kwargs.get("num_workers") == 0:  # up to timm 1.0.28 its default is refused by torch where there are none
            kwargs.setdefault("persistent_workers", False)
        policy = getattr(self._given, ALONE, None) if kwargs.get("is_training") else None
        if policy:
            kwargs["color_jitter"] = None  # as timm does for its own policies
        loader = original(dataset, *args, **kwargs)
        if policy:
            insert_policy(loader.dataset, policy)
        if self._mixed is None or _innermost(dataset) is not self._mixed:
            return loader
        if not len(loader):
            raise RecipeError(
                f"an epoch of {len(self._mixed)} samples leaves no full batch of {kwargs.get('batch_size')} to each "
                "process: lower --batch-size, or raise --aug-epoch"
            )
        # Some versions of timm set the epoch of the sampler only where the data set has no set_epoch, and AugMix's
        # wrapper hides ours.
        self._mixed.follower = loader.sampler if hasattr(loader.sampler, "set_epoch") else None
        for wrapper in (dataset, loader.dataset):
            if not hasattr(wrapper, "set_epoch"):
                wrapper.set_epoch = self._mixed.set_epoch
        self._loaded = True
        return loader

    def create_scheduler(self, original: Callable, optimizer: Any, **kwargs: Any) -> tuple[Any, int]:
        """Two phases have a schedule of rates each; where the switch is, the data set learns here."""
        scheduler, epochs = self._create_scheduler(original, optimizer, **kwargs)
        self.updates = epochs * kwargs.get("updates_per_epoch", 0)
        return scheduler, epochs

    def _create_scheduler(self, original: Callable, optimizer: Any, **kwargs: Any) -> tuple[Any, int]:
        settings = self._args
        if settings is None:
            made = original(optimizer, **kwargs)
            self.begun = True
            return made
        if self._mixed is None or not self._loaded:
            raise HostError(
                "this train.py has not made its training loader from create_dataset(..., is_training=True) and "
                f"create_loader(...), which the hook relies on. Tried were those of timm {TRIED}; {where_to_get()}"
            )
        if settings.aug_schedule != "two-phase":
            made = original(optimizer, **kwargs)
            self.begun = True
            return made
        scheduler, epochs = two_phase_scheduler(
            original,
            optimizer,
            phase2_epochs=settings.aug_phase2_epochs,
            lr_scale=settings.aug_phase2_lr_scale,
            **kwargs,
        )
        self._schedule(self._mixed, scheduler.switch)
        self.begun = True
        say(f"phase two, real images alone, from epoch {scheduler.switch} of {epochs} (counted from 0)")
        return scheduler, epochs

    def _schedule(self, mixed: MixedDataset, switch: int | None) -> None:
        settings = self._args
        mixed.schedule = make_schedule(
            mixed,
            settings.aug_schedule,
            prob=settings.aug_prob,
            rsp_from=settings.aug_rsp_from,
            switch=switch,
            seed=getattr(settings, "seed", 42),
        )


def _innermost(dataset: Any) -> Any:
    """The data set within its wrappers (AugMix, scheduled sizes)."""
    while not isinstance(dataset, MixedDataset) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def train(script: str, flags: Sequence[str], prepare: Callable[[Any, Hook], None] | None = None) -> None:
    """Run timm's train.py with the flags of this file added to its own.

    Args:
        script: path of the train.py.
        flags: its command line.
        prepare: is given the script as a module, and the hook, before its main() is called.

    Raises:
        HostError: not a train.py that the hook knows.
        RecipeError, DataError: settings or image sets that cannot be used, before any training starts.
        SystemExit: from the script's parser.
    """
    from . import timm_models  # noqa: F401  (registers WRN-28-2 and WRN-28-10 for --model)

    module = load_script(script)
    allow_cpu(module)
    hook = Hook(module)
    hook.install()
    if prepare:
        prepare(module, hook)
    before = sys.argv
    sys.argv = [str(script), *flags]
    try:
        module.main()
    except Exception as error:
        if hook.begun or line_of(error):
            raise  # of timm, in the midst of training, where it was says more than a line
        why = f"{type(error).__name__}: {reason(error)}"
        raise HostError(f"{Path(script).name} stopped before training began: {why}") from error
    finally:
        sys.argv = before


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point for launchers that take a module; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0].startswith("-"):
        print(f"Error: name a train.py first: {where_to_get()}", file=sys.stderr)
        return 2
    script, *flags = arguments
    return exit_code(lambda: train(script, flags))


if __name__ == "__main__":
    from mvc_hf.plugins import timm_train  # under its real name: classes in __main__ cannot reach spawned workers

    sys.exit(timm_train.main())
