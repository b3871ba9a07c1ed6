"""What finetune and generate share: flags that publish what they made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click


def hub_options(kind: str) -> Callable:
    """--push-to-hub, --hub-model-id or --hub-dataset-id, and --private; the id arrives as `hub_id`."""
    flag, what = f"--hub-{kind}-id", {"model": "model", "dataset": "data set"}[kind]

    def decorate(function: Callable) -> Callable:
        for option in (
            click.option("--private", is_flag=True, help="make the repository private, if it has to be made"),
            click.option(flag, "hub_id", default=None, help="repository (default: your name and that of the folder)"),
            click.option("--push-to-hub", is_flag=True, help=f"publish the {what} on the Hub when it is finished"),
        ):
            function = option(function)
        return function

    return decorate


def push_target(kind: str, push_to_hub: bool, hub_id: str | None, private: bool, folder: Path) -> str | None:
    """The repository to push to, found fit for it before anything is spent; None where nothing is pushed.

    Only the main process of several pushes.
    """
    if not push_to_hub:
        for name, value in ((f"--hub-{kind}-id", hub_id), ("--private", private)):
            if value:
                raise click.UsageError(f"{name} goes with --push-to-hub: give both, or neither")
        return None
    from ..utils.progress import is_main_process

    if not is_main_process():
        return None
    from ..hub.access import check_push

    return check_push(hub_id, kind, folder=folder, private=private)
