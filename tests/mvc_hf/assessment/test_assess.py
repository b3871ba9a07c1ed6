"""What is planted is found; the same command goes on where it was; what cannot be judged is one line."""

import dataclasses
import json
import re

import judged
import numpy as np
import pyarrow.parquet as pq
import pytest

from mvc_hf.assessment.assess import assess
from mvc_hf.augment.scores import COLUMNS, read_scores, split_digest
from mvc_hf.config.assessing import AssessSettings
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, ModelError, NotEnoughMemory, OutputError, RecipeError

COPY, COPIED, WRONG = 5, 12, 7  # as in conftest.py


def warnings(found):
    return " ".join(f["text"] for f in found.figures["findings"] if f["level"] == "warning")


def test_a_planted_copy_is_found(found):
    (suspect,) = found.figures["copies"]["suspects"]
    assert (suspect["row"], suspect["nearest_row"]) == (COPY, COPIED)
    assert np.flatnonzero(found.columns["looks_like_copy"]).tolist() == [COPY]
    assert found.columns["copy_ratio"][COPY] < 0.1 < np.delete(found.columns["copy_ratio"], COPY).min()
    assert (
        "1 synthetic image looks like a copy of a training image (of 90; by chance up to 1 may; rows 5)"
        in warnings(found)
    )


def test_a_planted_wrong_label_is_found(found):
    confidence = found.columns["label_confidence"]
    assert np.argmin(confidence) == WRONG and confidence[WRONG] < 0.01
    assert found.columns["predicted_class"][WRONG] == "pear" and found.columns["class_name"][WRONG] == "apple"
    assert found.figures["confusion"]["synthetic"][0] == [29, 1, 0]
    assert np.delete(confidence, WRONG).min() > 0.9


def test_a_planted_collapsed_class_is_found(found):
    by_name = {c["class_name"]: c for c in found.figures["classes"]}
    assert by_name["plum"]["spread_ratio"]["high"] < 0.1 < 0.5 < by_name["pear"]["spread_ratio"]["low"]
    assert by_name["plum"]["near_duplicates"]["value"] == 1 and by_name["plum"]["recall"]["value"] == 0
    assert re.search(r"1 of 3 classes have collapsed .*'plum' 0\.\d %", warnings(found))
    assert "'pear'" not in warnings(found)


def test_a_sound_split_has_no_warning(planted, settings, tmp_path):
    labels = np.repeat([0, 1, 2], 30)
    made = judged.split(tmp_path / "made", judged.pictures(labels, 7), labels)
    found = assess(str(made), str(planted["real"]), str(planted["held"]), settings=settings)
    assert warnings(found) == "" and found.figures["copies"]["suspects"] == []
    kernel, reference = found.figures["overall"]["kernel_distance"], found.figures["reference"]["kernel_distance"]
    assert kernel["low"] < reference["high"] and reference["low"] < kernel["high"]
    assert found.figures["overall"]["label_agreement"]["value"] == 1.0
    assert found.figures["copies"]["test"]["p"] > 0.05


def test_what_is_saved(found, planted, tmp_path):
    page = found.save(tmp_path / "report")
    assert page == tmp_path / "report" / "report.html"
    assert sorted(p.name for p in page.parent.iterdir()) == [
        "report.html",
        "report.json",
        "scores.parquet",
        "sheet.png",
    ]
    kept = json.loads((page.parent / "report.json").read_text())
    kept.pop("seal")
    assert kept == found.figures
    scores = read_scores(page.parent / "scores.parquet")
    assert list(scores.columns) == list(COLUMNS) and len(scores) == 90
    made = open_dataset(str(planted["made"]))
    assert scores.about["split"] == split_digest(made)
    assert scores.columns["seed"].tolist() == [0] * 90 and scores.columns["index"].tolist() == 3 * list(range(30))
    assert scores.columns["nearest_row"][COPY] == COPIED
    text = json.dumps(kept) + page.read_text()
    assert str(planted["real"].parent) not in text and str(tmp_path) not in text


def test_nothing_of_the_split_is_touched(planted, settings, found, tmp_path):
    import shutil

    made = shutil.copytree(planted["made"], tmp_path / "made")
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    assess(str(made), str(planted["real"]), settings=settings).save(made / "report")
    after = {p: p.read_bytes() for p in made.rglob("*") if p.is_file() and p.parent.name != "report"}
    assert before == after
    assert len(open_dataset(str(made))) == 90


def test_given_again_it_goes_on(planted, settings, monkeypatch):
    import mvc_hf.features.extraction as extraction
    from mvc_hf.features.extractor import Extractor

    monkeypatch.setattr(extraction, "PART", 20)
    seen, whole = [], Extractor.__call__

    def counted(self, pictures):
        seen.append(len(pictures))
        if sum(seen) > 141:
            raise KeyboardInterrupt
        return whole(self, pictures)

    arguments = str(planted["made"]), str(planted["real"])
    settings = dataclasses.replace(settings, batch_size=10)
    monkeypatch.setattr(Extractor, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        assess(*arguments, settings=settings)
    first, seen[:] = sum(seen), []
    monkeypatch.setattr(
        Extractor, "__call__", lambda self, pictures: (seen.append(len(pictures)), whole(self, pictures))[1]
    )
    found = assess(*arguments, settings=settings)
    kept = 90 + 2 * 20  # the synthetic images, and two parts of the real ones
    assert first == 151 and sum(seen) == 1 + 180 - kept  # the extractor is tried once each time
    seen.clear()
    again = assess(*arguments, settings=settings)
    assert seen == [1] and again.figures == found.figures


def test_block_and_batch_size_change_nothing(planted, settings, found):
    small = dataclasses.replace(settings, block_size=16, batch_size=7)
    again = assess(str(planted["made"]), str(planted["real"]), str(planted["held"]), settings=small)
    assert again.figures["copies"]["suspects"][0]["row"] == COPY
    for name in ("nearest_row", "duplicate_row", "looks_like_copy"):
        assert np.mean(np.equal(again.columns[name], found.columns[name])) > 0.97, name
    for name, figure in found.figures["overall"].items():
        assert again.figures["overall"][name]["value"] == pytest.approx(figure["value"], abs=0.03), name


def test_without_held_out_images_the_real_ones_stand_in(planted, settings):
    found = assess(str(planted["made"]), str(planted["real"]), settings=settings)
    assert found.figures["copies"]["against"] == "real images among themselves"
    assert any("--holdout" in note for note in found.figures["notes"])
    assert [s["row"] for s in found.figures["copies"]["suspects"]] == [COPY]
    assert found.figures["reference"]["of"] == "one half of the real images against the other"


def test_held_out_images_that_are_none(planted, settings):
    found = assess(str(planted["made"]), str(planted["real"]), str(planted["real"]), settings=settings)
    assert found.figures["copies"]["leaked"] == 90
    assert "90 of the held-out images are among the training images" in warnings(found)


def test_the_small_network_in_the_place_of_an_extractor(planted, tmp_path):
    settings = AssessSettings(features="classifier", classifier_steps=15, folds=2)
    found = assess(str(planted["made"]), str(planted["real"]), str(planted["held"]), settings=settings)
    assert found.figures["extractor"].startswith("a small classifier trained on the real images (resnet10t, 32×32)")
    assert found.figures["copies"]["suspects"][0]["row"] == COPY
    assert np.argmin(found.columns["label_confidence"]) == WRONG
    assert "'plum'" in warnings(found)


def test_where_nothing_can_be_had_the_small_network_is_taken_and_that_is_said(planted, capsys):
    found = assess(
        str(planted["made"]), str(planted["real"]), settings=AssessSettings(classifier_steps=2, folds=2)
    )  # fmt: skip
    said = capsys.readouterr().err
    assert "vit_small_patch14_dinov2.lvd142m" in said and "Taking classifier" in said
    assert "a small classifier" in found.figures["extractor"]
    with pytest.raises(ModelError, match=r"tf_efficientnet_lite0.*What can be had: .*--features classifier"):
        assess(str(planted["made"]), str(planted["real"]), settings=AssessSettings(features="tf_efficientnet_lite0"))


def test_classes_with_few_images(planted, settings, tmp_path):
    labels = np.array([0] * 12 + [1] * 12 + [2])
    real = judged.folder(tmp_path / "real", judged.pictures(labels, 1), labels)
    made = judged.split(tmp_path / "made", judged.pictures([0] * 10 + [2] * 3, 2), [0] * 10 + [2] * 3)
    found = assess(str(made), str(real), settings=settings)
    notes = " ".join(found.figures["notes"])
    assert "1 of 3 classes have a single real image" in notes and "'plum'" in notes
    assert "1 of 3 classes have no synthetic images: 'pear'" in notes
    plum = found.figures["classes"][2]
    assert plum["real"] == 1 and "kernel_distance" not in plum and plum["label_agreement"]["n"] == 3
    assert np.isnan(found.columns["class_distance"][10:]).all()
    found.save(tmp_path / "report")


def test_a_single_synthetic_image(planted, settings, tmp_path):
    made = judged.split(tmp_path / "made", judged.pictures([1], 2), [1])
    found = assess(str(made), str(planted["real"]), settings=settings)
    found.save(tmp_path / "report")
    assert "duplicate_row" not in pq.read_table(tmp_path / "report" / "scores.parquet").column_names


def test_other_sizes_and_modes_are_compared_and_that_is_said(planted, settings, tmp_path):
    import tiny

    made = tiny.image_folder(tmp_path / "made", {"apple": 9, "plum": 9}, size=24, grey=True)
    found = assess(str(made), str(planted["real"]), settings=settings)
    assert "real 16×16 RGB, synthetic 24×24 L" in " ".join(found.figures["notes"])
    assert found.figures["shards"] is None


def test_what_cannot_be_judged(planted, settings, tmp_path):
    made, real = str(planted["made"]), str(planted["real"])

    def refused(error, match, *arguments, **changes):
        with pytest.raises(error, match=match) as caught:
            assess(*arguments, settings=dataclasses.replace(settings, **changes))
        assert "\n" not in str(caught.value)

    import tiny

    others = str(tiny.image_folder(tmp_path / "others", {"cat": 3, "dog": 3}))
    words = (
        "3 classes of made .synthetic. are not among those of others: 'apple', 'pear', 'plum'; the real ones are 'cat'"
    )
    refused(DataError, words, made, others)
    refused(DataError, "2 classes of others .held-out. are not among", made, real, others)
    refused(DataError, "no such folder|neither|no folder", made, str(tmp_path / "none"))
    (tmp_path / "hollow").mkdir()
    refused(DataError, "neither class folders", str(tmp_path / "hollow"), real)
    refused(NotEnoughMemory, "--block-size 65536 takes at least", made, real, block_size=65536) if _small() else None
    refused(RecipeError, "--feature-weights are those of a timm model", made, real, features="classifier")
    refused(ModelError, "timm has no such model; did you mean", made, real, features="resnet8")
    refused(ModelError, "there is no such file", made, real, feature_weights="none.safetensors")
    (tmp_path / "w.pth").write_bytes(b"pickle")
    refused(ModelError, "only .safetensors files are read", made, real, feature_weights=str(tmp_path / "w.pth"))
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    refused(ModelError, "are not those of test_resnet", made, real, feature_weights=str(tmp_path / "w.safetensors"))
    refused(ModelError, "are not those of resnet18", made, real, features="resnet18")


def _small():
    from mvc_hf.utils.memory import _there_is

    return (_there_is(None) or 1 << 60) < 16 * 65536**2


def test_an_empty_split(planted, settings, tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"image": pa.array([], pa.struct({"bytes": pa.binary(), "path": pa.string()})),
                             "label": pa.array([], pa.int64())}), tmp_path / "empty.parquet")  # fmt: skip
    with pytest.raises(DataError, match=r"empty\.parquet"):
        assess(str(tmp_path / "empty.parquet"), str(planted["real"]), settings=settings)


def test_a_broken_picture_is_named(planted, settings, tmp_path):
    import shutil

    real = shutil.copytree(planted["real"], tmp_path / "real")
    (real / "pear" / "0040.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(DataError, match=r"pear/0040\.png"):
        assess(str(planted["made"]), str(real), settings=settings)


def test_a_file_in_the_place_of_the_folder(found, tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(OutputError):
        found.save(tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"
