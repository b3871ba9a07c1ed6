"""mvc-hf push"""

from __future__ import annotations

from pathlib import Path

import click

from .options import report


@click.command("push", short_help="Publish a checkpoint or a synthetic data set on the Hub.")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("repository", required=False)
@click.option("--private", is_flag=True, help="make the repository private, if it has to be made")
@click.option(
    "--revision", default=None, help="branch to push to, made if it is not there, or refs/pr/N (default: main)"
)
@click.option("--tag", default=None, help="tag for the commit that holds it all")
def command(out: Path, repository: str | None, private: bool, revision: str | None, tag: str | None) -> None:
    """Publish what `mvc-hf finetune` or `mvc-hf generate` made.

    OUT is their folder, or checkpoints/step-N in that of a fine-tuning; REPOSITORY is org/name (default: your name and
    that of the folder). Everything becomes visible in one commit, or nothing does. The same command, given again after
    an interruption, sends only what is missing; where the repository holds it all already, it does nothing. What it
    held before stays reachable in its history.

    \b
    Example:
      mvc-hf push checkpoint my-name/flowers-mvc --private
      mvc-hf push synthetic my-name/flowers-synthetic --tag v1
    """
    from ..publish.push import push

    report(str(push(out, repository, private=private, revision=revision, tag=tag)))
