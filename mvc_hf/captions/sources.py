"""Where captions come from: a column of the data set, templates, a file, or a model that looks at the images.

A caption source makes a `CaptionTable` for a labelled image set. Another one is one more class with `table` and
`origin`, and one more line in `caption_source`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..config.class_words import with_article
from ..errors import DataError, RecipeError
from ..utils.progress import say
from .table import CaptionTable, with_prefix

if TYPE_CHECKING:
    from ..data.base import Source

TEMPLATES = (  # after the prompt templates of OpenAI's CLIP
    "a photo of a {}.",
    "a close-up photo of a {}.",
    "a bright photo of a {}.",
    "a dark photo of a {}.",
    "a cropped photo of a {}.",
    "a blurry photo of a {}.",
    "a photo of a large {}.",
    "a photo of a small {}.",
)
MODEL = "blip2"  # the captioner that is a model; which one, --caption-model says
EXISTS = "use column:NAME, template, 'template:a photo of a {}', blip2 or a captions file (.parquet, .csv, .jsonl)"


class CaptionSource(Protocol):
    """Anything that captions a labelled image set."""

    def table(self, source: Source) -> CaptionTable:
        """Captions for every class of `source` that is used. Raises DataError where one of them has none."""
        ...

    def origin(self) -> dict[str, Any]:
        """What decides the captions besides the data, as JSON values; no local path is among it."""
        ...


def captioned(captioner: CaptionSource, source: Source) -> CaptionTable:
    """The captions of `source`, which know where they come from. Those of a file say themselves what made them."""
    table = captioner.table(source)
    return replace(table, origin=table.origin or origin(captioner, source))


def origin(captioner: CaptionSource, source: Source) -> dict[str, Any]:
    """What a captions file records of where its captions come from."""
    dataset = {"name": source.name, "revision": source.revision, "fingerprint": source.fingerprint}
    words = dict(zip(source.class_names, source.class_words))
    said = {name: called for name, called in words.items() if name != called}
    return {**captioner.origin(), "dataset": dataset, **({"class_words": said} if said else {})}


@dataclass(frozen=True)
class ColumnCaptions:
    """A column of the data set: a string a row, or a list of strings. An empty one becomes the prefix alone."""

    name: str
    keep_duplicates: bool = False

    def origin(self) -> dict[str, Any]:
        return {"captioner": f"column:{self.name}", "keep_duplicates": self.keep_duplicates}

    def table(self, source: Source) -> CaptionTable:
        labels, captions, rows, empty = [], [], [], 0
        for row, value in source.values(self.name):
            for caption in self._of_row(value, row, source):
                empty += not caption.strip()
                labels.append(source.labels[row])
                captions.append(with_prefix(source.class_words[source.labels[row]], caption))
                rows.append(row)
        if empty:
            say(f"{empty} of {len(captions)} captions in {self.name!r} are empty: the class name stands alone there")
        classes = len(source.class_names)
        table = CaptionTable.build(labels, captions, rows, num_classes=classes, keep_duplicates=self.keep_duplicates)
        return table.check_every_class(source.class_names, source.used)

    def _of_row(self, value: Any, row: int, source: Source) -> Iterable[str]:
        values = value if isinstance(value, list) else [value]
        for caption in values or [""]:
            if not isinstance(caption, str | None):
                raise DataError(
                    f"{source.describe_row(row)}: the column {self.name!r} holds {type(caption).__name__}, not text; "
                    "name a column of strings or lists of strings"
                )
            yield caption or ""


@dataclass(frozen=True)
class TemplateCaptions:
    """Each template, with the class name in place of {}, is a caption of the class as a whole."""

    templates: tuple[str, ...] = TEMPLATES

    def __post_init__(self) -> None:
        if not self.templates:
            raise RecipeError("no caption template is given: name at least one, such as 'a photo of a {}'")
        for template in self.templates:
            if template.count("{}") != 1:
                raise RecipeError(f"the caption template {template!r} must hold {{}} once, where the class name goes")

    def origin(self) -> dict[str, Any]:
        return {"captioner": "template", "templates": list(self.templates)}

    def table(self, source: Source) -> CaptionTable:
        used = [(y, source.class_words[y]) for y in np.flatnonzero(source.used).tolist()]
        pairs = [(y, n, template) for y, n in used for template in self.templates]
        captions = [with_prefix(n, with_article(template, n)) for _, n, template in pairs]
        table = CaptionTable.build(
            [y for y, _, _ in pairs], captions, [-1] * len(pairs), num_classes=len(source.class_names)
        )
        return table.check_every_class(source.class_names, source.used)


@dataclass(frozen=True)
class FileCaptions:
    """A captions file: label (number or class name), caption, row."""

    path: str | Path
    keep_duplicates: bool = False

    def origin(self) -> dict[str, Any]:
        from ..storage.files import digests

        path = Path(self.path)
        content = next(digests([path])).hex()
        return {"captioner": path.name, "content": content, "keep_duplicates": self.keep_duplicates}

    def table(self, source: Source) -> CaptionTable:
        table = CaptionTable.load(
            self.path, source.class_names, keep_duplicates=self.keep_duplicates, class_words=source.class_words
        )
        name = Path(self.path).name
        at = table.rows >= 0
        for row, label in zip(table.rows[at].tolist(), table.labels[at].tolist()):
            if row >= len(source) or source.labels[row] != label:
                if row < len(source):
                    has = f"is of the class {source.class_names[source.labels[row]]!r}"
                else:
                    has = "is not there"
                raise DataError(
                    f"{name} has a caption of the class {source.class_names[label]!r} for row {row}, which {has} in "
                    f"{source.name}: it was made for another data set, revision or split"
                )
        return table.check_every_class(source.class_names, source.used)
