"""mvc-hf finetune"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from ..config.fields import FINETUNE
from ..config.recipe import Recipe
from .hub_options import hub_options, push_target
from .options import recipe_options, report
from .sections import SectionedCommand


@click.command("finetune", cls=SectionedCommand)
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    "--output-dir",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    help="folder of the checkpoint",
)
@recipe_options(FINETUNE, without=("dataset",))
@hub_options("model")
def command(dataset: str, output: Path, push_to_hub: bool, hub_id: str | None, private: bool, **settings: Any) -> None:
    """Fine-tune a Stable Diffusion base on a labelled image set.

    DATASET is a Hub id (org/name[:config][@revision]), a folder of class folders, Parquet, or torchvision:NAME.
    The same command, given again after an interruption, goes on from the last checkpoint; with more --max-train-steps
    also after its end. Until then preview and generate take the folder, or one of its checkpoints/step-N, as it is.

    \b
    Example:
      mvc-hf finetune photos/ -o checkpoint --base stable-diffusion-v1-5/stable-diffusion-v1-5 \\
          --mixed-precision fp16 --gradient-checkpointing
    To publish it, too, with a sheet of synthetic images:
      mvc-hf finetune photos/ -o checkpoint --base ... --push-to-hub --hub-model-id my-name/flowers-mvc
    On several GPUs:
      accelerate launch -m mvc_hf.cli finetune photos/ -o checkpoint --base ...
    """
    recipe = Recipe(dataset=dataset, **settings)
    repository = push_target("model", push_to_hub, hub_id, private, output)

    from ..training.finetune import finetune, said_of

    metadata = finetune(recipe, output)
    report(f"{output}: {said_of(metadata)}")
    if repository:
        from ..publish.push import push
        from ..workflows.samples import draw_samples

        prepare = partial(draw_samples, dataset=dataset)
        report(str(push(output, repository, "model", private=private, prepare=prepare)))
