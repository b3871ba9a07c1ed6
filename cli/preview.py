"""mvc-hf preview"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.fields import GENERATE
from ..config.recipe import Recipe
from .options import recipe_options, refuse_output, report
from .sections import SectionedCommand

if TYPE_CHECKING:
    from PIL import Image

# Which method, how many images and how they are stored: a preview has its own answers.
NOT_HERE = ("method", "images_per_class", "total", "balance", "per_image", "group_column", "shard_size")
FEW = ("3",)


@click.command("preview", cls=SectionedCommand)
@click.argument("model")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("preview.png"),
    show_default=True,
    help="the picture: .png, .jpg or .webp",
)
@click.option(
    "--classes",
    multiple=True,
    help="how many classes, evenly spread over the list, or which: names with commas between (default: 3)",
)
@click.option(
    "--rows", type=click.IntRange(1), default=2, show_default=True, help="rows of each class, from index 0 on"
)
@click.option(
    "--settings",
    default=None,
    help="pairs P,Q of the columns, such as '0,0 2,8' (default: 0,0, --coarse and --fine, 8,8, and 2,32)",
)
@click.option("--base", default="", help="the untouched base of the last column (default: the checkpoint's)")
@click.option("--pretrained/--no-pretrained", default=True, show_default=True, help="the column of the untouched base")
@click.option(
    "--inline/--no-inline",
    default=None,
    help="show it in the terminal, too (default: where iTerm2, WezTerm, kitty or Ghostty is recognised)",
)
@recipe_options(GENERATE, without=NOT_HERE)
def command(
    model: str,
    output: Path,
    classes: tuple[str, ...],
    rows: int,
    settings: str | None,
    pretrained: bool,
    inline: bool | None,
    **others: Any,
) -> None:
    """Look at a few rows that `mvc-hf generate` would make, at several P and Q, before a long run.

    Draws a contact sheet: a row for each class and index, with the base caption, the real image that is the
    condition, the captions mixed in and how much of each, the result at each (P, Q), and what the untouched base makes
    of the caption. The images of a row share caption, condition and noise: only the mix differs. Takes the settings of
    the run; the marked column is what `generate` makes with them. Nothing but the picture is written.

    \b
    Example:
      mvc-hf preview checkpoint --dataset photos/ --guidance-scale 2
    Other settings, for two classes:
      mvc-hf preview checkpoint --dataset photos/ --classes cat,dog --settings "0,0 1,0 0,8 4,16"
    """
    recipe = Recipe(**others)
    kind = _kind(output)

    from ..data.apart import keep_apart

    keep_apart(recipe.dataset, output)

    from ..inspection.preview import preview
    from ..inspection.preview_sheet import draw

    found = preview(recipe, model, classes=classes or FEW, rows=rows, settings=settings, pretrained=pretrained)
    sheet = draw(found)
    _save(sheet, output, kind)
    _show(sheet, inline)
    number = len({row.label for row in found.rows})
    pairs = " ".join(f"{p},{q}" for p, q in found.settings)
    report(f"{output}: {len(found.rows)} rows of {number} classes at P,Q = {pairs}")


def _kind(output: Path) -> str:
    """The format of the picture. Found out, like whether it can be written, before any work is done."""
    from ..errors import OutputError

    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    refuse_output(output, "a picture, such as preview.png")
    if output.suffix.lower() not in kinds:
        raise OutputError(f"{output} names no picture: let it end in {', '.join(kinds)}")
    return kinds[output.suffix.lower()]


def _save(sheet: Image.Image, output: Path, kind: str) -> None:
    from ..errors import OutputError

    data = io.BytesIO()
    try:
        sheet.save(data, kind, **{} if kind == "PNG" else {"quality": 92})
    except (ValueError, OSError) as error:
        raise OutputError(
            f"{output} cannot hold {sheet.width} x {sheet.height} pixels ({error}): take .png, or fewer --rows"
        ) from error
    output.write_bytes(data.getvalue())


def _show(sheet: Image.Image, inline: bool | None) -> None:
    """In the terminal, if it is one: no escape codes go into a pipe or a file, whatever was asked for."""
    from ..report.terminal import protocol, show
    from ..utils.progress import say

    how = protocol() if sys.stdout.isatty() else None
    if how and inline is not False:
        data = io.BytesIO()
        sheet.save(data, "PNG")
        show(data.getvalue(), sys.stdout, how)
    elif inline:
        is_terminal = sys.stdout.isatty()
        say(f"not shown inline: {'this terminal is not known for it' if is_terminal else 'the output is no terminal'}")
