"""What both kinds of cards share: templates, tables, snippets."""

import re
from importlib import resources
from pathlib import Path

import pytest
from cards import (
    WORSE,
    body,
    checkpoint,
    class_rows,
    metadata,
    names_in,
    synthetic,
)
from PIL import Image

from mvc_hf.publish.dataset_card import dataset_card, write_dataset_card
from mvc_hf.publish.model_card import model_card, write_model_card
from mvc_hf.publish.rendering import TABLE_ROWS

HIDDEN = "\u202e\u202a\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u2060\ufeff\u061c\u00ad\u034f\u3164\x1b\x9b\x7f"


@pytest.mark.parametrize("c", HIDDEN, ids=ascii)
def test_hidden_characters_are_not_in_a_card(tmp_path, c):
    """Neither in the text nor in the metadata, where the names are whole none the less."""
    names = [f"cat{c}dog", f"{c}b", f"{c}{c}"]
    known = {"name": f"photos{c}", "revision": None, "fingerprint": f"5eed{c}", "license": f"free{c}"}
    made = synthetic(
        tmp_path / "set", names, provenance={"source": known, "base": known, "finetune": {"captions": f"a {c}"}}
    )
    notes = checkpoint(
        tmp_path / "model", names, source={**known, "images": 3}, base=known, recipe={"captions": f"template:{c}"}
    )
    for card in (dataset_card(made), model_card(notes), write_dataset_card(made).read_text(encoding="utf-8")):
        assert c not in card
    assert metadata(dataset_card(made))["dataset_info"]["features"][1]["dtype"]["class_label"]["names"] == {
        str(i): name for i, name in enumerate(names)
    }


def test_rendered_names_are_what_was_meant(tmp_path):
    """A real parser of Markdown: every cell holds the name as text, and no link, picture or tag but the template's."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table")
    cards = [
        dataset_card(synthetic(tmp_path / "data", WORSE)),
        model_card(checkpoint(tmp_path / "model", WORSE)),
        dataset_card(synthetic(tmp_path / "plain", ["a"] + [f"b{i}" for i in range(len(WORSE) - 1)])),
    ]
    pages = [parser.parse(body(card)) for card in cards]
    inline = [[t for block in page if block.type == "inline" for t in block.children] for page in pages]
    for tokens in (*pages, *inline):
        assert not [t for t in tokens if t.type.startswith(("html", "image"))]
    links = [[t.attrs["href"] for t in tokens if t.type == "link_open"] for tokens in inline]
    assert links[0] == links[1] == links[2] and all(link.startswith("https://") for link in links[0])
    kinds = [[t.type for t in page] for page in pages]
    assert kinds[0] == kinds[2]
    for page in pages[:2]:
        shown = [block.children for block in page if block.type == "inline"]
        texts = ["".join(t.content for t in children) for children in shown]
        start = texts.index("class") + 3
        assert texts[start : start + 2] == [WORSE[0], "1"] or texts[start] == WORSE[0]


def test_of_thousands_of_classes_the_first_are_listed(tmp_path):
    names = [f"class {i}" for i in range(3000)]
    card = dataset_card(synthetic(tmp_path / "out", names, shard_size=1000))
    assert names_in(metadata(card)) == names
    assert len(class_rows(card)) == TABLE_ROWS and "… and 2,900 more of 3,000" in card
    assert len(class_rows(model_card(checkpoint(tmp_path / "model", names)))) == TABLE_ROWS


def test_templates_are_package_data():
    for name in ("model_card_template.md", "dataset_card_template.md"):
        assert "${metadata}---\n" in (resources.files("mvc_hf") / name).read_text(encoding="utf-8")
    top = Path(__file__).parents[3] / "model_card_template.md"
    assert top.read_text() == (resources.files("mvc_hf") / top.name).read_text()


def test_the_python_snippets_of_both_cards_run(tmp_path, tiny_base, photos, monkeypatch):
    """Those in Python, beside the folders that real runs leave; and no path of this machine is in either card."""
    from mvc_hf.config.recipe import Recipe
    from mvc_hf.generation.generate import generate
    from mvc_hf.training.finetune import finetune

    real = str(photos)
    finetune(Recipe(dataset=real, base=str(tiny_base), max_train_steps=1, train_batch_size=2), tmp_path / "model")
    generate(Recipe(dataset=real, images_per_class=2, num_inference_steps=2), tmp_path / "model", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 30)).save("one-of-your-images.png")
    for folder, written in (
        ("model", write_model_card(tmp_path / "model")),
        ("out", write_dataset_card(tmp_path / "out")),
    ):
        card = written.read_text()
        assert written == tmp_path / folder / "README.md"
        assert str(tmp_path) not in card and str(tiny_base.parent) not in card and str(photos.parent) not in card
        (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        names = {}
        exec(code.replace("num_inference_steps=25", "num_inference_steps=1"), names)
        assert names["image"].size == (16, 16) if folder == "model" else len(names["synthetic"]) == 6
