"""What the commands share: options, made from the declarations in `mvc_hf.config`, and the last line."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..config.fields import Settings, flag
from ..config.recipe import Recipe
from ..errors import OutputError
from ..storage.locks import strangers
from ..utils.text import brief, shortened, visible
from .sections import SectionedOption, section_of


def recipe_options(stage: str, *, without: tuple[str, ...] = ()) -> Callable:
    """One option for each setting of a stage, with its default and help. Limits are checked by `Recipe`."""
    kinds = typing.get_type_hints(Recipe)

    def decorate(function: Callable) -> Callable:
        fields = [f for f in dataclasses.fields(Recipe) if stage in f.metadata["on"] and f.name not in without]
        for field in reversed(fields):
            function = _option(field, kinds[field.name], section=section_of(field.name))(function)
        return function

    return decorate


def settings_options(settings: type[Settings], *, over_a_file: bool = False) -> Callable:
    """One option for each of some settings that are no part of a `Recipe`. Limits are checked by their class.

    Args:
        over_a_file: they are those of a section of a recipe: what is given goes over it, and help says the defaults.
    """
    kinds = typing.get_type_hints(settings)

    def decorate(function: Callable) -> Callable:
        for field in reversed(dataclasses.fields(settings)):
            function = _option(field, kinds[field.name], over_a_file)(function)
        return function

    return decorate


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """Of the values of options over a file those that stand on the command line."""
    return {name: value for name, value in settings.items() if value is not None}


def _option(field: dataclasses.Field, kind: Any, over_a_file: bool = False, section: str = "") -> Callable:
    kind = next((k for k in typing.get_args(kind) if k is not type(None)), kind)
    common = {
        "default": field.default,
        "help": field.metadata["help"],
        "show_default": field.default not in (None, ""),
        "cls": SectionedOption,
        "section": section,
    }
    if over_a_file:
        common |= {"default": None, "show_default": str(field.default) if common["show_default"] else False}
    if kind is bool:
        return click.option(f"{flag(field.name)}/--no-{flag(field.name)[2:]}", **common)
    choices, alias = field.metadata["choices"], field.metadata["alias"]
    names = [flag(field.name), alias] if alias else [flag(field.name)]
    return click.option(*names, type=click.Choice(choices) if choices else kind, **common)


def output_folder(what: str) -> Callable:
    """-o, which others call --output-dir."""
    kind = click.Path(path_type=Path)
    return click.option("-o", "--output", "--output-dir", "output", type=kind, required=True, help=what)


def refuse_output(output: Path, what: str) -> None:
    """Raises OutputError where a single file cannot be written: found out before any work is done for it."""
    place = shortened(str(output))
    if output.is_dir():
        raise OutputError(f"{place} is a folder: give the name of {what}")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{place} lies in no folder that is there: give the name of {what}")
    if output.exists() and not output.is_file():
        raise OutputError(f"{place} is no regular file: give the name of {what}")
    if not os.access(output if output.exists() else output.absolute().parent, os.W_OK):
        raise OutputError(f"{place} cannot be written: choose another place for {what}")


def refuse_folder(output: Path, *files: str) -> None:
    """Raises OutputError where a folder cannot be written, or holds others' files: found out before any work is done.

    Args:
        files: names of what is written there, and may be there already.
    """
    place = shortened(str(output))
    there = next(p for p in (output.absolute(), *output.absolute().parents) if p.exists())
    if not there.is_dir():
        raise OutputError(f"{place} cannot be a folder: {shortened(str(there))} is a file")
    if not os.access(there, os.W_OK):
        raise OutputError(f"{place} cannot be written: choose another folder (-o)")
    if found := strangers(output, *files):
        raise OutputError(f"{place} holds {brief(found[0])}: choose an empty or a new folder (-o)")


def report(line: str) -> None:
    """Say what was made, on standard output, once for all processes. It may have several lines."""
    from ..utils.progress import is_main_process

    if is_main_process():
        click.echo(visible(line))


def report_json(values: dict[str, Any]) -> None:
    """The same, for programs: nothing else goes to standard output."""
    report(json.dumps(values, indent=2))
