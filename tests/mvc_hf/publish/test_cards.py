"""Cards: whatever classes are called, the metadata says it verbatim and the text only shows it."""

import re
import tempfile
from importlib import resources
from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard, metadata_load
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sources import HOSTILE

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.captions.table import CaptionTable
from mvc_hf.errors import MvcError, OutputError, RecipeError
from mvc_hf.publish.dataset_card import dataset_card, draw_samples, size_category, write_dataset_card
from mvc_hf.publish.markup import markdown, python_literal, yaml_code, yaml_text
from mvc_hf.publish.model_card import model_card, write_model_card
from mvc_hf.publish.provenance import LICENSES, Licence, Origin, publishable
from mvc_hf.publish.rendering import SAMPLES, TABLE_ROWS
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
NAMES = st.lists(st.text() | st.sampled_from(WORSE) | st.text("|`<>[]()&\\\n -#'\":"), min_size=1, unique=True)


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


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_class_names_in_a_dataset_card(names):
    with tempfile.TemporaryDirectory() as folder:
        card = dataset_card(synthetic(Path(folder) / "out", names), "org/name")
        file = Path(folder) / "README.md"
        file.write_bytes(card.encode())
        assert names_in(metadata_load(file)) == names
        assert names_in(DatasetCard.load(file).data) == names
    assert names_in(metadata(card)) == names
    assert "\n".join(front(card).splitlines()) + "\n" == front(card)
    check_body(card, len(names))


@settings(max_examples=60, deadline=None)
@given(NAMES, st.text(), st.text())
def test_words_from_outside_in_a_model_card(names, word, key):
    with tempfile.TemporaryDirectory() as folder:
        made = checkpoint(
            Path(folder) / "out",
            names,
            recipe={"captions": f"template:{word}", key or "x": word, "coarse": 2, "fine": 8},
            source={"name": word or "x", "revision": None, "fingerprint": word, "license": word},
            training={key: word},
        )
        card = model_card(made)
    check_body(card, len(names))
    values = metadata(card)
    assert values == ModelCard(card).data.to_dict() and values["license"] in LICENSES
    prompt = re.search(r"^prompt = (.*)$", card, re.MULTILINE)[1]
    assert eval(prompt).startswith("This is an image of")


@given(st.dictionaries(st.text(), st.text() | st.none() | st.integers() | st.floats(allow_nan=False) | NAMES))
def test_yaml_comes_back_verbatim(values):
    assert yaml.safe_load(yaml_text(values)) == values
    code = yaml_code(values)
    assert yaml.safe_load(code) == values and "<" not in code
    assert not re.search(r"^ {0,3}(```|~~~)", code, re.MULTILINE)


HIDDEN = "\u202e\u202a\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u2060\ufeff\u061c\u00ad\u034f\u3164\x1b\x9b\x7f"


@pytest.mark.parametrize("c", HIDDEN, ids=ascii)
def test_no_name_hides_anything_in_a_card(tmp_path, c):
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


@given(st.text())
def test_python_literal(text):
    literal = python_literal(text)
    assert eval(literal) == text and "<" not in literal and literal.isascii() and len(literal.splitlines()) == 1


@pytest.mark.parametrize("name", ["1e3", "0o17", "no", "1.0", "0x1F", "2024-01-01", ".inf", "True", "~"])
def test_names_that_some_parser_takes_for_a_number(name):
    """Quoted, so that YAML 1.1 and 1.2 agree."""
    assert re.fullmatch(r"""x: (["']).*\1\n""", yaml_text({"x": name}))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("T-shirt/top 1.0", "T-shirt/top 1.0"),
        ("a|b", "a&#124;b"),
        ("two\nlines", "two&#92;nlines"),
        (" a ", "␣a␣"),
        ("", "(empty)"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("\u0085", "&#92;x85"),
        ("www.x.com", "ww&#119;.x.com"),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_markdown(name, shown):
    assert markdown(name) == shown


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


def test_plain_datasets_loads_hostile_names(tmp_path):
    write_dataset_card(synthetic(tmp_path / "out", WORSE))
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert found.features["label"].names == WORSE and len(found) == len(WORSE)
    assert found[3]["image"].getpixel((0, 0)) == 3
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert streamed.features["label"].names == WORSE and [r["label"] for r in streamed] == list(range(len(WORSE)))


def test_split_sizes_in_the_metadata(tmp_path):
    values = metadata(dataset_card(synthetic(tmp_path / "out", rows=10)))
    info = values["dataset_info"]
    (split,) = info["splits"]
    assert split["name"] == "train" and split["num_examples"] == 10
    assert split["num_bytes"] == info["dataset_size"] > 0
    assert info["download_size"] == sum(p.stat().st_size for p in (tmp_path / "out" / "data").iterdir())
    assert datasets.load_dataset_builder(str(tmp_path / "out")).config.name == "default"


def test_thousands_of_classes(tmp_path):
    names = [f"class {i}" for i in range(3000)]
    card = dataset_card(synthetic(tmp_path / "out", names, shard_size=1000))
    assert names_in(metadata(card)) == names
    assert len(class_rows(card)) == TABLE_ROWS and "… and 2,900 more of 3,000" in card
    assert len(class_rows(model_card(checkpoint(tmp_path / "model", names)))) == TABLE_ROWS


def test_metadata_of_things_from_the_hub(tmp_path):
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


def test_nothing_is_claimed_that_is_not_known(tmp_path):
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
def test_licences(recorded, expected):
    assert {k: v for k, v in Licence.of(recorded).metadata().items() if v is not None} == expected


def test_licence_from_the_local_cache(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("rows,word", [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**5, "100K<n<1M")])
def test_size_category(rows, word):
    assert size_category(rows) == word
    assert size_category(10**11) == "100B<n<1T" and size_category(10**15) == "n>1T"


def test_no_path_and_no_token(tmp_path):
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


def test_pictures_are_shown_where_they_lie(tmp_path):
    folder = synthetic(tmp_path / "out")
    assert "![" not in dataset_card(folder)
    (folder / "contact_sheet.png").touch()
    assert "](contact_sheet.png)" in dataset_card(folder) and "](samples.png)" not in dataset_card(folder)
    write_dataset_card(folder)
    assert "](samples.png)" in (folder / "README.md").read_text()


def test_samples_are_synthetic_and_of_classes_all_over(tmp_path, monkeypatch):
    """Row 30 k + label holds a picture of that value; nothing but the shards is drawn."""
    import mvc_hf.report.contact_sheet

    drawn, draw = [], mvc_hf.report.contact_sheet.contact_sheet
    monkeypatch.setattr(mvc_hf.report.contact_sheet, "contact_sheet", lambda *a: drawn.append(a) or draw(*a))
    names = [f"class {i}\n" for i in range(29)] + ["x" * 3000]
    folder = synthetic(tmp_path / "out", names, rows=90, shard_size=25)
    path = draw_samples(folder, classes=3, images=2)
    assert path == folder / SAMPLES and Image.open(path).width < 1000
    ((columns, shown),) = drawn
    assert shown == ["class 0\\n", "class 14\\n", "x" * 23 + "…"]
    (rows,) = columns.values()
    assert [[image.getpixel((0, 0)) for image in row] for row in rows] == [[0, 30], [14, 44], [29, 59]]
    draw_samples(synthetic(tmp_path / "one", ["a"], rows=3))
    assert [len(row) for row in drawn[1][0]["synthetic"]] == [3]


def test_folders_without_a_finished_thing(tmp_path):
    with pytest.raises(MvcError, match=r"has no mvc\.json"):
        model_card(tmp_path)
    with pytest.raises(OutputError, match=r"has no manifest\.json: it is not a data set"):
        dataset_card(tmp_path)
    ShardedDatasetWriter(tmp_path / "half", {}, 2, 2, ("a", "b"))
    with pytest.raises(OutputError, match="is not finished: give the same"):
        dataset_card(tmp_path / "half")
    whole = synthetic(tmp_path / "whole")
    next((whole / "data").iterdir()).unlink()
    with pytest.raises(OutputError, match=r"lacks train-00000-of-00001\.parquet"):
        dataset_card(whole)
    assert not (whole / "README.md").exists()


@pytest.mark.parametrize(
    "repo_id", ["name", "a/b/c", "org/name@main", "org/na me", "org/--", "org/name.git", "", "../x"]
)
def test_repo_id(tmp_path, repo_id):
    with pytest.raises(RecipeError, match="is not a Hub id: give it as org/name"):
        model_card(checkpoint(tmp_path / "model"), repo_id)


def test_templates_are_package_data():
    for name in ("model_card_template.md", "dataset_card_template.md"):
        assert "${metadata}---\n" in (resources.files("mvc_hf") / name).read_text(encoding="utf-8")
    top = Path(__file__).parents[2] / "model_card_template.md"
    assert top.read_text() == (resources.files("mvc_hf") / top.name).read_text()


def test_the_snippets_run(tmp_path, tiny_base, photos, monkeypatch):
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


def test_shards_that_were_rewritten_with_paths_are_refused(tmp_path):
    from sources import parquet

    from mvc_hf.artifacts.reader import ShardReader
    from mvc_hf.errors import DataError

    for cell in ({"bytes": None, "path": "1.png"}, None):
        path = parquet(tmp_path / "x.parquet", [0, 1], [{"bytes": b"x", "path": "2.png"}, cell])
        with pytest.raises(DataError, match="a picture of the class 1 is empty: replace or remove it"):
            ShardReader((path,), 2).first_images([1], 1)
