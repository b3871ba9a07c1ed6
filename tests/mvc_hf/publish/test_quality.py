"""What goes up of a report: figures and a sheet in the card, scores of known columns; nothing of other shards."""

import io
import json
import shutil

import judged
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cards import check_body
from hub_server import connect

from mvc_hf.assessment.assess import assess
from mvc_hf.augment.scores import ABOUT, COLUMNS, scores_of
from mvc_hf.config.assessing import AssessSettings
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import OutputError
from mvc_hf.publish.dataset_card import dataset_card
from mvc_hf.publish.push import push
from mvc_hf.publish.quality import NOTHING, quality_of
from mvc_hf.storage.manifest import read_manifest
from mvc_hf.storage.notes import read_json, write_json

LABELS = np.repeat([0, 1, 2], 10)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A split with its report beside it. Not to be written to."""
    place = tmp_path_factory.mktemp("reported")
    made = judged.split(place / "made", judged.pictures(LABELS, 1), LABELS)
    real = judged.folder(place / "real", judged.pictures(LABELS, 2), LABELS)
    settings = AssessSettings(
        features=judged.MODEL, feature_weights=str(judged.weights(place / "w.safetensors")), feature_size=32
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(place / "cache"))
        assess(str(made), str(real), settings=settings).save(made / "report")
    return made


@pytest.fixture
def folder(reported, tmp_path):
    return shutil.copytree(reported, tmp_path / "made")


def quality(folder):
    return quality_of(folder, read_manifest(folder))


def test_the_card_has_the_main_figures_and_the_sheet(folder):
    card = dataset_card(folder, "ann/made")
    assert "| kernel distance × 10³ |" in card and "test&#95;resnet with w.safetensors" in card
    assert "](report/sheet.png)" in card and "report/scores.parquet" in card and NOTHING not in card
    check_body(card, 3)
    shutil.rmtree(folder / "report")
    assert NOTHING in dataset_card(folder, "ann/made")


def test_a_report_of_other_shards_is_left_out_and_that_is_said(folder, capsys):
    manifest = read_manifest(folder)
    manifest["shards"][0]["sha256"] = "0" * 64
    assert quality_of(folder, manifest) is None
    assert "is not a report of these shards" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format": 1}', b"[" * 9999])
def test_a_damaged_report_is_left_out(folder, data, capsys):
    (folder / "report" / "report.json").write_bytes(data)
    assert quality(folder) is None
    assert "the card goes without its figures" in capsys.readouterr().err


def test_words_of_a_report_do_nothing_in_a_card(folder):
    path = folder / "report" / "report.json"
    figures = read_json(path, "")
    figures["main"] = [{"name": "| <b>x</b> |", "synthetic": "](javascript:x)", "reference": 5}, "no row", {}]
    figures["extractor"], figures["judge"] = "<script>", "`a`\n# b"
    write_json(path, figures)
    card = dataset_card(folder, "ann/made")
    assert "<script>" not in card and "<b>" not in card and "\n# b" not in card and "](javascript" not in card
    check_body(card, 3)


def test_scores_go_up_without_what_is_not_theirs(folder):
    path = folder / "report" / "scores.parquet"
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[ABOUT]) | {"secret": "here"}
    table = table.append_column("private", pa.array(["x"] * len(table)))
    pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about), b"other": b"private"}), path)
    data = quality(folder).files()["report/scores.parquet"]
    found = pq.read_table(io.BytesIO(data))
    assert set(found.column_names) <= set(COLUMNS) and b"other" not in found.schema.metadata
    assert b"secret" not in found.schema.metadata[ABOUT] and len(found) == 30


def test_a_link_in_the_place_of_a_file_is_refused(folder, tmp_path):
    for name in ("sheet.png", "scores.parquet"):
        path = folder / "report" / name
        path.rename(tmp_path / name)
        path.symlink_to(tmp_path / name)
        with pytest.raises(OutputError, match="is a link"):
            quality(folder).files()
        path.unlink()
        (tmp_path / name).rename(path)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_pushed_scores_are_found_by_whoever_trains(folder, local_hub, tmp_path, monkeypatch):
    connect(local_hub, tmp_path / "home", monkeypatch)
    push(folder, "ann/made")
    tree = local_hub.repos["datasets", "ann/made"].head().tree
    assert set(tree) == {".gitattributes", "README.md", "data/train-00000-of-00001.parquet", "samples.png",
                         "report/sheet.png", "report/scores.parquet"}  # fmt: skip
    source = open_dataset("ann/made")
    assert len(source) == 30 and len(scores_of("ann/made", source)) == 30
    assert not push(folder, "ann/made").changed
