"""mvc-hf join"""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_folder, report


@click.command("join")
@click.argument("parts", metavar="OUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_folder("folder of the whole data set: a new one, or one of OUT, which gets what it lacks")
def command(parts: tuple[Path, ...], output: Path) -> None:
    """Put the parts of a data set together that `mvc-hf generate --shards` made on several machines.

    OUT are their folders. They have to be of one recipe, checkpoint and image set, and to hold every shard between
    them; a shard may be there twice where its bytes are the same. What comes out is, byte for byte, what one machine
    would have made. The folders stay as they are.

    \b
    Example:
      mvc-hf generate checkpoint -o part-a --dataset photos/ --images-per-class 500 --shards 0:3   (here)
      mvc-hf generate checkpoint -o part-b --dataset photos/ --images-per-class 500 --shards 3:    (there)
      mvc-hf join part-a part-b -o synthetic
    """
    from ..scaling.join import join

    report(f"{output}: {join(parts, output)}")
