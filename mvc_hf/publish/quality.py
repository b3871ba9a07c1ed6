"""What `mvc-hf report` has left beside a data set, as far as it is published: main figures, one sheet, the scores.

The page stays here: it shows real images. Whatever the files say is text for a card, and is escaped there.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..augment.scores import ABOUT, COLUMNS, read_scores
from ..config.files import fingerprint
from ..errors import DataError, OutputError
from ..storage.layout import FIGURES, REPORT, SCORES, SHEET
from ..storage.notes import Kinds, read_json
from ..utils.progress import say_once
from .markup import markdown, table

KINDS: Kinds = {"format": int, "shards": str, "extractor": str, "judge": str, "main": list, "reference": dict}
NOTHING = "No figure of fidelity, diversity or copying was recorded with this data set."


@dataclass(frozen=True)
class Quality:
    """A report of the very shards of a folder.

    Attributes:
        figures: of report.json.
        folder: of the data set.
    """

    figures: dict[str, Any]
    folder: Path

    def section(self) -> str:
        """The figures and the sheet as Markdown."""
        rows = [
            [markdown(row.get(name, "")) for name in ("name", "synthetic", "reference")]
            for row in self.figures["main"]
            if isinstance(row, dict)
        ]
        of = markdown(self.figures["reference"].get("of", "real images"))
        return "\n\n".join(
            [
                f"Measured by `mvc-hf report`, seen through {markdown(self.figures['extractor'])}; labels were judged "
                f"by {markdown(self.figures['judge'])}. With other extractors the figures are others.",
                table(("figure, with its 95 % interval", "synthetic", of), rows),
                f"![The most and the least typical images of some classes]({REPORT}/{SHEET})",
                f"`{REPORT}/{SCORES}` has scores of each image, for "
                '`mvc-hf train --aug-filter "label_confidence > 0.2 and not looks_like_copy"`.',
            ]
        )

    def files(self) -> dict[str, Path | bytes]:
        """What goes up, by path in the repository. Of the scores no more than the columns that are known."""
        from .contents import own_file

        sheet, scores = (own_file(self.folder, f"{REPORT}/{name}") for name in (SHEET, SCORES))
        return {f"{REPORT}/{SHEET}": sheet, f"{REPORT}/{SCORES}": _plain(scores)}


def quality_of(folder: Path, manifest: dict[str, Any]) -> Quality | None:
    """The report beside a data set; None where there is none, or where it is not of these shards."""
    path = folder / REPORT / FIGURES
    try:
        figures = read_json(path, "give mvc-hf report again", KINDS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OutputError as error:
        say_once(f"note: {error}; the card goes without its figures")
        return None
    shards = fingerprint({"shards": [shard.get("sha256") for shard in manifest["shards"]]})
    there = all((folder / REPORT / name).is_file() for name in (SHEET, SCORES))
    if figures["shards"] == shards and there:
        return Quality(figures, folder)
    say_once(
        f"note: {path} is not a report of these shards: the card goes without its figures; give mvc-hf report again"
    )
    return None


def _plain(path: Path) -> bytes:
    """Scores with the columns and the notes that are theirs, and nothing else that the file may hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = read_scores(path).about
        table = pq.read_table(pa.OSFile(str(path)), use_threads=False)
    except DataError as error:
        raise OutputError(f"{error}; or move the folder {REPORT} away") from error
    table = table.select([name for name in table.column_names if name in COLUMNS])
    known = {name: about.get(name) for name in ("format", "split", "shards", "extractor", "judge")}
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(known).encode()}), out)
    return out.getvalue()
