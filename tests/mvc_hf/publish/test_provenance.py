"""What is known of where things come from, and what may be said of it."""

import pytest
from cards import (
    COMMIT,
    checkpoint,
    metadata,
    synthetic,
)

from mvc_hf.publish.dataset_card import dataset_card
from mvc_hf.publish.model_card import model_card
from mvc_hf.publish.provenance import Licence, Origin, publishable


def test_bases_and_data_sets_of_the_hub_are_named_in_the_metadata(tmp_path):
    base = {"name": "org/base", "revision": COMMIT, "fingerprint": "b", "license": "creativeml-openrail-m"}
    source = {"name": "org/data:small", "revision": COMMIT, "fingerprint": "s", "license": ["cc-by-4.0", "MIT"]}
    card = model_card(checkpoint(tmp_path / "model", base=base, source=source), "me/model")
    assert metadata(card) == {
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "datasets": ["org/data"],
        "library_name": "diffusers",
        "license": "creativeml-openrail-m",
        "pipeline_tag": "image-to-image",
        "tags": ["stable-diffusion", "instruct-pix2pix", "data-augmentation", "synthetic-data", "mvc_hf"],
    }
    assert f"[org/base](https://huggingface.co/org/base) | {COMMIT} | `creativeml-openrail-m` |" in card
    assert f"(https://huggingface.co/datasets/org/data) | {COMMIT} | `cc-by-4.0`, `mit` |" in card
    assert "--dataset org/data:small" in card and 'from_pretrained("me/model")' in card

    known = {"base": base, "source": source | {"name": "org/data"}, "checkpoint": {"name": "me/model"}}
    card = dataset_card(synthetic(tmp_path / "data", provenance=known | {"finetune": {"fine": 8}}), "me/data")
    values = metadata(card)
    assert values["license"] == ["creativeml-openrail-m", "cc-by-4.0", "mit"]
    assert values["source_datasets"] == ["org/data"] and values["pretty_name"] == "Synthetic images after org/data"
    assert values["task_categories"] == ["image-classification"]
    assert values["size_categories"] == ["n<1K"]
    assert "--dataset hfds/org/data" in card and "mvc-hf generate me/model" in card and "fine: 8" in card


def test_local_inputs_and_unknown_licences_are_not_claimed(tmp_path):
    """A local base and image set have no place in the metadata; where one licence is not known, neither is the sum."""
    values = metadata(model_card(checkpoint(tmp_path / "model")))
    assert values["license"] == "unknown" and "base_model" not in values and "datasets" not in values
    known = {"base": {"name": "org/base", "revision": COMMIT, "license": "mit"}, "source": {"name": "photos"}}
    values = metadata(dataset_card(synthetic(tmp_path / "data", provenance=known)))
    assert values["license"] == "unknown" and values["source_datasets"] == ["extended"]
    values = metadata(dataset_card(synthetic(tmp_path / "base", provenance=known, method="pretrained")))
    assert values["license"] == "mit"


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({}, {"license": "unknown"}),
        (None, {"license": "unknown"}),
        ({"license": "unknown"}, {"license": "unknown"}),
        ({"license": "Apache-2.0"}, {"license": "apache-2.0"}),
        ({"license": "openrail++"}, {"license": "openrail++"}),
        ({"license": ["mit", "mit"]}, {"license": "mit"}),
        ({"license": "My Own\nLicence"}, {"license": "other", "license_name": "My Own\\nLicence"}),
        (
            {"license": "other", "license_name": "x-1", "license_link": "https://x.org/L"},
            {"license": "other", "license_name": "x-1", "license_link": "https://x.org/L"},
        ),
        ({"license": "other", "license_link": "LICENSE.md"}, {"license": "other"}),  # a file that lies elsewhere
        ({"license": 7}, {"license": "other", "license_name": "7"}),
        ("mit", {"license": "unknown"}),
    ],
)
def test_recorded_licences_as_metadata(recorded, expected):
    assert {k: v for k, v in Licence.of(recorded).metadata().items() if v is not None} == expected


def test_a_licence_is_read_from_the_cached_card_of_that_commit(tmp_path, monkeypatch):
    """The card that `load_dataset` fetched along with the data; of that commit, and of no other."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "datasets--org--data" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    recorded = {"name": "org/data", "revision": COMMIT}
    assert Origin.of(recorded, "dataset").licence.ids == ("cc0-1.0",)
    assert Origin.of(recorded | {"license": "mit"}, "dataset").licence.ids == ("mit",)
    assert not Origin.of(recorded, "model").licence.ids
    assert not Origin.of(recorded | {"revision": "f" * 40}, "dataset").licence.ids
    for broken in ("---\n- a\n---\n", "---\n{\n---\n", "no metadata", ""):
        (snapshot / "README.md").write_text(broken)
        assert not Origin.of(recorded, "dataset").licence.ids


def test_recorded_paths_and_tokens_are_dropped(tmp_path):
    """Neither should be recorded; where an older or edited file has one, the card drops it."""
    secret = "hf_" + "aB3" * 12
    recipe = {
        "captions": "/home/annabel/private/captions.parquet",
        "base": "C:\\Users\\annabel\\sd",
        "note": f"token {secret}",
    }
    made = checkpoint(
        tmp_path / "model",
        recipe=recipe,
        source={"name": "~/annabel/photos/", "revision": None, "fingerprint": "s"},
        base={"name": f"file:///home/annabel/{secret}", "revision": None, "fingerprint": "b"},
        versions={"mvc_hf": "/home/annabel/git"},
    )
    data = synthetic(
        tmp_path / "data", dataset="../annabel/photos", provenance={"source": {"name": "./annabel/photos"}}
    )
    for card in (model_card(made), dataset_card(data), model_card(made, "org/name"), dataset_card(data, "org/name")):
        assert "annabel" not in card and secret not in card and str(tmp_path) not in card
        assert "photos" in card
    assert publishable({"a": ["/x/y", 3, None], "b": "a/b"}) == {"a": ["y", 3, None], "b": "a/b"}
