"""Cards of folders without a model behind them, and how they are read."""

import re

import datasets
import yaml
from hypothesis import strategies as st
from PIL import Image
from sources import HOSTILE

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.captions.table import CaptionTable
from mvc_hf.publish.rendering import TABLE_ROWS
from mvc_hf.storage.layout import CAPTIONS
from mvc_hf.storage.notes import read_json, write_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


WORSE = [
    *HOSTILE,
    *("|", "a|b", "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](y.png)", "```", "`a`", "~~~", "---"),
    *("# a", "*a*", "__a__", "www.example.com", "https://example.com", "a@b.com", ":smile:", "$$x$$", "\\|", "&lt;"),
    *("\u0085", "a\u2028b", "\ufeff", "\x00", "\r\n", "\t", "", "null", "~", "yes", "1e3", "0o17", "0x1F", "12:30"),
    *(
        "2024-01-01",
        "=",
        "<<",
        "- a",
        "? a",
        "!!python/object:os.system",
        "*alias",
        "&anchor",
        "%TAG",
        "@a",
        "{{ x }}",
    ),
    *(
        "${metadata}",
        "$here",
        "%s",
        "👩‍👩‍👧",
        "é",
        "e\u0301",
        "\u202eabc",
        "x" * 5000,
        "'",
        '"',
        "a: b",
        "a #b",
        ",",
        "_a_",
    ),
]


class_names = st.lists(st.text() | st.sampled_from(WORSE) | st.text("|`<>[]()&\\\n -#'\":"), min_size=1, unique=True)


def checkpoint(folder, names=("apple", "pear"), **changes):
    """What `finetune` leaves, without the pipeline."""
    folder.mkdir(exist_ok=True)
    values = {
        "fingerprint": "f",
        "recipe": {"dataset": "photos", "captions": "template", "pairing": "same-class", "coarse": 2, "fine": 8},
        "class_names": tuple(names),
        "source": {"name": "photos", "revision": None, "fingerprint": "5eed", "images": 27},
        "base": {"name": "tiny-base", "revision": None, "fingerprint": "ba5e"},
        "resolution": 16,
        "native_size": None,
        "grey": False,
        "training": {"steps": 2, "held_out_loss": 1.16648},
        "versions": {"mvc_hf": "0.1.0", "torch": "2.14.1"},
    }
    labels = range(len(names))
    CaptionTable.build(labels, ["a caption"] * len(names), [-1] * len(names)).save(folder / CAPTIONS)
    CheckpointMetadata(**values | changes).save(folder)
    return folder


def synthetic(folder, names=("apple", "pear"), rows=None, *, provenance=None, shard_size=4, **identity):
    """What `generate` leaves: row i is a grey picture of value i."""
    rows = len(names) if rows is None else rows
    split = ShardedDatasetWriter(folder, {"method": "mvc", "seed": 0, **identity}, rows, shard_size, tuple(names))
    for shard in split.missing():
        with split.writer(shard) as spool:
            spool.write([row(i, len(names)) for i in split.rows_of(shard)])
    split.finish()
    if provenance is not None:
        path = folder / "manifest.json"
        write_json(path, read_json(path, "") | {"provenance": provenance})
    return folder


def row(i, classes):
    return {
        "image": png(Image.new("L", (4, 4), i % 256)),
        "label": i % classes,
        "prompt": "a caption",
        "method": "mvc",
        "index": i // classes,
        "seed": 0,
        "condition": None,
        "mix": {"base": 0, "coarse": [], "fine": []},
    }


def metadata(card):
    return yaml.safe_load(front(card))


def front(card):
    return re.fullmatch(r"---\n(.*?\n)---\n.*", card, re.DOTALL)[1]


def body(card):
    return card[len("---\n" + front(card) + "---\n") :]


def names_in(values):
    return datasets.Features._from_yaml_list(values["dataset_info"]["features"])["label"].names


def class_rows(card):
    text = body(card).split("## Classes\n", 1)[1].split("\n## ")[0]
    return [line for line in text.split("\n") if line.startswith("| ")][2:]


def check_body(card, classes):
    """Every line is where the template put it: names neither end lines nor cells, and hold no tag."""
    text = body(card)
    assert "<" not in text
    assert [line for line in text.splitlines() if line] == [line for line in text.split("\n") if line]
    assert len(class_rows(card)) == min(classes, TABLE_ROWS)
    for line in text.split("\n"):
        if line.startswith("|"):
            cells = 4 if re.match(r"\|\s+\||\| (base model|image set|checkpoint) |(\| --- ){4}", line) else None
            assert line.count("|") - 1 in ({cells} if cells else {2, 3, 4})
    assert {line.count("|") for line in class_rows(card)} == {4}
