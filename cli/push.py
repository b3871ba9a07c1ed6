"""mvc-hf push"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ..storage.layout import METADATA
from .options import report


@click.command("push")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("repository", required=False)
@click.option("--private", is_flag=True, help="make the repository private, if it has to be made")
@click.option(
    "--revision", default=None, help="branch to push to, made if it is not there, or refs/pr/N (default: main)"
)
@click.option(
    "--dataset",
    default="",
    help="of a checkpoint: the real images that its samples are conditioned on (default: its own)",
)
@click.option(
    "--samples/--no-samples",
    default=None,
    help="draw samples of a checkpoint for its card, all of them synthetic (default: where that takes no hours)",
)
@click.option("--tag", default=None, help="tag for the commit that holds it all")
def command(
    out: Path,
    repository: str | None,
    private: bool,
    revision: str | None,
    dataset: str,
    samples: bool | None,
    tag: str | None,
) -> None:
    """Publish what `mvc-hf finetune` or `mvc-hf generate` made.

    OUT is their folder, or checkpoints/step-N in that of a fine-tuning; REPOSITORY is org/name (default: your name and
    that of the folder). Everything becomes visible in one commit, or nothing does. The same command, given again after
    an interruption, sends only what is missing; where the repository holds it all already, it does nothing. What it
    held before stays reachable in its history.

    With a checkpoint go its recipe (mvc.yaml, without local paths), its losses and a sheet of synthetic images, which
    is drawn where samples.png is not there; with a data set a sheet of its own images.

    \b
    Example:
      mvc-hf push checkpoint my-name/flowers-mvc --dataset photos/ --private
      mvc-hf push synthetic my-name/flowers-synthetic --tag v1
    """
    if (dataset or samples is not None) and not (out / METADATA).exists():
        raise click.UsageError("--dataset and --samples are for a checkpoint: leave them out for a data set")

    from ..publish.push import push
    from ..workflows.samples import draw_samples

    prepare = partial(draw_samples, dataset=dataset, wanted=samples)
    report(str(push(out, repository, private=private, revision=revision, tag=tag, prepare=prepare)))
