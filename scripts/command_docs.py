"""Write docs/commands.md from the commands' own help: python scripts/command_docs.py"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from mvc_hf import cli

HEAD = """# Commands

Every command takes `--help`. What a command has finished is kept: given again after an interruption, it goes on.
Exit codes: 0, 1 for an error (one line on standard error), 2 for wrong usage, 130 after Ctrl-C and 143 after SIGTERM.
Caches lie in `MVC_HF_CACHE`, or below the cache folder of the Hugging Face libraries. Tokens come from `hf auth login`
or `HF_TOKEN`, never from a flag.
"""


def text() -> str:
    return HEAD + "".join(_section(name) for name in cli.COMMANDS)


def _section(name: str) -> str:
    command = cli.group.get_command(click.Context(cli.group), name)
    context = click.Context(command, info_name=f"mvc-hf {name}")
    help_text = inspect.cleandoc(command.help).replace("\b\n", "")
    about, _, example = help_text.partition("Example:")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"\n## mvc-hf {name}\n", f"    {usage}\n", about.strip() + "\n"]
    lines += ["Example:\n", *[f"    {line}".rstrip() for line in example.strip("\n").splitlines()], ""]
    lines += ["| option | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            lines.append(_row(parameter, context))
    return "\n".join(lines) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    shown = option.default if option.show_default and option.default is not None else ""
    shown = option.show_default if isinstance(option.show_default, str) else shown
    if option.required:
        shown = "required"
    return f"| {names} | {option.help} | {shown} |".replace("  ", " ")


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "docs" / "commands.md"
    path.write_text(text(), encoding="utf-8")
    print(path)
