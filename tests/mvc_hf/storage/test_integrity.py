import hashlib
import json
import os
import time

import pytest

from mvc_hf.errors import ModelError, OutputError
from mvc_hf.storage import integrity
from mvc_hf.storage.files import cache_root
from mvc_hf.storage.integrity import (
    check_checkpoint,
    check_folder,
    damaged,
    digests_of,
    is_as_recorded,
    is_intact,
    record,
    sha256,
    xxh3,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(10_000))
    return path


@pytest.fixture
def remembering(monkeypatch):
    """Files of any size are worth it, and were not written a moment ago."""
    monkeypatch.setattr(integrity, "WORTH_REMEMBERING", 0)
    monkeypatch.setattr(integrity, "SAME_MOMENT", 0)


def flip(path, at=5000):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_digests(file):
    assert sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert digests_of(file.parent, ["weights"]) == {"weights": sha256(file)}
    assert len(xxh3(file)) == 32


@pytest.mark.parametrize("harm", [flip, lambda path: os.truncate(path, 5000), lambda path: path.unlink()])
def test_a_flipped_bit_a_cut_and_a_loss_are_noticed(file, harm):
    recorded = {"weights": sha256(file)}
    assert damaged(file.parent, recorded) == []
    harm(file)
    assert damaged(file.parent, recorded) == ["weights"]
    with pytest.raises(OutputError, match=r"weights is (missing|not as it was made).*: make it again") as caught:
        check_folder(file.parent, recorded, "make it again", OutputError)
    assert "\n" not in str(caught.value)


def test_what_was_found_intact_is_not_read_again(file, remembering):
    recorded, read = sha256(file), []

    def digest(path):
        read.append(path)
        return sha256(path)

    assert is_intact(file, recorded, digest) and is_intact(file, recorded, digest)
    assert len(read) == 1
    assert not is_intact(file, "another", digest)


def test_whoever_writes_to_it_makes_it_read_again(file, remembering):
    """Even one who sets the time of the file back."""
    recorded, times = sha256(file), file.stat()
    assert is_intact(file, recorded)
    time.sleep(0.02)  # the clock of file systems goes in steps
    flip(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not is_intact(file, recorded)


def test_a_file_just_written_is_read_again(file, monkeypatch):
    """Whoever changed it in the same moment would not have changed its time."""
    monkeypatch.setattr(integrity, "WORTH_REMEMBERING", 0)
    monkeypatch.setattr(integrity, "SAME_MOMENT", 10**15)
    assert is_intact(file, sha256(file))
    assert not (cache_root() / "intact").exists()


@pytest.mark.parametrize("damage", [b"", b"\xff", b"[]", b'{"stamp": 1}'])
def test_memory_that_cannot_be_read_is_made_anew(file, remembering, damage):
    assert is_intact(file, sha256(file))
    (memory,) = (cache_root() / "intact").iterdir()
    memory.write_bytes(damage)
    assert is_intact(file, sha256(file))
    flip(file)
    assert not is_intact(file, "0" * 64)


def test_cache_that_cannot_be_written_only_costs_time(file, remembering, monkeypatch):
    monkeypatch.setenv("MVC_HF_CACHE", str(file))  # no folder
    assert is_intact(file, sha256(file)) and is_intact(file, sha256(file))


def test_files_of_the_cache_have_a_note_each(file, capsys):
    cached = file.with_name("cached")
    assert not is_as_recorded(cached)
    record(cached, file)
    os.replace(file, cached)
    assert is_as_recorded(cached) and capsys.readouterr().err == ""
    flip(cached)
    assert not is_as_recorded(cached)
    assert "cached in the cache is damaged: it is made again" in capsys.readouterr().err


def checkpoint(folder, **notes):
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    recorded = digests_of(folder, ["unet/weights.safetensors"])
    (folder / "mvc.json").write_text(json.dumps({"sha256": recorded, **notes}))
    return folder


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("checkpoint", "copy or fetch the checkpoint again"),
        ("snapshots/abc", "remove .*weights.safetensors and give the same command again, which fetches it again"),
        ("made", "give its mvc-hf finetune command again"),
    ],
)
def test_damaged_checkpoint_says_what_to_do(tmp_path, where, says):
    folder = checkpoint(tmp_path / where)
    check_checkpoint(folder)
    if where == "made":
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "run.json").touch()
    (folder / "unet" / "weights.safetensors").write_bytes(b"weight5")
    with pytest.raises(ModelError, match=rf"weights\.safetensors is not as it was made: its SHA-256 differs: {says}"):
        check_checkpoint(folder)
    check_checkpoint(folder, lambda name: name == "captions.parquet")


def test_models_of_others_have_no_record(tmp_path):
    check_checkpoint(tmp_path)
    check_checkpoint(checkpoint(tmp_path / "old", sha256=None))


@pytest.mark.parametrize("recorded", [[], {"unet/weights.safetensors": 5}, {"../x": "0"}, {"/etc/passwd": "0"}, "x"])
def test_record_that_is_none(tmp_path, recorded):
    with pytest.raises(ModelError, match=r"mvc\.json has an unusable 'sha256'"):
        check_checkpoint(checkpoint(tmp_path / "c", sha256=recorded))


def test_one_process_of_a_machine_looks_for_all(tmp_path, monkeypatch):
    folder = checkpoint(tmp_path / "c")
    (folder / "unet" / "weights.safetensors").unlink()
    monkeypatch.setenv("LOCAL_RANK", "1")
    check_checkpoint(folder)
