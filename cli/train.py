"""mvc-hf train"""

from __future__ import annotations

import click


@click.command(
    "train",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("train_py", required=False)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[TIMM FLAGS]")
def command(train_py: str | None, flags: tuple[str, ...]) -> None:
    """Run timm's own train.py, unmodified, on real and synthetic images.

    TRAIN_PY is the script of timm's repository at the tag of the installed version. It takes all of timm's flags, and
    those for synthetic images: `mvc-hf train TRAIN_PY --help` shows both. With --resume, give the same flags again.

    A folder of real images has folders train/ and validation/, and these one for each class. Without them timm
    validates on the training images; a line says so.

    \b
    Example:
      mvc-hf train train.py photos/ --model resnet18 --num-classes 10 --epochs 50 --aug-synthetic org/photos-mvc
    Every pass over real and synthetic images, each real image replaced now and then:
      mvc-hf train train.py ... --aug-synthetic org/photos-mvc --aug-schedule rsp --aug-prob 0.8
    On several GPUs:
      torchrun --nproc-per-node 2 -m mvc_hf.plugins.timm_train train.py ... --aug-synthetic org/photos-mvc
    """
    if train_py is None:
        from ..plugins.timm_script import where_to_get

        raise click.UsageError(f"name timm's train.py first; {where_to_get()}")

    from ..plugins.timm_script import check_script

    check_script(train_py)  # before torch and timm are imported, which takes seconds

    from ..plugins.timm_train import train

    train(train_py, list(flags))
