"""What a push leaves on the Hub, and which folders are refused."""

import os
import shutil
import time
from dataclasses import replace

import pytest
from hub_server import ANN, File, connect
from pushable import (
    SHARDS,
    data_set,
    fill,
    nine_rows,
    refused,
    sent,
    shards,
    titles,
    with_another_shard,
)

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.errors import OutputError
from mvc_hf.hub.download.models import pull_model
from mvc_hf.publish.push import ShardUploader, push
from mvc_hf.storage.integrity import digests_of, files_of_checkpoint
from mvc_hf.storage.layout import CAPTIONS


def test_a_data_set_is_one_commit(remote, made, capsys):
    found = push(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert list(repo.head().tree) == [".gitattributes", "README.md", *SHARDS]
    assert found.changed and found.commit == repo.head().oid and found.url == f"{remote.url}/datasets/ann/set"
    assert len(repo.commits) == 2 and sent(remote) == 3 and not repo.private
    assert repo.head().tree[SHARDS[1]].data == (made / SHARDS[1]).read_bytes()
    assert repo.head().tree[SHARDS[1]].lfs
    assert "data set repository ann/set created" in capsys.readouterr().err


def test_of_a_checkpoint_s_folder_nothing_else_is_published(remote, model_files):
    push(model_files, "lab/model", private=True)
    repo = remote.repos["models", "lab/model"]
    assert repo.private
    assert set(repo.head().tree) == {
        ".gitattributes", "README.md", "model_index.json", "mvc.json", "mvc.yaml", "captions.parquet",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt", "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_a_training_checkpoint_is_published_as_a_checkpoint(remote, checkpoint):
    push(checkpoint / "checkpoints" / "step-00000003", None)
    tree = remote.repos["models", "ann/checkpoint-step-00000003"].head().tree
    ours = set(digests_of(checkpoint, [*files_of_checkpoint(checkpoint), CAPTIONS]))
    assert set(tree) == {*ours, "mvc.json", "mvc.yaml", ".gitattributes", "README.md"}
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert tree[weights].data == (checkpoint / weights).read_bytes()  # it is the last one


def test_cards_are_written_for_the_repository(local_hub, tmp_path, monkeypatch, made, model_files):
    connect(local_hub, tmp_path, monkeypatch)
    push(made, "ann/set")
    push(model_files, "ann/model")
    for kind, id in (("datasets", "ann/set"), ("models", "ann/model")):
        tree = local_hub.repos[kind, id].head().tree
        assert ("samples.png" in tree) == (kind == "datasets")
        text = tree["README.md"].data.decode()
        assert text.startswith("---\n") and id in text
        assert not push(made if kind == "datasets" else model_files, id).changed


def test_the_second_push_does_nothing(remote, made, tmp_path):
    first = push(made, "ann/set")
    remote.requests.clear()
    again = push(made, "ann/set")
    assert (again.commit, again.changed) == (first.commit, False)
    assert "nothing to do" in str(again)
    assert not remote.calls("commit") and not remote.calls("batch") and not remote.calls("preupload")
    shutil.copytree(made, tmp_path / "copy")  # other files of the same content
    assert not push(tmp_path / "copy", "ann/set").changed


def test_another_data_set_replaces_it_and_the_old_one_stays_reachable(remote, made, tmp_path, capsys):
    first = push(made, "ann/set")
    remote.repos["datasets", "ann/set"].commit("main", "a licence", {"LICENSE": File.of(b"free")})
    other = data_set(tmp_path / "other", rows=6, value=50)
    push(other, "ann/set")
    assert shards(remote) == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert "LICENSE" in remote.repos["datasets", "ann/set"].head().tree  # not ours, not touched
    assert shards(remote, revision=first.commit) == SHARDS
    assert len(titles(remote)) == 4
    assert "3 files of the former version are gone from it" in capsys.readouterr().err


def test_one_changed_file_is_all_that_is_sent(remote, made, tmp_path):
    push(made, "ann/set")
    remote.requests.clear()
    push(with_another_shard(tmp_path / "more", 1), "ann/set")
    assert sent(remote) == 1 and shards(remote) == SHARDS


def test_a_small_file_of_other_content_and_equal_length_is_sent(remote, made):
    """Also where it has the same length."""
    push(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    mine = repo.head().tree["README.md"].data
    repo.commit("main", "an edit", {"README.md": File.of(mine.upper())})
    assert push(made, "ann/set").changed and repo.head().tree["README.md"].data == mine


def test_a_push_makes_branch_and_tag_and_refuses_a_tag_of_another_commit(remote, made, tmp_path):
    push(made, "ann/set", revision="try/one", tag="v1")
    repo = remote.repos["datasets", "ann/set"]
    assert titles(remote) == ["initial commit"] and shards(remote, revision="try/one") == SHARDS
    assert repo.tags == {"v1": repo.branches["try/one"]}
    assert not push(made, "ann/set", revision="try/one", tag="v1").changed  # the tag is there, and right
    push(made, "ann/set", revision="try/one", tag="v2")  # a tag alone
    assert repo.tags["v2"] == repo.tags["v1"]
    other = data_set(tmp_path / "other", rows=3, value=7)
    remote.requests.clear()
    with pytest.raises(OutputError, match="has a tag 'v1' of another commit"):
        push(other, "ann/set", tag="v1")
    assert not sent(remote)
    with pytest.raises(OutputError, match="has a tag 'v1' of another commit"):
        push(other, "ann/set", revision="try/one", tag="v1")
    with pytest.raises(OutputError, match="--revision 'v1' is a tag; name a branch"):
        push(made, "ann/set", revision="v1")
    assert not remote.calls("commit")


def test_shards_go_up_while_others_are_made(remote, tmp_path):
    stream, seen = ShardUploader("ann/set", tmp_path / "out"), []

    def watch(split):
        stream.look(split)
        deadline = time.monotonic() + 10
        while sent(remote) <= len(seen) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(sent(remote))

    fill(nine_rows(tmp_path / "out"), watch=watch)
    assert seen == [1, 2, 3] and shards(remote) == []
    found = stream.finish()
    assert found.changed and shards(remote) == SHARDS and sent(remote) == 3
    assert not push(tmp_path / "out", "ann/set").changed


def test_trouble_in_the_background_is_mended_by_the_commit(remote, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mvc_hf.hub.retry.PATIENCE", 0.5)
    stream, split = (
        ShardUploader("ann/set", tmp_path / "out"),
        nine_rows(tmp_path / "out"),
    )
    remote.fail("preupload", 500, times=6)  # as many as the client tries

    def watch(split):
        stream.look(split)
        for file in stream._upload._files.values():
            assert file.done.wait(20)

    fill(split, watch=watch)
    assert sent(remote) == 2
    assert stream.finish().changed and shards(remote) == SHARDS
    assert "uploading data/train-00000-of-00003.parquet to ann/set has failed for now" in capsys.readouterr().err


def test_unfinished_folders_are_refused(remote, made, model_files, tmp_path):
    refused("no folder", tmp_path / "none", "ann/set")
    (tmp_path / "empty").mkdir()
    refused("was not made by mvc-hf", tmp_path / "empty", "ann/set")
    half = nine_rows(tmp_path / "half")
    refused("is not finished: give its generate command again", half.folder, "ann/set")
    shutil.copytree(model_files, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "mvc.json").unlink()
    refused("is not finished: give its finetune command again", tmp_path / "checkpoint", "ann/set")
    refused("was not made by mvc-hf; push .*checkpoint", model_files.parent, "ann/set")
    refused("is a data set, not a model", made, "ann/set", "model")
    assert not remote.requests


def test_damaged_files_are_not_published(remote, made, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(made, bad)
    (bad / SHARDS[2]).write_bytes(b"PAR1 something else PAR1")
    refused("is not as it was made", bad, "ann/set")
    (bad / SHARDS[2]).unlink()
    refused("lacks data/train-00002", bad, "ann/set")
    assert not remote.repos and not remote.calls("upload")
    assert not remote.calls("create") and not remote.calls("commit")  # found before anything is sent


def test_a_damaged_checkpoint_is_not_published(remote, model_files, tmp_path):
    bad, weights = tmp_path / "bad", "unet/diffusion_pytorch_model.safetensors"
    shutil.copytree(model_files, bad)
    recorded = digests_of(bad, [*files_of_checkpoint(bad), CAPTIONS])
    replace(CheckpointMetadata.load(bad), sha256=recorded).save(bad)
    os.truncate(bad / weights, 1000)
    refused(f"{weights} is not as it was made", bad, "ann/model")
    assert not remote.calls("create") and not remote.calls("commit")
    shutil.copy(model_files / weights, bad / weights)
    push(bad, "ann/model")
    assert remote.calls("commit")


def test_a_card_with_broken_metadata_is_told(remote, made, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(made, bad)
    (bad / "README.md").write_text("---\na: [\n---\n")
    refused("Invalid metadata in README.md", bad, "ann/set")
    assert shards(remote) == []


def test_the_token_stays_with_the_hub(remote, made, model_files, tmp_path, capfd):
    push(made, "ann/set", private=True)
    remote.chunk_size = 1000
    push(model_files, "ann/model", private=True)
    pull_model("ann/model")
    elsewhere = [request for request in remote.requests if request.host.startswith("localhost")]
    assert {request.call for request in elsewhere} == {"upload", "download"}
    assert not any(request.token for request in elsewhere)
    assert not any("authorization" in request.headers for request in remote.calls("download"))
    assert all(request.token == ANN for request in remote.calls("commit"))
    output = "".join(capfd.readouterr())
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    stored = b"".join(f.data for r in remote.repos.values() for f in r.head().tree.values())
    assert ANN not in output and ANN.encode() not in written + stored


@pytest.mark.parametrize("call", ["whoami", "create", "preupload", "batch", "upload", "commit"])
@pytest.mark.parametrize("kind", [400, 410])
def test_no_error_shows_a_token_or_a_signature(remote, made, call, kind):
    remote.fail(call, kind)
    text = refused("so it goes", made, "ann/set")  # the Hub's own words
    assert ANN not in text and "Signature" not in text
