"""The command line, `mvc-hf`: one file for each command, loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys

import click

from .. import __version__
from ..errors import MvcError
from ..files import is_disk_full
from ..memory import LESS, is_memory_error

# In the order in which a person meets them.
COMMANDS = ("demo", "caption", "finetune", "preview", "generate", "push", "train", "plan", "run", "replay")
FILES = {"run": "run_recipe"}  # where a command's file has another name: `run` is the function below


class _Commands(click.Group):
    """Imports the file of a command only for that command, and for the list of them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f".{FILES.get(name, name)}", __package__).command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mvc-hf")
def group() -> None:
    """More training images that look like yours, by mixing visual concepts.

    Fine-tunes Stable Diffusion on a small labelled image set, conditioned on real images and mixed captions, and
    generates new labelled images from it.

    \b
    Example:
      mvc-hf demo
    """


def main() -> None:
    """The entry point: whatever the user can get wrong becomes one line here, and here only."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 2 for wrong usage."""
    try:
        group.main(arguments, prog_name="mvc-hf", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except MvcError as error:
        return _failed(str(error))
    except (KeyboardInterrupt, click.Abort):
        return _failed("stopped; the same command goes on where it was")
    except Exception as error:
        line = _about(error, arguments)
        if line is None:
            raise
        return _failed(line)
    return 0


def _failed(line: str) -> int:
    click.echo("Error: " + " ".join(line.split()), err=True)
    return 1


def _about(error: Exception, arguments: list[str]) -> str | None:
    """What the system says, as a line; None for a bug of ours."""
    where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    if is_disk_full(error):
        return f"the disk is full{where}: make room and give the same command again; what is finished is kept"
    if is_memory_error(error):
        stage = arguments[0] if arguments and arguments[0] in LESS else None
        less = LESS[stage] if stage else "smaller numbers for batches, sizes and images"
        return f"the memory does not suffice for these settings; what helps: {less}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{where}"
    return None
