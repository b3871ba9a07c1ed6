"""What counts as a class and as a picture, and what is said of the rest."""

import json
import os
import socket
import unicodedata

import pytest
from sources import PETS, folder, picture, refused

from mvc_hf.data import decoding
from mvc_hf.data.loading import open_dataset
from mvc_hf.data.sources.listing import SYSTEM_FILES, is_ours

SYSTEM = (
    *("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".ipynb_checkpoints", "lost+found", ".git", ".cache"),
    *("System Volume Information", ".Trashes", "@Recycle", "__pycache__", "found.000", ".hidden", "#snapshot"),
)


@pytest.fixture
def pets(tmp_path):
    return folder(tmp_path / "pets", PETS)


def notes(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]


@pytest.mark.parametrize("name", SYSTEM)
def test_folders_that_systems_make_are_no_classes(pets, capsys, name):
    folder(pets, {f"{name}/1.png": 1, f"cats/{name}/2.png": 2, f"cats/more/{name}/x/3.png": 3})
    source = open_dataset(str(pets))
    assert source.class_names == ("cats", "dogs") and len(source) == 4
    assert notes(capsys) == [f"note: left out of pets: folders that hold no classes: {name!r} (3 times)"]


def test_an_empty_folder_of_the_system_is_not_asked_for_images(pets, capsys):
    (pets / "lost+found").mkdir()
    assert len(open_dataset(str(pets))) == 4
    assert "'lost+found'" in notes(capsys)[0]


def test_classes_with_odd_names_stay_classes(tmp_path, capsys):
    names = ("@home", "#1", "$5", "recycled", "found", "__init__", "trash", "cache", "git", "data", "checkpoints")
    source = open_dataset(str(folder(tmp_path / "x", {f"{n}/1.png": 1 for n in names})))
    assert source.class_names == tuple(sorted(names)) and not notes(capsys)


def test_splits_are_told_from_what_systems_make(tmp_path, capsys):
    root = folder(
        tmp_path / "x", {"train/cats/1.png": 1, "val/cats/1.png": 2, "@eaDir/cats/1.png": 3, ".git/a/1.png": 4}
    )
    assert len(open_dataset(str(root))) == 1
    refused(root, "no split 'test': it has 'train', 'val'", split="test")


@pytest.mark.parametrize(
    "marker",
    [
        {"mvc.json": "{}"},
        {"checkpoints/run.json": "{}"},
        {"manifest.json": json.dumps({"made_from": {}, "fingerprint": ""})},
        {"checkpoint/checkpoints/run.json": "{}", "captions.parquet": ""},
        {"synthetic/manifest.json": json.dumps({"made_from": {}, "fingerprint": ""})},
    ],
)
def test_folders_that_we_made_are_no_classes(pets, capsys, marker):
    for place in ("out", "cats/out"):
        folder(pets, {f"{place}/samples.png": 1, f"{place}/more/1.png": 2})
        for name, text in marker.items():
            (pets / place / name).parent.mkdir(parents=True, exist_ok=True)
            (pets / place / name).write_text(text)
        assert is_ours(pets / place)
    source = open_dataset(str(pets))
    assert source.class_names == ("cats", "dogs") and len(source) == 4
    assert notes(capsys) == ["note: left out of pets: folders that mvc-hf made: 'out' (2 times)"]


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", '{"made_from": 1}'])
def test_a_manifest_of_others_makes_no_folder_ours(pets, text):
    (pets / "cats" / "manifest.json").write_text(text)
    assert open_dataset(str(pets)).class_names == ("cats", "dogs")


def test_files_that_are_not_read_are_counted_by_their_endings(pets, capsys, monkeypatch):
    monkeypatch.setattr(decoding, "reads_heif", lambda: False)
    for name in ("a.heic", "b.HEIC", "c.cr2", "a.txt", "more/b.txt", "d.txt", "IMG_0001"):
        (pets / "cats" / name).write_bytes(b"x")
    assert len(open_dataset(str(pets))) == 4
    assert notes(capsys) == [
        "note: left out of pets: files that are not read as pictures: 3 .txt, 2 .heic, 1 without an ending, 1 .cr2 "
        "(HEIC is read with pip install 'mvc_hf[heic]')"
    ]


def test_heic_is_a_picture_where_pillow_heif_is_installed(pets, capsys):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(picture(9, "RGB").resize((64, 64))).save(pets / "cats" / "0.HEIC")
    source = open_dataset(str(pets))
    assert source.describe_row(0) == "cats/0.HEIC" and source.image(0).size == (64, 64)
    assert not notes(capsys)


def test_many_endings_make_one_line(pets, capsys):
    for i in range(30):
        (pets / "cats" / f"x.e{i:02}").touch()
    open_dataset(str(pets))
    assert notes(capsys)[0].endswith("pictures: 1 .e00, 1 .e01, 1 .e02, 1 .e03, 1 .e04, 1 .e05, 24 other endings")


def test_what_is_in_every_folder_is_not_mentioned(pets, capsys):
    (pets / "readme.md").touch()
    for name in (*SYSTEM_FILES, "Thumbs.db", "Desktop.ini", ".DS_Store", "._1.png", "1.png:Zone.Identifier"):
        (pets / "cats" / name).touch()
    assert len(open_dataset(str(pets))) == 4
    assert not notes(capsys)


def test_pictures_beside_the_class_folders_are_named(pets, capsys):
    picture(1).save(pets / "loose.png")
    assert len(open_dataset(str(pets))) == 4
    assert notes(capsys) == ["note: left out of pets: pictures in no class folder: 'loose.png'"]


def test_a_set_of_pictures_that_are_not_read_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "reads_heif", lambda: False)
    for name in ("cats/1.heic", "cats/2.heic", "dogs/1.cr2"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(b"x")
    refused(tmp_path / "x", r"x holds no pictures that are read.* 2 \.heic, 1 \.cr2 .*mvc_hf\[heic\]")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in this file system")
def test_what_is_no_regular_file_is_left_out_and_never_waited_for(pets, capsys):
    os.mkfifo(pets / "cats" / "pipe.png")
    (pets / "cats" / "zero.png").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(pets / "cats")  # such names are short
    try:
        listening.bind("socket.png")
    finally:
        os.chdir(here)
        listening.close()
    source = open_dataset(str(pets), follow_symlinks=True)
    assert len(source) == 4 and source.fingerprint
    assert notes(capsys) == [
        "note: left out of pets: pipes, sockets and devices: 'cats/pipe.png', 'cats/socket.png', 'cats/zero.png'"
    ]


def test_a_link_that_leads_nowhere_is_a_picture_that_cannot_be_read(pets):
    """--max-broken counts it: somebody thinks that it is there."""
    (pets / "cats" / "lost.png").symlink_to("nowhere.png")
    (pets / "cats" / "round.png").symlink_to("round.png")
    assert len(open_dataset(str(pets))) == 6


def test_names_come_in_one_order_however_accents_are_written(tmp_path):
    """macOS writes an e and an accent, others one character: labels and rows must not depend on it."""
    names = ["cafz", "caf\u00e9", "a/\u00e9.png", "a/z.png"]
    for form in ("NFC", "NFD"):
        spelt = [unicodedata.normalize(form, n) for n in names]
        folder(tmp_path / form, {n if n.endswith(".png") else f"{n}/1.png": i for i, n in enumerate(spelt)})
    one, other = (open_dataset(str(tmp_path / form)) for form in ("NFC", "NFD"))
    assert one.class_names != other.class_names  # each is as its folder has it
    assert [unicodedata.normalize("NFC", n) for n in other.class_names] == list(one.class_names)
    assert [other.image(row).getpixel((0, 0)) for row in range(4)] == [
        one.image(row).getpixel((0, 0)) for row in range(4)
    ]
    one.name = other.name
    assert one.fingerprint == other.fingerprint
