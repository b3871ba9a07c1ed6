"""What is generated, and how it is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...errors import RecipeError
from ..fields import GENERATE, MOST_AT_A_TIME, UNLESS_DEFAULT, Settings, flag, setting
from ..schedulers import check_scheduler
from .data import LONGEST_SIDE

BUILT_IN = ("mvc", "pretrained")
METHOD_NAMES = list(BUILT_IN)  # and those that `register_method` adds; what they stand for: methods.registry
MOST_IMAGES = 10**8  # of a data set: what there is to say of each is held in memory

_setting = partial(setting, on=(GENERATE,))


@dataclass(frozen=True)
class GenerateSettings(Settings):
    """The synthetic images: how many, by which method, and how they are sampled."""

    method: str = _setting("mvc", "mvc, or pretrained: the untouched base, prompted", choices=METHOD_NAMES)
    images_per_class: int | None = _setting(
        None,
        "synthetic images of each class (default: 100, where neither --total nor --per-image is given)",
        minimum=1,
        maximum=MOST_IMAGES,
    )
    total: int | None = _setting(
        None,
        "synthetic images in all, as many of each class",
        minimum=1,
        maximum=MOST_IMAGES,
    )
    balance: bool = _setting(
        False,
        "share --total out so that real and synthetic images together become as equal in number as can be",
    )
    per_image: int | None = _setting(
        None,
        "synthetic images for each real image of the class",
        minimum=1,
        maximum=MOST_IMAGES,
    )
    scheduler: str = _setting("DPMSolverMultistepScheduler", "a scheduler of diffusers, by class name")
    num_inference_steps: int = _setting(25, "denoising steps", minimum=1, maximum=1000)
    guidance_scale: float = _setting(7.5, "w of Eq. 6; 1 switches guidance off", minimum=0, maximum=1000)
    image_guidance_scale: float | None = _setting(
        None,
        "a scale of its own for the image: InstructPix2Pix's three-way rule",
        minimum=0,
        maximum=1000,
    )
    guidance_start: float = _setting(
        0.0,
        "share of the steps after which guidance begins to act; where it does not, a step takes one pass",
        minimum=0,
        maximum=1,
        identity=UNLESS_DEFAULT,
    )
    guidance_stop: float = _setting(
        1.0, "share of the steps after which guidance acts no more", minimum=0, maximum=1, identity=UNLESS_DEFAULT
    )
    image_size: int | None = _setting(
        None, "side of the images (default: as the source's)", minimum=8, maximum=LONGEST_SIDE
    )
    batch_size: int = _setting(16, "images at a time", minimum=1, maximum=MOST_AT_A_TIME, identity=False)
    decode_batch_size: int | None = _setting(
        None,
        "images that the VAE decodes at a time (default: as many as --batch-size)",
        minimum=1,
        maximum=MOST_AT_A_TIME,
        identity=False,
    )
    shard_size: int = _setting(1000, "rows of a Parquet shard", minimum=1, maximum=10_000_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scheduler(self.scheduler)
        self._check_counts()
        if self.guidance_start >= self.guidance_stop:
            raise RecipeError(
                f"--guidance-start {self.guidance_start:g} is not below --guidance-stop {self.guidance_stop:g}; for "
                "no guidance at all take --guidance-scale 1"
            )

    def _check_counts(self) -> None:
        given = [n for n in ("images_per_class", "total", "per_image") if getattr(self, n) is not None]
        if len(given) > 1:
            raise RecipeError(f"{' and '.join(map(flag, given))} each say how many images to make: give one of them")
        if self.balance and self.total is None:
            raise RecipeError("--balance goes with --total: say how many images there are to share out")
