"""The command line, `mvc-hf`: one file for each command, loaded when it is asked for."""

from __future__ import annotations

import importlib
import io
import sys

import click

from .. import __version__
from ..ending import STOPPED, code_of, exit_code, failed
from ..errors import MvcError
from ..hub.environment import check_environment
from ..utils.progress import be_quiet
from ..utils.text import brief, one_line, shortened, unreadable

# What each is for, in the order in which a person meets them; said here, so that to list them imports none of them.
COMMANDS = {
    "demo": "The whole job, offline, in minutes, on the embedded model and images.",
    "caption": "Write the captions of a data set to a file.",
    "finetune": "Fine-tune a Stable Diffusion base on your images.",
    "preview": "Look at a few rows, at several P and Q, before a long run.",
    "generate": "Make a synthetic data set from a checkpoint.",
    "join": "Put parts together that several machines made.",
    "report": "Judge a synthetic data set: fidelity, diversity, copies, labels.",
    "export": "Write images as files that other trainers read.",
    "push": "Publish a checkpoint or a synthetic data set on the Hub.",
    "train": "Run timm's own train.py with --aug-synthetic.",
    "plan": "What a recipe will cost here: time, memory, disk, upload.",
    "run": "All stages of a recipe: caption, fine-tune, generate, push.",
    "replay": "Make one row of a synthetic data set again, and compare.",
    "compare": "Real images alone against real and synthetic ones, at equal budget.",
    "sweep": "Settings of generating against what their images are worth.",
}
FILES = {"run": "run_recipe"}  # where a command's file has another name: `run` is the function below


class _Commands(click.Group):
    """Imports the file of a command only for that command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f".{FILES.get(name, name)}", __package__).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mvc-hf")
@click.option(
    "-q", "--quiet", is_flag=True, help="no progress bars and no notes; warnings, errors and results are shown"
)
def group(quiet: bool) -> None:
    """More training images that look like yours, by mixing visual concepts.

    Fine-tunes Stable Diffusion on a small labelled image set, conditioned on real images and mixed captions, and
    generates new labelled images from it.

    \b
    Example:
      mvc-hf demo
    In a log file (or with MVC_HF_QUIET=1 in the environment):
      mvc-hf --quiet run flowers.yaml
    """
    if quiet:
        be_quiet()


def main() -> None:
    """The entry point: whatever the user can get wrong becomes one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot write is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 2 for wrong usage, 130 and 143 for signals."""

    def command() -> None:
        _check_text(arguments)
        check_environment()
        group.main(arguments, prog_name="mvc-hf", standalone_mode=False)

    try:
        return exit_code(command, stage=next((word for word in arguments if not word.startswith("-")), None))
    except click.UsageError as error:
        click.UsageError(shortened(one_line(error.format_message()), 500), error.ctx).show()
        return 2
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for Ctrl-D at a prompt; there are none here
            return failed(f"a file ends before its end ({error.__cause__}): it is empty or cut off")
        return failed(STOPPED, code=code_of(error))


def _check_text(arguments: list[str]) -> None:
    """Names that half of the libraries below cannot open are refused before the other half has done its work."""
    for argument in arguments:
        if why := unreadable(argument):
            raise MvcError(f"cannot take the argument {brief(argument)}: {why}; rename the file or folder")
