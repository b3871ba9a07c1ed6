"""The columns of a synthetic data set, as every version of `datasets` reads them."""

import io
import json

import datasets
import pyarrow.parquet as pq
from PIL import Image
from pushable import ODD_NAMES, fill, row

from mvc_hf.artifacts.schema import features, is_grouped, png
from mvc_hf.artifacts.shards import ShardedDatasetWriter


def test_a_shard_alone_is_read_by_old_and_new_datasets(tmp_path):
    """Before version 4 `datasets` knew these types and no others; a list was [feature]."""
    known = {"Value", "ClassLabel", "Image"}
    made = ShardedDatasetWriter(tmp_path / "out", {"group_column": "patient"}, 10, 4, ODD_NAMES)
    fill(made)
    schema = pq.read_schema(made.path(0))

    def types(feature):
        if isinstance(feature, list):
            return set().union(*map(types, feature))
        if isinstance(feature.get("_type"), str):
            return {feature["_type"]}
        return set().union(*map(types, feature.values()))

    written = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert types(written) == known and isinstance(written["mix"]["coarse"], list)
    assert datasets.Features.from_arrow_schema(schema) == features(ODD_NAMES, grouped=True)
    for streaming in (False, True):
        files = {"train": str(made.folder / "data" / "*.parquet")}
        found = datasets.load_dataset("parquet", data_files=files, split="train", streaming=streaming)
        assert [r["mix"] for r in found] == [row(i, 0, 3)["mix"] for i in range(10)]
        assert found.features == features(ODD_NAMES, grouped=True)


def test_the_group_is_a_column_only_where_it_was_asked_for():
    assert "group" not in features(("a",)) and features(("a",), grouped=True)["group"].dtype == "string"
    assert is_grouped({"group_column": "patient"}) and not is_grouped({"group_column": None}) and not is_grouped({})


def test_a_picture_is_stored_without_loss():
    image = Image.effect_noise((8, 8), 90)
    cell = png(image)
    assert cell["path"] is None and Image.open(io.BytesIO(cell["bytes"])).tobytes() == image.tobytes()
