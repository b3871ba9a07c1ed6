"""What tests of captions share: as much of a source as captions need, a table as rows, a file that a person wrote."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mvc_hf.config.class_words import words_of


class Pets:
    """As much of a Source as captions need."""

    name, revision, fingerprint = "pets", None, "f00d"
    class_names = ("cat", "T-shirt/top")
    labels = np.array([1, 0, 0, 1])
    used = np.array([True, True])
    class_words = property(lambda self: words_of(self.class_names))

    def __init__(self, **columns):
        self._columns = columns

    def __len__(self):
        return len(self.labels)

    def describe_row(self, row):
        return f"row {row} of pets"

    def values(self, name):
        return enumerate(self._columns[name])


def contents(table):
    """(label, caption, row) of each caption of a table."""
    return list(zip(table.labels.tolist(), table.captions, table.rows.tolist()))


def edited(folder, **columns):
    """A captions file as a person writes it."""
    path = folder / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    return path
