"""Settings of an export that mean nothing together."""

import pytest

from mvc_hf.config.stages.exporting import ExportSettings
from mvc_hf.errors import RecipeError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layout": "zip"}, "choose one of imagefolder, webdataset"),
        ({"shard_size": 5}, "--shard-size means nothing without --layout webdataset"),
        ({"layout": "webdataset", "metadata": False}, "--no-metadata means nothing"),
        ({"scores": "x.parquet"}, "--scores means nothing without --where"),
        ({"max_per_class": 0}, "--max-per-class is 0"),
    ],
)
def test_refused(settings, said):
    with pytest.raises(RecipeError, match=said):
        ExportSettings(**settings)


def test_of_real_images():
    ExportSettings().refuse_real()
    with pytest.raises(RecipeError, match="--real-split means nothing without --with-real"):
        ExportSettings(real_split="test").refuse_real()
