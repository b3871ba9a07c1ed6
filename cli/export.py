"""mvc-hf export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..config.stages.exporting import ExportSettings
from .options import output_folder, report, settings_options


@click.command("export")
@click.argument("synthetic")
@output_folder("folder that is written: new or empty, or with the same export")
@click.option("--with-real", default=None, metavar="DATASET", help="real images that go along, in the same classes")
@settings_options(ExportSettings)
def command(synthetic: str, output: Path, with_real: str | None, **others: Any) -> None:
    """Write images as files that other trainers read: a folder for each class, or tar shards of WebDataset.

    SYNTHETIC is a synthetic data set, or any labelled image set: a folder, Parquet, Hub id or torchvision:NAME. Class
    folders are what torchvision's ImageFolder, Keras, Lightning, Ultralytics, Roboflow and timm take; shards are for
    timm's wds/. classes.json says which folder, or number, is which class. The same command, given again after an
    interruption, goes on.

    \b
    Example:
      mvc-hf export synthetic -o flowers/train --with-real photos/
    Only what a report finds well labelled and no copy, at most 500 a class, as shards:
      mvc-hf export org/flowers-mvc -o flowers-wds/train --layout webdataset --max-per-class 500 \\
          --where "label_confidence > 0.2 and not looks_like_copy"
    A reduced set of the paper, the real images that its recipe takes:
      mvc-hf export uoft-cs/cifar10 -o cifar10-reduced/train --max-per-class 400
    """
    settings = ExportSettings(**others)

    from ..exporting.export import export

    report(str(export(synthetic, output, with_real=with_real, settings=settings)))
