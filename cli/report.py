"""mvc-hf report"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..config.assessing import AssessSettings
from .options import refuse_folder, report, report_json, settings_options


@click.command("report")
@click.argument("synthetic")
@click.option("--real", required=True, metavar="DATASET", help="the real images that it was made from")
@click.option(
    "--holdout", default=None, metavar="DATASET", help="real images that it was not made from: for the test of copies"
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="folder for report.html, report.json, scores.parquet and sheet.png (default: report/ in the folder of "
    "SYNTHETIC where mvc-hf generate made it, else report/ here)",
)
@click.option("--json", "as_json", is_flag=True, help="print what report.json holds, in place of the findings")
@settings_options(AssessSettings)
def command(synthetic: str, real: str, holdout: str | None, output: Path | None, as_json: bool, **others: Any) -> None:
    """Judge a synthetic data set against the real images: is it near to them, as diverse, copied, rightly labelled?

    SYNTHETIC, --real and --holdout are folders, Parquet, Hub ids or torchvision:NAME, as everywhere. Leaves one page
    of HTML that needs nothing else, the same as JSON, and scores: a Parquet file with a row for each synthetic image,
    which `mvc-hf train --aug-filter` goes by. The data set itself is not touched. Given again after an interruption,
    it goes on.

    \b
    Example:
      mvc-hf report synthetic --real photos/ --holdout more-photos/
    Then leave out what looks mislabelled or copied:
      mvc-hf train train.py photos/ --model resnet18 --num-classes 10 --aug-synthetic synthetic \\
          --aug-filter "label_confidence > 0.2 and not looks_like_copy"
    """
    from ..data.apart import keep_apart
    from ..storage.layout import FIGURES, MANIFEST, PAGE, REPORT, SCORES, SHEET

    settings = AssessSettings(**others)
    beside = Path(synthetic).expanduser()
    is_ours = (beside / MANIFEST).is_file()
    folder = output or (beside / REPORT if is_ours else Path(REPORT))
    refuse_folder(folder, PAGE, FIGURES, SCORES, SHEET)
    if not (is_ours and folder == beside / REPORT):
        keep_apart(synthetic, folder)
    for dataset in filter(None, (real, holdout)):
        keep_apart(dataset, folder)

    from ..assessment.assess import assess
    from ..storage.locks import locked_folder

    with locked_folder(folder):
        found = assess(synthetic, real, holdout, settings=settings)
        page = found.write(folder)
    if as_json:
        report_json(found.figures)
    else:
        report(f"{found}\n{page}")
