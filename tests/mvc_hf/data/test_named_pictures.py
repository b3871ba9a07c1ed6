"""Tables that name pictures by their paths: those made here are read, those of others are not followed."""

import shutil

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources import PETS, folder, parquet, picture, png, refused, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.data.named_pictures import CURE, came_from_hub, file_of_hub, hub_repository, without_bytes
from mvc_hf.data.view import ViewConfig
from mvc_hf.utils import progress

FLAT = {"cats/1.png": 10, "cats/2.png": 20, "cats/3.png": 25, "dogs/1.png": 30}
GREYS = list(FLAT.values())


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setattr(progress, "_said", set())


@pytest.fixture
def pets(tmp_path):
    """What `load_dataset("imagefolder").to_parquet` leaves: absolute paths, and no bytes."""
    pictures = folder(tmp_path / "pets", FLAT)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(pictures), split="train")
    (tmp_path / "made").mkdir()
    loaded.to_parquet(tmp_path / "made" / "pets.parquet")
    kept = pq.read_table(tmp_path / "made" / "pets.parquet")["image"].to_pylist()
    assert all(cell["bytes"] is None and cell["path"].startswith(str(tmp_path)) for cell in kept)
    return tmp_path / "made" / "pets.parquet"


def test_what_datasets_writes_is_read_and_said_once(pets, said, capsys):
    source = open_dataset(str(pets))
    assert values(source) == GREYS and source.class_names == ("cats", "dogs")
    assert len(source.lacking) == 0
    open_dataset(str(pets))
    err = capsys.readouterr().err
    assert (
        err.count("pets.parquet holds paths instead of pictures: 4 are read from their files, the first from /") == 1
    )


def test_some_of_the_rows(pets, said, capsys):
    assert len(values(open_dataset(str(pets), split="train[2:]"))) == 2
    some = open_dataset(str(pets), view=ViewConfig(max_images_per_class=1))
    assert [some.image(int(row)).getpixel((0, 0)) in GREYS for row in some.rows] == [True, True]
    assert "2 are read from their files" in capsys.readouterr().err
    first = some.fingerprint
    assert open_dataset(str(pets), view=ViewConfig(max_images_per_class=1)).fingerprint == first


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_columns_of_paths(tmp_path, kind, said):
    pictures = folder(tmp_path / "set", PETS)
    for name, paths in (("a", [str(pictures / p) for p in PETS]), ("b", list(PETS))):
        table = {"file_name": pa.array(paths, kind), "label": [p.split("/")[0] for p in PETS]}
        pq.write_table(pa.table(table), pictures / f"{name}.parquet")
        assert values(open_dataset(str(pictures / f"{name}.parquet"))) == list(PETS.values())
        some = open_dataset(str(pictures / f"{name}.parquet"), view=ViewConfig(max_images_per_class=2))
        assert some.image(int(some.rows[-1])).getpixel((0, 0)) in PETS.values()
    pq.write_table(pa.table({"image": [{"path": p} for p in PETS], "label": [0] * 4}), pictures / "c.parquet")
    assert values(open_dataset(str(pictures / "c.parquet"))) == list(PETS.values())


def test_the_fingerprint_is_of_the_pictures(pets, tmp_path, said):
    first = open_dataset(str(pets)).fingerprint
    assert open_dataset(str(pets)).fingerprint == first
    picture(99).save(tmp_path / "pets" / "cats" / "1.png")
    assert open_dataset(str(pets)).fingerprint != first


def test_missing_files(pets, tmp_path, said, capsys):
    (tmp_path / "pets" / "cats" / "1.png").unlink()
    source = open_dataset(str(pets))
    assert source.lacking.tolist() == [0] and "3 are read from their files" in capsys.readouterr().err
    assert source.fingerprint
    shutil.rmtree(tmp_path / "pets")
    message = refused(
        pets, r"'image' of pets\.parquet holds paths instead of pictures, the first '/.*, and no file is there"
    )
    assert CURE in message


def test_no_picture_at_all(tmp_path):
    refused(
        parquet(tmp_path / "x.parquet", [0, 1], [{"bytes": None, "path": None}] * 2), "'image' of x.parquet holds no"
    )
    refused(
        parquet(tmp_path / "y.parquet", [0], pa.array([None], pa.binary())), "'image' of y.parquet holds no picture"
    )


def test_the_cure_cures(pets, tmp_path, said):
    """The line that stores the bytes, as the message gives it."""
    code = CURE.split("`")[1]
    ds = datasets.load_dataset("parquet", data_files=str(pets), split="train")
    eval(
        code.replace("'pictures.parquet'", "out"), {"ds": ds, "datasets": datasets, "out": tmp_path / "stored.parquet"}
    )
    shutil.rmtree(tmp_path / "pets")
    stored = open_dataset(str(tmp_path / "stored.parquet"))
    assert values(stored) == GREYS and stored.class_names == ("cats", "dogs")


@pytest.mark.parametrize("how", ["cache", "hf download", "git clone"])
def test_a_file_that_came_from_the_hub_is_not_followed_out_of_its_folder(pets, tmp_path, how, monkeypatch, said):
    home = tmp_path / "home" / "set"
    (home / "data").mkdir(parents=True)
    copy = shutil.copy(pets, home / "data" / "train.parquet")
    assert not came_from_hub(home / "data" / "other.parquet")
    if how == "cache":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home"))
    elif how == "hf download":
        notes = home / ".cache" / "huggingface" / "download" / "data" / "train.parquet.metadata"
        notes.parent.mkdir(parents=True)
        notes.write_text("commit")
    else:
        (home / ".git").mkdir()
        (home / ".git" / "config").write_text('[remote "origin"]\n\turl = https://huggingface.co/datasets/ann/pets\n')
    refused(
        copy,
        r"^row 0 of train\.parquet holds a path instead .*came from the Hub is not followed out of its own folder",
    )
    folder(home / "data", PETS)
    images = [{"bytes": None, "path": path} for path in PETS]
    own = parquet(home / "data" / "train.parquet", [0] * 4, images)
    assert values(open_dataset(str(own))) == list(PETS.values())


def test_files_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    own = tmp_path / "datasets--ann--pets" / "snapshots" / "1.png"
    assert file_of_hub("ann/pets", str(own)) == own
    for other in ("../datasets--ann--pets-2/1.png", "../../1.png"):
        assert file_of_hub("ann/pets", str(tmp_path / "datasets--ann--pets" / other)) is None
    assert file_of_hub("ann/pets", "1.png") is None and file_of_hub("ann/pets", f"zip://1.png::{own}") is None


def test_where_a_table_is_from(monkeypatch):
    table = datasets.Dataset.from_dict({"a": [1]})
    assert hub_repository(table) is None
    path = "/cache/ann___pets/default/0.0.0/{}/pets-train.arrow"
    for commit, found in (("a" * 40, "ann/pets"), ("a" * 16, None)):
        monkeypatch.setattr(datasets.Dataset, "cache_files", [{"filename": path.format(commit)}])
        assert hub_repository(table) == found


def test_rows_without_bytes():
    cells = [{"bytes": png(1), "path": None}, {"bytes": None, "path": "a"}, None, {"bytes": b"", "path": "b"}]
    features = datasets.Features({"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})
    table = datasets.Dataset.from_dict({"image": cells}, features=features)
    assert list(without_bytes(table, "image")) == [(1, "a"), (2, None), (3, None)]
    assert list(without_bytes(table.select([3, 1, 0]), "image")) == [(0, None), (1, "a")]
    plain = datasets.Dataset.from_dict({"image": [b"x", None]})
    assert list(without_bytes(plain, "image")) == [(1, None)]


@pytest.fixture
def paths_of_nothing(tmp_path):
    """Rows that name pictures which are not there."""
    images = [{"bytes": None, "path": f"/nowhere/{i}.png"} for i in range(4)]
    return parquet(tmp_path / "x.parquet", ["cat", "cat", "dog", "dog"], images)


@pytest.mark.parametrize("command", ["caption", "finetune", "run", "plan"])
def test_commands_refuse_them_before_anything_is_spent(paths_of_nothing, tmp_path, command, capsys):
    from mvc_hf import cli

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"dataset: {paths_of_nothing}\nbase: nowhere/base\noutput: {tmp_path / 'out'}\n")
    out = tmp_path / "captions.parquet" if command == "caption" else tmp_path / "checkpoint"
    flags = {"caption": ["-o", out], "finetune": ["-o", out, "--base", "nowhere/base"]}.get(command)
    code = cli.run([command, *map(str, [paths_of_nothing, *flags] if flags else [recipe])])
    err = capsys.readouterr().err.strip().splitlines()
    assert code == 1 and err[-1].startswith("Error: the column 'image' of x.parquet holds paths instead of pictures")
    assert CURE in err[-1] and not out.exists()


def test_condition_images_are_looked_at_too(paths_of_nothing, tmp_path):
    """`generate`, `preview`, `replay` and `load_dataset("mvc")` come this way."""
    from types import SimpleNamespace

    from mvc_hf.config.recipe import Recipe
    from mvc_hf.errors import DataError
    from mvc_hf.generation.inputs import source_of

    notes = SimpleNamespace(source={"name": "x", "fingerprint": ""}, recipe={}, class_names=("cat", "dog"))
    with pytest.raises(DataError, match="holds paths instead of pictures"):
        source_of(Recipe(dataset=str(paths_of_nothing)), notes)
    half = parquet(tmp_path / "y.parquet", ["cat", "cat", "dog", "dog"], [png(1), None, png(2), None])
    assert len(source_of(Recipe(dataset=str(half)), notes).lacking) == 2
    with pytest.raises(DataError, match="2 of 4 rows have no picture, over the limit of --max-broken 1"):
        source_of(Recipe(dataset=str(half), max_broken=1), notes)
