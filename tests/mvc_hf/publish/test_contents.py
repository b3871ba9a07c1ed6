"""What is published, and what nobody gets published by whatever he puts into a folder."""

import json
import os
import shutil

import pytest
from hub_server import connect
from pushable import pushable_checkpoint, pushable_data_set

from mvc_hf.errors import MvcError
from mvc_hf.publish.contents import finished
from mvc_hf.publish.push import ShardUploader, push

SECRET = b"PAR1 what is nobody's business PAR1"
SHARD = "data/train-00001-of-00002.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return pushable_checkpoint(folder / "checkpoint"), pushable_data_set(folder / "synthetic")


@pytest.fixture
def checkpoint(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "checkpoint")


@pytest.fixture
def data_set(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "synthetic")


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "private").mkdir()
    path = tmp_path / "private" / "secret.parquet"
    path.write_bytes(SECRET)
    return path


def refused(local_hub, folder, says, tmp_path, monkeypatch):
    """By name, before the Hub has got a byte of it, or a repository."""
    connect(local_hub, tmp_path / "home", monkeypatch)
    with pytest.raises(MvcError) as caught:
        push(folder, "ann/x")
    said = str(caught.value)
    assert says in said and "\n" not in said
    assert not {r.call for r in local_hub.requests} & {"create", "preupload", "batch", "upload", "commit", "branch"}
    assert not local_hub.repos
    return said


def test_checkpoints_and_data_sets_are_published_as_they_are_made(made):
    assert finished(made[0]).kind == "model" and len(finished(made[0]).files) == 13
    assert finished(made[1]).kind == "dataset" and len(finished(made[1]).sha256) == 2


LINKED = [
    "mvc.json", "captions.parquet", "model_index.json", "unet/config.json", "tokenizer/merges.txt",
    "vae/diffusion_pytorch_model.safetensors", "unet/notes.txt", "unet/.hidden", "unet/x.bin", "samples.png",
]  # fmt: skip


@pytest.mark.parametrize("name", LINKED)
def test_a_link_in_a_checkpoint_is_refused(local_hub, checkpoint, secret, tmp_path, monkeypatch, name):
    content = (checkpoint / name).read_bytes() if (checkpoint / name).exists() else SECRET
    secret.write_bytes(content)  # so that nothing but the link is wrong
    (checkpoint / name).unlink(missing_ok=True)
    (checkpoint / name).symlink_to(secret)
    said = refused(local_hub, checkpoint, "is a link", tmp_path, monkeypatch)
    assert repr(name) in said and str(secret) not in said


def test_a_link_within_the_folder_is_refused_too(local_hub, checkpoint, tmp_path, monkeypatch):
    (checkpoint / "unet" / "config.json").unlink()
    (checkpoint / "unet" / "config.json").symlink_to("../vae/config.json")
    refused(local_hub, checkpoint, "'unet/config.json' in it is a link", tmp_path, monkeypatch)


@pytest.mark.parametrize("part", ["unet", "tokenizer", "scheduler"])
def test_a_part_that_is_a_link_is_refused(local_hub, checkpoint, tmp_path, monkeypatch, part):
    shutil.move(checkpoint / part, tmp_path / "elsewhere")
    (checkpoint / part).symlink_to(tmp_path / "elsewhere")
    refused(local_hub, checkpoint, f"{part!r} in it is a link", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "name", ["unet/notes.txt", "unet/Config.json", "unet/config.JSON", "tokenizer/passwords.txt",
             "vae/other.safetensors", "scheduler/config.json", "unet/model.safetensors", "text_encoder/spiece.model",
             "tokenizer/vocab.json\n.txt"],
)  # fmt: skip
def test_a_stray_file_of_a_kind_that_is_published_is_refused(local_hub, checkpoint, tmp_path, monkeypatch, name):
    (checkpoint / name).write_bytes(b"private")
    refused(local_hub, checkpoint, f"{name!r} in it is no file of a checkpoint", tmp_path, monkeypatch)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_regular_file_is_refused(local_hub, checkpoint, tmp_path, monkeypatch, make):
    make(checkpoint / "unet" / "odd.json")
    refused(local_hub, checkpoint, "'unet/odd.json' in it is no regular file", tmp_path, monkeypatch)


def test_what_is_never_published_stays_where_it_is(local_hub, checkpoint, tmp_path, monkeypatch):
    for name in ("unet/x.bin", "unet/.DS_Store", "notes.txt", ".env", "training_log.csv"):
        (checkpoint / name).write_bytes(b"private")
    connect(local_hub, tmp_path / "home", monkeypatch)
    push(checkpoint, "ann/x")
    stored = [file.data for file in local_hub.repos["models", "ann/x"].head().tree.values()]
    assert b"private" not in stored and len(stored) == 16


@pytest.mark.parametrize("name", ["safety_checker", "../private", "/etc", "private", "unet/..", "", "."])
def test_parts_that_no_checkpoint_has_are_refused(local_hub, checkpoint, secret, tmp_path, monkeypatch, name):
    index = json.loads((checkpoint / "model_index.json").read_text())
    (checkpoint / "model_index.json").write_text(json.dumps(index | {name: ["x", "y"]}))
    refused(local_hub, checkpoint, f"{name!r} in it is named by model_index.json", tmp_path, monkeypatch)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"unet": [{}]}', "[" * 100_000, '{"unet": []}', '"x"'])
def test_an_unreadable_index_is_refused(local_hub, checkpoint, tmp_path, monkeypatch, text):
    (checkpoint / "model_index.json").write_text(text)
    if text == '{"unet": [{}]}':
        (checkpoint / "model_index.json").write_bytes(b"\xff")
    refused(local_hub, checkpoint, "model_index.json", tmp_path, monkeypatch)


def edited(folder, **changes):
    """By somebody who knows that a manifest without a seal is taken for an old one."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["seal"]
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def shards_of(folder):
    return json.loads((folder / "manifest.json").read_text())["shards"]


@pytest.mark.parametrize("digest", ["", None, 5, "0" * 63, "0" * 64 + "\n", "A" * 64, ["x"]])
def test_a_shard_without_its_hash_is_refused(local_hub, data_set, tmp_path, monkeypatch, digest):
    first, second = shards_of(data_set)
    edited(data_set, shards=[first, {**second, "sha256": digest}])
    says = f"has no SHA-256 of {SHARD}" if isinstance(digest, str) else "is of another format"
    refused(local_hub, data_set, says, tmp_path, monkeypatch)


def test_a_shard_without_any_hash_is_refused(local_hub, data_set, tmp_path, monkeypatch):
    first, second = shards_of(data_set)
    del first["sha256"]
    edited(data_set, shards=[first, second])
    refused(local_hub, data_set, "is of another format", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "name", ["{secret}", "../private/secret.parquet", "data/../../private/secret.parquet", "./" + SHARD,
             "data//x.parquet", "DATA/train-00001-of-00002.parquet", "data/Train-00001-of-00002.parquet", SHARD + "\n",
             "data/train-00000-of-00002.parquet", "data/train-00001-of-00003.parquet", "mvc.json",
             "data\\train-00001-of-00002.parquet", "data/train-0000１-of-00002.parquet", "", None, 7, ["x"], {}],
)  # fmt: skip
@pytest.mark.parametrize("digest", ["", "right"])
def test_a_manifest_that_names_other_files_is_refused(
    local_hub, data_set, secret, tmp_path, monkeypatch, name, digest
):
    """A private Parquet file got into a commit that way."""
    from mvc_hf.storage.integrity import sha256

    name = str(secret) if name == "{secret}" else name
    digest = sha256(secret) if digest else ""
    edited(data_set, shards=[shards_of(data_set)[0], {"file": name, "rows": 2, "sha256": digest}])
    says = "'manifest.json' in it is no list of its shards" if isinstance(name, str) else "is of another format"
    refused(local_hub, data_set, says, tmp_path, monkeypatch)


@pytest.mark.parametrize("shards", [None, [], {}, "x", 5, [None], [[]], ["data/train-00000-of-00001.parquet"]])
def test_a_manifest_without_a_list_is_refused(local_hub, data_set, tmp_path, monkeypatch, shards):
    edited(data_set, shards=shards)
    says = "is no list of its shards" if shards == [] else "is of another format"
    refused(local_hub, data_set, says, tmp_path, monkeypatch)


def test_shards_that_are_links_are_refused(local_hub, data_set, secret, tmp_path, monkeypatch):
    """Of the right content, too: what a link leads to may be another thing a moment later."""
    shutil.move(data_set / SHARD, secret)
    (data_set / SHARD).symlink_to(secret)
    refused(local_hub, data_set, f"'{SHARD}' in it is a link", tmp_path, monkeypatch)
    shutil.move(data_set / "data", tmp_path / "elsewhere")
    (data_set / "data").symlink_to(tmp_path / "elsewhere")
    refused(local_hub, data_set, "'data' in it is a link", tmp_path, monkeypatch)


def test_a_shard_that_was_changed_is_refused(local_hub, data_set, tmp_path, monkeypatch):
    """The last one: the first is not sent either."""
    data = bytearray((data_set / SHARD).read_bytes())
    data[100] ^= 1
    (data_set / SHARD).write_bytes(data)
    refused(local_hub, data_set, "is not as it was made: its SHA-256 differs", tmp_path, monkeypatch)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_shard_that_cannot_be_read_is_refused(local_hub, data_set, tmp_path, monkeypatch):
    (data_set / SHARD).chmod(0)
    refused(local_hub, data_set, "cannot be read (Permission denied)", tmp_path, monkeypatch)


def test_a_picture_that_is_a_link_is_refused(local_hub, data_set, secret, tmp_path, monkeypatch):
    (data_set / "contact_sheet.png").symlink_to(secret)
    refused(local_hub, data_set, "'contact_sheet.png' in it is a link", tmp_path, monkeypatch)


def test_the_folder_itself_may_be_reached_by_a_link(local_hub, data_set, tmp_path, monkeypatch):
    (tmp_path / "latest").symlink_to(data_set)
    connect(local_hub, tmp_path / "home", monkeypatch)
    assert push(tmp_path / "latest", "ann/x").changed


def test_what_is_generated_on_top_of_a_link_is_not_sent(local_hub, data_set, secret, tmp_path, monkeypatch):
    """While they are made, shards are sent as they become whole."""
    from mvc_hf.artifacts.shards import ShardedDatasetWriter

    shutil.move(data_set / SHARD, secret)
    (data_set / SHARD).symlink_to(secret)
    connect(local_hub, tmp_path / "home", monkeypatch)
    split = ShardedDatasetWriter(data_set, {"seed": 0}, 4, 2, ("cat", "dog"))
    with ShardUploader("ann/x", data_set) as stream, pytest.raises(MvcError, match="is a link"):
        stream.look(split)
    assert not local_hub.repos
