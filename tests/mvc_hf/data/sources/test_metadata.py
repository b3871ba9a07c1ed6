"""What a folder tells of its pictures: metadata files as the Hub has them, and texts beside pictures."""

import json

import pytest
from sources import folder, refused

from mvc_hf.captions.loading import caption_source
from mvc_hf.data.groups import Groups
from mvc_hf.data.links import Links
from mvc_hf.data.loading import open_dataset
from mvc_hf.data.sources.metadata import Metadata, text_beside
from mvc_hf.errors import DataError

PETS = {"cats/1.png": 10, "cats/2.png": 20, "dogs/1.png": 30}


def with_file(tmp_path, text, name="metadata.csv", pictures=PETS):
    root = folder(tmp_path / "pets", pictures)
    (root / name).write_text(text, encoding="utf-8")
    return root


def as_jsonl(*rows):
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", 'file_name,text,patient\ndogs/1.png,"a dog, asleep",b\ncats\\2.png,a cat,a\n'),
        (
            "metadata.jsonl",
            as_jsonl(
                {"file_name": "dogs/1.png", "text": "a dog, asleep", "patient": "b"},
                {"file_name": "cats/2.png", "text": "a cat", "patient": "a"},
            ),
        ),
    ],
)
def test_captions_and_groups_of_class_folders(tmp_path, name, text, capsys):
    source = open_dataset(str(with_file(tmp_path, text, name)))
    assert source.columns == ("text", "patient") and source.class_names == ("cats", "dogs")
    assert [*source.column("text")] == [None, "a cat", "a dog, asleep"]
    captions = caption_source("column:text").table(source).captions
    assert captions[1:] == ["This is an image of cats. a cat", "This is an image of dogs. a dog, asleep"]
    assert Groups.of(source, "patient").codes.tolist() == [-1, 0, 1]
    said = capsys.readouterr().err
    assert f"note: {name} tells 'text', 'patient' of 2 of 3 pictures" in said
    with pytest.raises(DataError, match="pets has no column 'colour': it has 'text', 'patient'"):
        source.column("colour")


def test_what_it_tells_is_part_of_the_data(tmp_path):
    root = with_file(tmp_path, "file_name,text\ncats/1.png,a\n")
    before = open_dataset(str(root)).fingerprint
    assert open_dataset(str(root)).fingerprint == before
    (root / "metadata.csv").write_text("file_name,text\ncats/1.png,b\n")
    assert open_dataset(str(root)).fingerprint != before


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("text\na\n", "has no column file_name"),
        ("", "has no column file_name"),
        (
            "file_name,text\n../x.png,a\n",
            r"line 2 of metadata.csv: file_name is '\.\./x.png'; it must be a path below",
        ),
        ("file_name,text\n/etc/passwd,a\n", "must be a path below the folder"),
        ("file_name,text\nC:\\x.png,a\n", "must be a path below the folder"),
        ("file_name,text\n,a\n", "file_name is None"),
        ("file_name,text\ncats/1.png,a,b\n", "more cells than the first one"),
        ('file_name,text\ncats/1.png,"a\n', "is not CSV"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, match):
    refused(with_file(tmp_path, text), match)


def test_json_lines_that_cannot_be_used(tmp_path):
    refused(with_file(tmp_path, '{"file_name": "cats/1.png"}\n{', "metadata.jsonl"), "line 2 of metadata.jsonl is not")
    (tmp_path / "pets" / "metadata.csv").write_text("file_name\n")
    refused(tmp_path / "pets", "has metadata.csv and metadata.jsonl: keep one of them")


def test_texts_beside_the_pictures(tmp_path, capsys):
    root = folder(tmp_path / "pets", PETS)
    for name, text in (("cats/1.txt", " a cat,\nasleep "), ("dogs/1.TXT", "a dog"), ("dogs/notes.txt", "of mine")):
        (root / name).write_text(text)
    source = open_dataset(str(root))
    assert source.columns == ("txt",) and [*source.column("txt")] == ["a cat,\nasleep", None, "a dog"]
    table = caption_source("column:txt").table(source)
    assert table.captions[0] == "This is an image of cats. a cat, asleep"
    said = capsys.readouterr().err
    assert "2 of 3 pictures of pets have a text beside them: --captions column:txt takes it" in said
    assert "files that are not read as pictures: 1 .txt" in said  # the notes


def test_texts_of_others_are_not_read(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    (tmp_path / "secret.txt").write_text("a secret")
    (root / "cats" / "1.txt").symlink_to(tmp_path / "secret.txt")
    source = open_dataset(str(root))
    with pytest.raises(DataError, match="a link that leads out of it"):
        source.column("txt")
    (root / "cats" / "2.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"2\.txt is not text in UTF-8"):
        text_beside(root / "cats" / "2.txt", "cats/2.txt", Links(root))
    (root / "cats" / "2.txt").write_bytes(b"x" * (1 << 17))
    with pytest.raises(DataError, match="131,072 bytes, too many for a caption"):
        text_beside(root / "cats" / "2.txt", "cats/2.txt", Links(root))


def test_a_metadata_file_that_is_a_link_out_is_not_read(tmp_path):
    root = folder(tmp_path / "pets", PETS)
    (tmp_path / "metadata.csv").write_text("file_name,text\ncats/1.png,a secret\n")
    (root / "metadata.csv").symlink_to(tmp_path / "metadata.csv")
    with pytest.raises(DataError, match="a link that leads out of it"):
        Metadata.of(root, Links(root))
