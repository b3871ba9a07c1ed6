"""How classifiers are compared: the section `compare` of a recipe, and what it shares with `sweep`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import RecipeError
from ...utils.text import brief
from ..fields import Settings, flag, setting

COMPARE, SWEEP = "compare", "sweep"
TRAINING = (COMPARE, SWEEP)

SCHEDULES = ("combined", "rsp", "two-phase", "synthetic")
AUGMENTATIONS = ("none", "randaugment", "autoaugment", "autoaugment-cifar")
AXES = ("coarse", "fine", "guidance_scale", "num_inference_steps", "aug_ratio")  # of a sweep
WHOLE = ("coarse", "fine", "num_inference_steps")
MOST = 1000  # entries of a list: each is a training, or many


@dataclass(frozen=True)
class ClassifierSettings(Settings):
    """The classifier that every arm trains alike, and what it is judged by."""

    classifier: str = setting("resnet18", "classifier: a model of timm", on=TRAINING, alias="--model")
    classifier_kwargs: str = setting(
        "", "arguments of that model, as timm's --model-kwargs takes them: 'depth=10 width=1'", on=TRAINING
    )
    input_size: int | None = setting(
        None, "side of the classifier's images (default: that of the real ones)", on=TRAINING, minimum=4, maximum=8192
    )
    epochs: int = setting(
        100,
        "epochs of as many samples as there are real images, of every arm",
        on=TRAINING,
        minimum=2,
        maximum=1_000_000,
    )
    batch_size: int = setting(32, "images of a step", on=TRAINING, minimum=1, maximum=8192)
    lr: str = setting(
        "0.002",
        "peak learning rate; of several (0.001,0.003) each arm takes its best on the validation split",
        on=TRAINING,
    )
    weight_decay: float = setting(0.05, "weight decay", on=TRAINING, minimum=0, maximum=100)
    warmup_epochs: int = setting(2, "epochs of linear warm-up", on=TRAINING, minimum=0, maximum=1_000_000)
    smoothing: float = setting(0.1, "label smoothing", on=TRAINING, minimum=0, maximum=0.99)
    seeds: int = setting(5, "trainings of each arm, with the seeds 0, 1, …", on=TRAINING, minimum=1, maximum=1000)
    validation_fraction: float = setting(
        0.2, "share of each class of the real images that choices are made on; 0 makes none", on=TRAINING, minimum=0,
        maximum=0.5,
    )  # fmt: skip
    rsp_prob: float = setting(
        0.8, "rsp: probability of a synthetic image in a slot", on=TRAINING, minimum=0, maximum=1
    )
    phase2_epochs: int | None = setting(
        None, "two-phase: the last epochs, on real images alone (default: 20 % of them)", on=TRAINING, minimum=1
    )
    phase2_lr_scale: float = setting(
        0.1, "two-phase: phase two starts at this part of the rate", on=TRAINING, above=0, maximum=100
    )
    script: str = setting(
        "", "timm's own train.py to train with (default: a small script of timm's factories, with AdamW)", on=TRAINING
    )
    script_flags: str = setting("", "more flags of that train.py, for every arm: '--opt sgd --mixup 0.2'", on=TRAINING)
    workers: int | None = setting(
        None, "trainings side by side (default: one for each GPU, or each core)", on=TRAINING, minimum=1, maximum=1024
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for rate in numbers("lr", self.lr):
            if not 0 < rate <= 100:
                raise RecipeError(f"--lr is {rate:g}; it must be greater than 0 and at most 100")
        if len(self.rates) > 1 and not self.validation_fraction:
            raise RecipeError("--lr names several rates, and --validation-fraction 0 leaves nothing to choose one on")
        if self.phase2_epochs is not None and self.phase2_epochs >= self.epochs:
            raise RecipeError(f"--phase2-epochs is {self.phase2_epochs}; it must be less than --epochs {self.epochs}")
        if self.script_flags and not self.script:
            raise RecipeError("--script-flags goes with --script: they are flags of timm's train.py")

    @property
    def rates(self) -> tuple[float, ...]:
        return numbers("lr", self.lr)


@dataclass(frozen=True)
class CompareSettings(ClassifierSettings):
    """Which arms there are."""

    test_dataset: str = setting(
        "", "the test images, read once, by the trained classifiers (default: the data set itself)", on=(COMPARE,)
    )
    test_split: str = setting("test", "split of the test images", on=(COMPARE,))
    augmentations: str = setting(
        ",".join(AUGMENTATIONS),
        "augmentations, each an arm without and arms with synthetic images; also policies of timm's --aa",
        on=(COMPARE,),
    )
    schedules: str = setting(",".join(SCHEDULES), "how synthetic images are used, each an arm", on=(COMPARE,))
    methods: str = setting(
        "",
        "methods of generating that are compared, where no --synthetic is given (default: the recipe's)",
        on=(COMPARE,),
    )
    aug_ratio: float | None = setting(
        None, "at most so many synthetic images for each real one (default: all)", on=(COMPARE,), above=0, maximum=1e6
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in entries("schedules", self.schedules):
            if name not in SCHEDULES:
                raise RecipeError(f"--schedules names {brief(name)}; choose among {', '.join(SCHEDULES)}")
        entries("augmentations", self.augmentations)
        if self.methods:
            entries("methods", self.methods)

    def list_of(self, name: str) -> tuple[str, ...]:
        """The entries of a setting that is a list."""
        return entries(name, getattr(self, name))


@dataclass(frozen=True)
class SweepSettings(ClassifierSettings):
    """Which cells there are, and what they are judged by."""

    coarse: str = setting("0,2", "P, coarse copies of the mix: a list", on=(SWEEP,))
    fine: str = setting("0,8", "Q, fine copies of the mix: a list", on=(SWEEP,))
    guidance_scale: str = setting("1,2,4", "guidance: a list", on=(SWEEP,))
    num_inference_steps: str = setting("", "denoising steps: a list (default: the recipe's)", on=(SWEEP,))
    aug_ratio: str = setting(
        "", "at most so many synthetic images for each real one: a list (default: all that are made)", on=(SWEEP,)
    )
    schedule: str = setting("combined", "how synthetic images are used", on=(SWEEP,), choices=SCHEDULES)
    augmentation: str = setting("none", "of all images: none, randaugment, … as for compare", on=(SWEEP,))
    validation_dataset: str = setting(
        "", "real images to judge by, in place of a part of the training images; not the test set", on=(SWEEP,)
    )
    validation_split: str = setting("validation", "split of those", on=(SWEEP,))
    features: str = setting(
        "classifier", "what fidelity and diversity are measured in, as for mvc-hf report --features", on=(SWEEP,)
    )
    shown: int = setting(2, "images of each class and cell on the sheet", on=(SWEEP,), minimum=1, maximum=20)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.rates) > 1:
            raise RecipeError("--lr names several rates; a sweep takes one, the same for all cells")
        if not self.validation_dataset and not self.validation_fraction:
            raise RecipeError("--validation-fraction 0 leaves nothing to judge cells by: give --validation-dataset")
        for name in AXES:
            if getattr(self, name):
                self.axis(name)
        cells = math.prod(len(self.axis(name)) or 1 for name in AXES)
        if cells > MOST:
            raise RecipeError(f"these lists make {cells:,} cells; at most {MOST:,}: shorten one")

    def axis(self, name: str) -> tuple[float, ...]:
        """The values of one of `AXES`; none where the recipe's is taken. Raises RecipeError."""
        if not getattr(self, name):
            return ()
        found = numbers(name, getattr(self, name))
        whole = name in WHOLE
        for value in found:
            if whole and value != int(value):
                raise RecipeError(f"{flag(name)} has {value:g}; it takes whole numbers")
            if name == "aug_ratio" and not 0 < value <= 1e6:
                raise RecipeError(f"{flag(name)} has {value:g}; it must be above 0, and at most 1,000,000")
        return tuple(int(value) for value in found) if whole else found


def entries(name: str, text: str) -> tuple[str, ...]:
    """The entries of a list, "a, b" (recipes may write [a, b]), without spaces around them.

    Raises:
        RecipeError: there are none, too many, an empty one, or one twice.
    """
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise RecipeError(f"{flag(name)} is {brief(text)}; give one or several, with commas between them")
    if len(found) > MOST:
        raise RecipeError(f"{flag(name)} has {len(found)} entries; at most {MOST}")
    twice = next((entry for entry in found if found.count(entry) > 1), None)
    if twice is not None:
        raise RecipeError(f"{flag(name)} names {brief(twice)} twice: once is enough")
    return found


def numbers(name: str, text: str) -> tuple[float, ...]:
    """The same, as finite numbers. Raises RecipeError."""
    found = []
    for entry in entries(name, text):
        try:
            value = float(entry)
        except ValueError as error:
            raise RecipeError(f"{flag(name)} is {brief(text)}; {brief(entry)} is no number") from error
        if not abs(value) < float("inf"):
            raise RecipeError(f"{flag(name)} is {brief(text)}; {brief(entry)} is not finite")
        found.append(value)
    if len(set(found)) < len(found):
        raise RecipeError(f"{flag(name)} is {brief(text)}; it names a number twice")
    return tuple(found)
