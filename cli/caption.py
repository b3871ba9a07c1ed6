"""mvc-hf caption"""

from __future__ import annotations

from pathlib import Path

import click

from ..recipe import Recipe


@click.command("caption", short_help="Write the captions of a data set to a Parquet file.")
@click.argument("dataset")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="the Parquet file")
@click.option("--captioner", default="template", show_default=True, help="template, 'template:a {}', or column:NAME")
@click.option("--split", default="train", show_default=True, help="split of the data set")
@click.option("--image-column", default=None, help="column of the images")
@click.option("--label-column", default=None, help="column of the labels")
def command(
    dataset: str, output: Path, captioner: str, split: str, image_column: str | None, label_column: str | None
) -> None:
    """Write the captions of a data set to a Parquet file of (label, caption, row), to look at and to edit.

    \b
    Example:
      mvc-hf caption data.parquet -o captions.parquet --captioner column:text
      mvc-hf finetune data.parquet -o checkpoint --captions captions.parquet --base ...
    """
    recipe = Recipe(
        dataset=dataset, captions=captioner, split=split, image_column=image_column, label_column=label_column
    )

    from ..captions import caption_source
    from ..source import open_source

    source = open_source(recipe.dataset, split=split, image_column=image_column, label_column=label_column)
    table = caption_source(captioner).table(source)
    table.save(output)
    click.echo(f"{output}: {len(table.captions)} captions of {len(source.class_names)} classes")
