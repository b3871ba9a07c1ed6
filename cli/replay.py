"""mvc-hf replay"""

from __future__ import annotations

from pathlib import Path

import click

from .options import refuse_output, report


@click.command("replay")
@click.argument("dataset")
@click.argument("row", type=click.IntRange(0))
@click.option("--model", default=None, help="the checkpoint (default: the one that the data set names)")
@click.option("--dataset-source", default="", help="data set of the condition images (default: the checkpoint's)")
@click.option(
    "--follow-symlinks",
    is_flag=True,
    help="read what links in its folder lead to outside of it: where they are your own",
)
@click.option("--base", default="", help="the untouched base of a pretrained row (default: the checkpoint's)")
@click.option(
    "--tolerance",
    type=click.IntRange(0, 255),
    default=None,
    help="allowed difference of a pixel, of 255 (default: 2; in fp16 16, in bf16 32)",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="write the picture here, as PNG")
def command(
    dataset: str,
    row: int,
    model: str | None,
    dataset_source: str,
    follow_symlinks: bool,
    base: str,
    tolerance: int | None,
    output: Path | None,
) -> None:
    """Make one row of a synthetic data set again, from its columns and the checkpoint, and say whether it matches.

    DATASET is a folder made by `mvc-hf generate` or its Hub id (org/name[@revision]), ROW a number from 0. Prompt, mix
    and condition image must be to the letter what the row's seed, label and index give; pixels may differ by rounding,
    since a row was made in a batch with others, maybe on another device. Exits with 1 where it does not match.

    \b
    Example:
      mvc-hf replay synthetic 17 --dataset-source photos/ -o again.png
    From the Hub:
      mvc-hf replay my-name/flowers-synthetic 17 --model my-name/flowers --dataset-source photos/
    """
    from ..data.apart import keep_apart
    from ..errors import DataError

    if output is not None:
        refuse_output(output, "a picture, such as again.png")

    from ..inspection.replay import replay

    if output is not None:
        keep_apart(dataset_source, output)
    found = replay(
        dataset, row, model=model, condition_data=dataset_source, base=base, tolerance=tolerance,
        follow_symlinks=follow_symlinks,
    )  # fmt: skip
    if output is not None:
        found.image.save(output, "PNG")
    report(str(found))
    if not found.matches:
        raise DataError(f"row {row} is not what {dataset} and the checkpoint give")
