"""Push and pull, with the real client, over HTTP, on a Hub that goes wrong in every way it can."""

import email.utils
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest
from hub_store import File
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from local_hub import ANN, BOB, EVE, READER, connect
from PIL import Image

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import png
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import MvcError, OutputError
from mvc_hf.hub.weights import STEMS, listing, variants_of
from mvc_hf.publish import push as hub
from mvc_hf.storage.integrity import digests_of, files_of_checkpoint
from mvc_hf.storage.layout import CAPTIONS

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client's own making
NAMES = ("cat", "dog: a 'b'", "🙂")
SHARDS = [f"data/train-{i:05d}-of-00003.parquet" for i in range(3)]


def row(i, value):
    return {
        "image": png(Image.new("L", (4, 4), value + i)), "label": i % 3, "prompt": f"caption {i}", "method": "mvc",
        "index": i // 3, "seed": 0, "condition": i, "mix": {"base": i, "coarse": [], "fine": []},
    }  # fmt: skip


def fill(split, value=0, watch=lambda split: None):
    for shard in split.missing():
        with split.writer(shard) as spool:
            spool.write([row(i, value) for i in split.rows_of(shard)])
        watch(split)
    split.finish()


def data_set(folder, rows=9, value=0):
    fill(ShardedDatasetWriter(folder, {"seed": value}, rows, 3, NAMES), value)
    (folder / "README.md").write_text("---\nconfigs: []\n---\nsynthetic\n")
    return folder


def with_another_shard(folder, shard):
    """As `made`, but for one shard."""
    split = ShardedDatasetWriter(data_set(folder), {"seed": 0}, 9, 3, NAMES)
    with split.writer(shard) as spool:
        spool.write([row(i, 99) for i in split.rows_of(shard)])
    split.finish()
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("made") / "synthetic")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Every file that a run of finetune leaves, and some that have no business on the Hub."""
    from mvc_hf.captions.table import CaptionTable

    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    parts = {"tokenizer": ("CLIPTokenizer", "vocab.json"), "scheduler": ("DDIMScheduler", "scheduler_config.json")}
    for part, weights in (("text_encoder", "model"), ("vae", "diffusion_pytorch_model"),
                          ("unet", "diffusion_pytorch_model")):  # fmt: skip
        parts[part] = ("Thing", "config.json", f"{weights}.safetensors", f"{weights}.bin")
    for part, (_, *files) in parts.items():
        (folder / part).mkdir(parents=True)
        for name in files:
            (folder / part / name).write_bytes(f"{part}/{name}".encode() * 1000)
    index = {"_class_name": "StableDiffusionInstructPix2PixPipeline", "safety_checker": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index | {p: ["x", kind] for p, (kind, *_) in parts.items()}))
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    (folder / "checkpoints" / "run.json").write_text("{}")
    (folder / "checkpoints" / "step-00000001" / "unet.safetensors").write_bytes(b"state")
    (folder / "training_log.csv").write_text("step,loss\n")
    for name in (".mvc.json.tmp", ".mvc-hf.lock", ".mvc-hf.holder.json"):
        (folder / name).write_text("{}")
    CaptionTable([0, 1, 2], ["a cat", "a dog", "a smile"], [0, 1, 2]).save(folder / CAPTIONS)
    known = {"name": "org/base", "revision": "a" * 40, "fingerprint": "f"}
    CheckpointMetadata("f" * 32, {"coarse": 2, "fine": 8}, NAMES, {**known, "images": 3}, known, 16, (16, 16), False,
          {"steps": 1, "images": 3}, {"mvc_hf": "0"}).save(folder)  # fmt: skip
    return folder


@pytest.fixture
def remote(local_hub, tmp_path, monkeypatch):
    """The Hub, with this process connected to it; `waited` are the seconds that nobody had to wait."""
    local_hub.waited = connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setattr("mvc_hf.publish.push.pictures", lambda found: {})  # drawing takes longer than all the rest
    monkeypatch.setattr("mvc_hf.publish.contents.card", lambda folder, kind, repo_id: plain_card(folder))
    return local_hub


def plain_card(folder):
    path = folder / "README.md"
    return path.read_bytes() if path.exists() else b"# A card\n"


def shards(remote, id="ann/set", revision="main"):
    tree = remote.repos["datasets", id].resolve(revision).tree
    return [path for path in tree if path.endswith(".parquet")]


def sent(remote):
    return len([request for request in remote.calls("upload") if request.method == "PUT"])


def titles(remote, id="ann/set", kind="datasets", branch="main"):
    repo = remote.repos[kind, id]
    return [commit.title for commit in repo.history(repo.head(branch))]


# What is pushed


def test_a_data_set_in_one_commit(remote, made, capsys):
    found = hub.push_folder(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert list(repo.head().tree) == [".gitattributes", "README.md", *SHARDS]
    assert found.changed and found.commit == repo.head().oid and found.url == f"{remote.url}/datasets/ann/set"
    assert len(repo.commits) == 2 and sent(remote) == 3 and not repo.private
    assert repo.head().tree[SHARDS[1]].data == (made / SHARDS[1]).read_bytes()
    assert repo.head().tree[SHARDS[1]].lfs
    assert "data set repository ann/set created" in capsys.readouterr().err


def test_a_checkpoint_and_nothing_else_of_the_folder(remote, checkpoint):
    hub.push_folder(checkpoint, "lab/model", private=True)
    repo = remote.repos["models", "lab/model"]
    assert repo.private
    assert set(repo.head().tree) == {
        ".gitattributes", "README.md", "model_index.json", "mvc.json", "captions.parquet", "tokenizer/vocab.json",
        "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_the_cards_are_made_for_the_repository(local_hub, tmp_path, monkeypatch, made, checkpoint):
    connect(local_hub, tmp_path, monkeypatch)
    hub.push_folder(made, "ann/set")
    hub.push_folder(checkpoint, "ann/model")
    for kind, id in (("datasets", "ann/set"), ("models", "ann/model")):
        tree = local_hub.repos[kind, id].head().tree
        assert ("samples.png" in tree) == (kind == "datasets")
        text = tree["README.md"].data.decode()
        assert text.startswith("---\n") and id in text
        assert not hub.push_folder(made if kind == "datasets" else checkpoint, id).changed


def test_the_second_push_does_nothing(remote, made, tmp_path):
    first = hub.push_folder(made, "ann/set")
    remote.requests.clear()
    again = hub.push_folder(made, "ann/set")
    assert (again.commit, again.changed) == (first.commit, False)
    assert "nothing to do" in str(again)
    assert not remote.calls("commit") and not remote.calls("batch") and not remote.calls("preupload")
    shutil.copytree(made, tmp_path / "copy")  # other files of the same content
    assert not hub.push_folder(tmp_path / "copy", "ann/set").changed


def test_another_data_set_replaces_it_and_the_old_one_stays_reachable(remote, made, tmp_path, capsys):
    first = hub.push_folder(made, "ann/set")
    remote.repos["datasets", "ann/set"].commit("main", "a licence", {"LICENSE": File.of(b"free")})
    other = data_set(tmp_path / "other", rows=6, value=50)
    hub.push_folder(other, "ann/set")
    assert shards(remote) == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert "LICENSE" in remote.repos["datasets", "ann/set"].head().tree  # not ours, not touched
    assert shards(remote, revision=first.commit) == SHARDS
    assert len(titles(remote)) == 4
    assert "3 files of the former version are gone from it" in capsys.readouterr().err


def test_one_changed_file_is_all_that_is_sent(remote, made, tmp_path):
    hub.push_folder(made, "ann/set")
    remote.requests.clear()
    hub.push_folder(with_another_shard(tmp_path / "more", 1), "ann/set")
    assert sent(remote) == 1 and shards(remote) == SHARDS


def test_large_files_go_up_in_parts(remote, made):
    remote.chunk_size = 1000
    hub.push_folder(made, "ann/set")
    assert shards(remote) == SHARDS
    assert any(request.path.startswith("/lfs-part/") for request in remote.calls("upload"))


def test_many_files_and_pages(remote, tmp_path):
    remote.page_size = 5
    many = data_set(tmp_path / "many", rows=60)
    hub.push_folder(many, "ann/set")
    assert len(shards(remote)) == 20
    assert not hub.push_folder(many, "ann/set").changed


def test_a_branch_and_a_tag(remote, made, tmp_path):
    hub.push_folder(made, "ann/set", revision="try/one", tag="v1")
    repo = remote.repos["datasets", "ann/set"]
    assert titles(remote) == ["initial commit"] and shards(remote, revision="try/one") == SHARDS
    assert repo.tags == {"v1": repo.branches["try/one"]}
    assert not hub.push_folder(made, "ann/set", revision="try/one", tag="v1").changed  # the tag is there, and right
    hub.push_folder(made, "ann/set", revision="try/one", tag="v2")  # a tag alone
    assert repo.tags["v2"] == repo.tags["v1"]
    other = data_set(tmp_path / "other", rows=3, value=7)
    remote.requests.clear()
    with pytest.raises(OutputError, match="has a tag 'v1' of another commit"):
        hub.push_folder(other, "ann/set", tag="v1")
    assert not sent(remote)
    with pytest.raises(OutputError, match="has a tag 'v1' of another commit"):
        hub.push_folder(other, "ann/set", revision="try/one", tag="v1")
    with pytest.raises(OutputError, match="--revision 'v1' is a tag; name a branch"):
        hub.push_folder(made, "ann/set", revision="v1")
    assert not remote.calls("commit")


def test_a_tag_that_is_taken_in_between(remote, made, monkeypatch):
    set_tag = hub.Upload._set_tag

    def taken(self, tag, commit):
        repo = remote.repos["datasets", "ann/set"]
        repo.tags[tag] = repo.head().parent
        return set_tag(self, tag, commit)

    monkeypatch.setattr(hub.Upload, "_set_tag", taken)
    refused("pushed, but not tagged: ann/set has a tag 'v1' of another commit", made, "ann/set", tag="v1")
    assert shards(remote) == SHARDS and not remote.waited


def test_shards_go_up_while_others_are_made(remote, tmp_path):
    stream, seen = hub.Stream("ann/set", tmp_path / "out"), []

    def watch(split):
        stream.look(split)
        deadline = time.monotonic() + 10
        while sent(remote) <= len(seen) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(sent(remote))

    fill(ShardedDatasetWriter(tmp_path / "out", {"seed": 0}, 9, 3, NAMES), watch=watch)
    assert seen == [1, 2, 3] and shards(remote) == []
    found = stream.finish()
    assert found.changed and shards(remote) == SHARDS and sent(remote) == 3
    assert not hub.push_folder(tmp_path / "out", "ann/set").changed


def test_the_default_name_is_the_user_s_and_the_folder_s(remote, made, tmp_path):
    odd = data_set(tmp_path / "my -- data.. set.git", rows=3)
    assert hub.push_folder(odd, None).repo_id == "ann/my-data.-set"
    assert hub.push_folder(odd, "set").repo_id == "ann/set"


def test_a_small_file_that_differs_is_sent(remote, made):
    """Also where it has the same length."""
    hub.push_folder(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    mine = repo.head().tree["README.md"].data
    repo.commit("main", "an edit", {"README.md": File.of(mine.upper())})
    assert hub.push_folder(made, "ann/set").changed and repo.head().tree["README.md"].data == mine


# What goes wrong on the way


@pytest.mark.parametrize(
    "call", ["whoami", "info", "create", "tree", "refs", "branch", "tag", "preupload", "batch", "upload", "commit",
             "validate-yaml"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [500, 503, "reset"])
def test_whatever_fails_once_is_tried_again(remote, made, capsys, call, kind):
    remote.fail(call, kind, times=2)
    hub.push_folder(made, "ann/set", revision="dev", tag="v1")
    assert shards(remote, revision="dev") == SHARDS and len(titles(remote, branch="dev")) == 2
    assert remote.repos["datasets", "ann/set"].tags
    assert len(remote.waited) >= 2
    err = capsys.readouterr().err
    assert "trying again in 1 s" in err or call in (
        "tree",
        "preupload",
        "batch",
        "upload",
    )  # of those the client tells


@pytest.mark.parametrize("call", ["whoami", "info", "create", "commit", "tag", "preupload"])
def test_as_long_as_the_hub_asks(remote, made, call):
    remote.fail(call, 429, Retry_After="7")
    hub.push_folder(made, "ann/set", tag="v1")
    assert sum(remote.waited) >= 7 and shards(remote) == SHARDS


def test_no_longer_than_is_bearable(remote, made):
    remote.fail("commit", 429, Retry_After="3600")
    with pytest.raises(OutputError) as caught:
        hub.push_folder(made, "ann/set")
    text = str(caught.value)
    assert "too many requests" in text and "asks to wait 3600 s" in text and "\n" not in text
    assert "nothing is published" in text and f"`mvc-hf push {made} ann/set` goes on" in text
    assert shards(remote) == [] and not remote.waited
    hub.push_folder(made, "ann/set")
    assert sent(remote) == 3  # what was sent the first time was kept


@pytest.mark.parametrize("call", ["whoami", "create", "upload", "commit"])
def test_a_hub_that_stays_broken_is_given_up(remote, made, call):
    remote.fail(call, 500, times=1000)
    with pytest.raises(OutputError, match="cannot push to ann/set: the Hub answers 500") as caught:
        hub.push_folder(made, "ann/set")
    assert "\n" not in str(caught.value)
    assert 60 < sum(remote.waited) < 4000  # the client's own retries among them
    assert remote.repos.get(("datasets", "ann/set")) is None or shards(remote) == []


@pytest.mark.parametrize("status", [409, 412])
def test_a_busy_repository(remote, made, status):
    remote.fail("commit", status, times=3)
    hub.push_folder(made, "ann/set")
    assert shards(remote) == SHARDS and len(titles(remote)) == 2


def test_a_lost_reply_is_looked_for(remote, made):
    remote.fail("commit", "lost")
    found = hub.push_folder(made, "ann/set")
    assert len(remote.calls("commit")) == 1 and len(titles(remote)) == 2
    assert found.changed and found.commit == remote.repos["datasets", "ann/set"].head().oid


def test_a_lost_reply_and_somebody_after_it(remote, made, monkeypatch):
    """Ours is in the history, though the tree is another one by now."""
    remote.fail("commit", "lost")
    send = hub.Upload._send_commit

    def and_then(self, *args):
        try:
            return send(self, *args)
        finally:
            repo = remote.repos["datasets", "ann/set"]
            repo.commit("main", "somebody else", {SHARDS[0]: None})

    monkeypatch.setattr(hub.Upload, "_send_commit", and_then)
    found = hub.push_folder(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert len(remote.calls("commit")) == 1 and titles(remote)[0] == "somebody else"
    assert found.commit == repo.head().parent


@pytest.mark.parametrize("times", [1, 3])
def test_somebody_else_commits_in_between(remote, made, capsys, times):
    remote.fail("commit", "race", times=times)
    hub.push_folder(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert shards(remote) == SHARDS and "NOTES.md" in repo.head().tree
    assert titles(remote)[1:] == ["somebody else"] * times + ["initial commit"]
    assert "was changed in the meantime" in capsys.readouterr().err


def test_somebody_else_changes_the_same_files_in_between(remote, made, tmp_path, monkeypatch):
    hub.push_folder(made, "ann/set")
    other = with_another_shard(tmp_path / "other", 1)
    repo, send = remote.repos["datasets", "ann/set"], hub.Upload._send_commit

    def race(self, *args):
        if titles(remote)[0] != "theirs":
            repo.commit("main", "theirs", {path: File.of(b"theirs", lfs=True) for path in SHARDS})
        return send(self, *args)

    monkeypatch.setattr(hub.Upload, "_send_commit", race)
    hub.push_folder(other, "ann/set")
    assert titles(remote)[:2] == ["Upload synthetic data set made by mvc-hf", "theirs"]
    assert [repo.head().tree[path].data for path in SHARDS] == [(other / path).read_bytes() for path in SHARDS]


def test_what_the_client_remembers_of_the_branch_does_not_count(remote, made):
    """It leaves out of a commit what the branch held when the file was sent, though it holds something else by now."""
    repo, path = remote.repo("ann/set"), SHARDS[0]
    with hub.open_upload("ann/set", "dataset") as upload:
        repo.commit("main", "the same", {path: File.of((made / path).read_bytes(), lfs=True)})
        for name in SHARDS:
            upload.add(name, made / name)
        assert all(file.done.wait(20) for file in upload._files.values())
        repo.commit("main", "another", {path: File.of(b"theirs", lfs=True)})
        upload.commit("ours")
    assert repo.head().tree[path].data == (made / path).read_bytes()


def test_two_pushes_at_once_both_arrive(remote, made, tmp_path):
    import threading

    other = data_set(tmp_path / "other", rows=6, value=50)
    threads = [threading.Thread(target=hub.push_folder, args=(folder, "ann/set")) for folder in (made, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(titles(remote)) == 3 and len(shards(remote)) in (2, 3)


def test_a_slow_hub_is_waited_for(remote, made):
    for call in ("commit", "upload"):
        remote.fail(call, "slow", seconds=0.5)
    hub.push_folder(made, "ann/set")
    assert shards(remote) == SHARDS


def test_a_hub_that_never_answers_is_asked_again(remote, made, monkeypatch, capsys):
    """What was asked first may still take effect later: it must not count twice."""
    monkeypatch.setattr("mvc_hf.hub.retry.ANSWER", 0.5)
    remote.fail("info", "slow", seconds=1.5)
    remote.fail("commit", "slow", seconds=1.5)
    hub.push_folder(made, "ann/set")
    time.sleep(1.5)
    assert len(remote.calls("commit")) == 2 and len(titles(remote)) == 2 and shards(remote) == SHARDS
    assert "no answer in 0 s" in capsys.readouterr().err


def test_trouble_in_the_background_is_mended_by_the_commit(remote, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mvc_hf.hub.retry.PATIENCE", 0.5)
    stream, split = (
        hub.Stream("ann/set", tmp_path / "out"),
        ShardedDatasetWriter(tmp_path / "out", {"seed": 0}, 9, 3, NAMES),
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


def test_killed_and_given_again_it_sends_what_is_missing(local_hub, tmp_path, made):
    """A process of its own, killed while the last file is on its way; nothing is visible until the second one.

    Its four large files are the shards and the sheet of samples.
    """
    code = f"""
        from pathlib import Path
        from mvc_hf import hub
        import mvc_hf.hub.upload
        mvc_hf.hub.upload.BATCH = 1
        print(hub.push_folder(Path({str(made)!r}), "ann/set"))
    """
    environment = os.environ | local_hub.environment(tmp_path / "home")
    local_hub.fail("upload", "slow", times=1, after=3, seconds=60)
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while sent(local_hub) < 4:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert shards(local_hub) == []
    local_hub.requests.clear()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sent(local_hub) == 1 and shards(local_hub) == SHARDS
    assert ANN not in done.stdout + done.stderr


def test_what_is_asked_for_in_other_words():
    """`Retry-After` may be a date, and the Hub's own limits come in another header."""
    from types import SimpleNamespace

    from mvc_hf.hub.errors import asked_to_wait

    def error(**headers):
        caught = RuntimeError()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        caught.__cause__ = HfHubHTTPError("busy", response=SimpleNamespace(headers=headers, request=None))
        return caught

    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < asked_to_wait(error(Retry_After=later)) < 101
    assert asked_to_wait(error(Retry_After="12")) == 12
    assert asked_to_wait(error(RateLimit='"api";r=0;t=55')) == 56
    assert asked_to_wait(error(RateLimit='"api";r=3;t=55')) is None
    assert asked_to_wait(error(Retry_After="soon")) is None and asked_to_wait(error()) is None


# What is refused


def refused(match, *args, **options):
    with pytest.raises(MvcError, match=match) as caught:
        hub.push_folder(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "repo_id, match",
    [
        ("a/b/c", "'a/b/c' is no id for a repository"),
        ("ann/my set", "is no id for a repository"),
        ("ann/set@main", "is no id for a repository"),
        ("../x", "is no id for a repository"),
        ("", "is no id for a repository"),
        ("nobody/set", "cannot push to nobody/set: the token of ann cannot write to 'nobody'; it can to ann, lab"),
        ("bob/theirs", "cannot push to bob/theirs: the token of ann cannot write to 'bob'"),
    ],
)
def test_ids_that_cannot_be(remote, made, repo_id, match):
    remote.repo("bob/theirs")
    refused(match, made, repo_id)
    assert not remote.calls("create") and not sent(remote)


def test_no_token(remote, made, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused("no token for the Hub: run `hf auth login`, or set HF_TOKEN", made, "ann/set")
    assert not remote.requests


@pytest.mark.parametrize(
    "token, match", [(READER, "the token may only read"), ("hf_wrong", "does not accept the token")]
)
def test_tokens_that_do_not_do(remote, made, monkeypatch, token, match):
    remote.repo("ann/set")
    monkeypatch.setenv("HF_TOKEN", token)
    assert token not in refused(match, made, "ann/set")
    assert not sent(remote) and not remote.calls("create")


def test_fine_grained_tokens():
    from mvc_hf.hub.access import _refusal

    def user(*permissions):
        scoped = [{"entity": {"name": "ann"}, "permissions": list(permissions)}]
        return {"name": "ann", "auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": scoped}}}}

    assert "no write permission" in _refusal(user("repo.content.read"), "ann/set")
    assert not _refusal(user("repo.content.read", "repo.write"), "ann/set")
    assert "cannot write to 'bob'" in _refusal(user("repo.write"), "bob/set")


def test_permission_is_lost_on_the_way(remote, made):
    remote.fail("commit", 403)
    refused("cannot push to ann/set: the token has no permission for it", made, "ann/set")
    assert len(remote.calls("commit")) == 1 and not remote.waited


def test_offline(remote, made, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE is set", made, "ann/set")


def test_visibility_is_not_changed(remote, made, capsys):
    remote.repo("ann/public")
    refused("is there already and public, and --private was asked for", made, "ann/public", private=True)
    assert not sent(remote) and not remote.repos["datasets", "ann/public"].private
    remote.repo("ann/hidden", private=True)
    hub.push_folder(made, "ann/hidden")
    assert remote.repos["datasets", "ann/hidden"].private
    assert "ann/hidden is private, and stays so" in capsys.readouterr().err


def test_folders_that_are_not_finished(remote, made, checkpoint, tmp_path):
    refused("no folder", tmp_path / "none", "ann/set")
    (tmp_path / "empty").mkdir()
    refused("was not made by mvc-hf", tmp_path / "empty", "ann/set")
    half = ShardedDatasetWriter(tmp_path / "half", {"seed": 0}, 9, 3, NAMES)
    refused("is not finished: give its generate command again", half.folder, "ann/set")
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "mvc.json").unlink()
    refused("is not finished: give its finetune command again", tmp_path / "checkpoint", "ann/set")
    refused("was not made by mvc-hf; push .*checkpoint", checkpoint.parent, "ann/set")
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


def test_a_damaged_checkpoint_is_not_published(remote, checkpoint, tmp_path):
    bad, weights = tmp_path / "bad", "unet/diffusion_pytorch_model.safetensors"
    shutil.copytree(checkpoint, bad)
    recorded = digests_of(bad, [*files_of_checkpoint(bad), CAPTIONS])
    replace(CheckpointMetadata.load(bad), sha256=recorded).save(bad)
    os.truncate(bad / weights, 5000)
    refused(f"{weights} is not as it was made", bad, "ann/model")
    assert not remote.calls("create") and not remote.calls("commit")
    shutil.copy(checkpoint / weights, bad / weights)
    hub.push_folder(bad, "ann/model")
    assert remote.calls("commit")


def test_a_card_that_the_hub_does_not_take(remote, made, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(made, bad)
    (bad / "README.md").write_text("---\na: [\n---\n")
    refused("Invalid metadata in README.md", bad, "ann/set")
    assert shards(remote) == []


def test_files_that_a_gitignore_swallows(remote, made, monkeypatch):
    """The client says nothing of it."""
    repo = remote.repo("ann/set")
    before = type(repo).commit

    def commit(self, branch, title, changes, message=""):
        return before(self, branch, title, {p: f for p, f in changes.items() if p != SHARDS[1]}, message)

    monkeypatch.setattr(type(repo), "commit", commit)
    refused("the Hub left data/train-00001.* out of commit", made, "ann/set")


# Tokens


def test_the_token_stays_with_the_hub(remote, made, checkpoint, tmp_path, capfd):
    hub.push_folder(made, "ann/set", private=True)
    remote.chunk_size = 1000
    hub.push_folder(checkpoint, "ann/model", private=True)
    hub.pull_model("ann/model")
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


# Pull


def fake_model(remote, checkpoint, id="ann/model", **options):
    repo = remote.repo(id, "models", **options)
    files = {p.relative_to(checkpoint).as_posix(): p.read_bytes() for p in checkpoint.rglob("*") if p.is_file()}
    repo.commit("main", "a model", {p: File.of(d, p.endswith((".safetensors", ".bin"))) for p, d in files.items()})
    return repo


def pulled_files(found):
    return {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}


def test_pull_takes_safetensors_only(remote, checkpoint):
    repo = fake_model(remote, checkpoint)
    found = hub.pull_model("ann/model")
    assert (found.name, found.commit) == ("ann/model", repo.head().oid)
    assert "unet/diffusion_pytorch_model.safetensors" in pulled_files(found)
    assert {"mvc.json", "captions.parquet", "model_index.json", "tokenizer/vocab.json"} <= pulled_files(found)
    assert not [
        path for path in pulled_files(found) if path.endswith((".bin", ".tmp", ".csv")) or "checkpoints" in path
    ]
    remote.requests.clear()
    assert hub.pull_model("ann/model") == found
    assert {request.call for request in remote.requests} == {"info"}


def test_pull_a_revision(remote, checkpoint):
    repo = fake_model(remote, checkpoint)
    old = repo.head().oid
    repo.tags["v1"], repo.branches["dev/x"] = old, old
    repo.commit("main", "newer", {"mvc.json": File.of(b"{}")})
    for revision in ("v1", "dev/x", old):
        found = hub.pull_model(f"ann/model@{revision}")
        assert found.commit == old and (found.folder / "mvc.json").read_bytes() != b"{}"
    assert hub.pull_model("ann/model").commit == repo.head().oid


def test_a_branch_that_moves_while_it_is_pulled(remote, checkpoint, monkeypatch):
    """What is recorded is what was fetched."""
    from mvc_hf.hub import download as hub_pull

    repo, ask = fake_model(remote, checkpoint), hub_pull._info_of
    old = repo.head().oid

    def and_then(*args):
        found = ask(*args)
        repo.commit("main", "newer", {"mvc.json": File.of(b"{}")})
        return found

    monkeypatch.setattr(hub_pull, "_info_of", and_then)
    found = hub.pull_model("ann/model")
    assert found.commit == found.folder.name == old
    assert (found.folder / "mvc.json").read_bytes() == (checkpoint / "mvc.json").read_bytes()


@pytest.mark.parametrize("call", ["info", "tree", "resolve", "download"])
@pytest.mark.parametrize("kind", [500, "reset", "cut"])
def test_pull_goes_on_after_trouble(remote, checkpoint, call, kind):
    fake_model(remote, checkpoint)
    remote.fail(call, kind, times=2)
    found = hub.pull_model("ann/model")
    for path in ("unet/diffusion_pytorch_model.safetensors", "vae/config.json", "mvc.json"):
        assert (found.folder / path).read_bytes() == (checkpoint / path).read_bytes()


def test_pull_offline_from_the_cache(remote, checkpoint, monkeypatch, capsys):
    fake_model(remote, checkpoint)
    found = hub.pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.pull_model("ann/model") == found
    assert hub.pull_model(f"ann/model@{found.commit}") == found
    assert f"using the local cache, commit {found.commit}" in capsys.readouterr().err
    with pytest.raises(
        MvcError, match=r"cannot get ann/other from the Hub, which cannot be reached \(.*offline mode"
    ) as caught:
        hub.pull_model("ann/other")
    assert "\n" not in str(caught.value)


def test_pull_without_a_network_from_the_cache(remote, checkpoint, monkeypatch, capsys):
    fake_model(remote, checkpoint)
    found = hub.pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert hub.pull_model("ann/model") == found
    assert "the connection broke" in capsys.readouterr().err and not remote.waited
    with pytest.raises(MvcError, match="cannot get ann/other from the Hub, which cannot be reached"):
        hub.pull_model("ann/other")


@pytest.mark.parametrize("client", ["of today", "that keeps no list of files"])
def test_half_a_pull_is_not_taken_for_a_whole_one(remote, checkpoint, tmp_path, monkeypatch, client):
    monkeypatch.setattr("mvc_hf.hub.retry.PATIENCE", 0)
    fake_model(remote, checkpoint)
    remote.fail("download", "reset", times=1000, after=1)
    with pytest.raises(MvcError, match="cannot get ann/model from the Hub"):
        hub.pull_model("ann/model")
    assert list((tmp_path / "home").rglob("*.safetensors"))
    if "no list" in client:
        older = shutil.ignore_patterns("trees")
        shutil.copytree(tmp_path / "home" / "hub", tmp_path / "older", symlinks=True, ignore=older)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "older"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MvcError, match="nor is it a folder here or in the cache"):
        hub.pull_model("ann/model")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    remote._faults.clear()
    assert "unet/diffusion_pytorch_model.safetensors" in pulled_files(hub.pull_model("ann/model"))


@pytest.mark.parametrize(
    "model, token, match",
    [
        ("ann/none", ANN, "no model on the Hub is called 'ann/none'.*hf auth login"),
        ("ann/hidden", BOB, "no model on the Hub is called 'ann/hidden'"),
        ("ann/hidden", None, "no model on the Hub is called 'ann/hidden'.*hf auth login"),
        ("ann/gated", EVE, "the model ann/gated is gated: ask for access at http"),
        ("ann/open@v9", None, "the model ann/open has no revision 'v9'"),
        ("ann/set", ANN, "ann/set is a data set on the Hub, not a model"),
        ("ann/a--b", ANN, "'ann/a--b' is not a valid Hub id"),
    ],
)
def test_pulls_that_are_refused(remote, checkpoint, monkeypatch, model, token, match):
    fake_model(remote, checkpoint, "ann/hidden", private=True)
    fake_model(remote, checkpoint, "ann/gated", gated=True)
    fake_model(remote, checkpoint, "ann/open")
    remote.repo("ann/set", "datasets")
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MvcError, match=match) as caught:
        hub.pull_model(model)
    assert "\n" not in str(caught.value) and not remote.waited


@pytest.mark.parametrize(
    "gone, match",
    [
        ("model_index.json", "ann/model has no model_index.json: it is not a model in diffusers' layout"),
        ("mvc.json", "ann/model has no mvc.json: it is not a checkpoint of mvc-hf finetune"),
        ("unet/diffusion_pytorch_model.safetensors", "ann/model has no safetensors in unet/; pickle files are not"),
    ],
)
def test_what_could_not_be_used_is_not_fetched(remote, checkpoint, gone, match):
    fake_model(remote, checkpoint).commit("main", "less", {gone: None})
    with pytest.raises(MvcError, match=match):
        hub.pull_model("ann/model", "mvc.json")
    assert not remote.calls("resolve") and not remote.calls("download")


def with_variants(remote, checkpoint, variants, id="ann/model"):
    """A model whose parts have their weights under these variants ("" for none)."""
    repo, changes = fake_model(remote, checkpoint, id), {}
    for part, stem in STEMS.items():
        plain, found = f"{part}/{stem}.safetensors", variants.get(part, variants[""])
        changes |= {
            f"{part}/{stem}{'.' * bool(v)}{v}.safetensors": File.of(f"{part} {v}".encode(), True) for v in found
        }
        changes |= {} if "" in found else {plain: None}
    repo.commit("main", "variants", changes)
    return repo


@pytest.mark.parametrize(
    ("variants", "asked", "taken"),
    [
        ({"": ["fp16"]}, None, {"fp16"}),
        ({"": ["fp16"]}, "fp16", {"fp16"}),
        ({"": ["", "fp16"]}, None, {""}),
        ({"": ["", "fp16"]}, "fp16", {"fp16"}),
        ({"": [""], "unet": ["", "non_ema"]}, "non_ema", {"", "non_ema"}),
        ({"": [""], "unet": ["fp16"]}, None, {"", "fp16"}),
    ],
)
def test_the_weights_that_are_there_are_pulled_and_no_others(remote, checkpoint, monkeypatch, variants, asked, taken):
    """What the check counts as weights, the fetch brings, the cache finds and the loader takes."""
    with_variants(remote, checkpoint, variants)
    found = hub.pull_model("ann/model", variant=asked)
    files = {path for path in pulled_files(found) if path.endswith(".safetensors")}
    assert len(files) == len(STEMS)
    chosen = variants_of(listing(found.folder), "ann/model", asked)
    assert {variant or "" for variant in chosen.values()} == taken
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.pull_model("ann/model", variant=asked) == found


@pytest.mark.parametrize(
    ("variants", "asked", "match"),
    [
        ({"": [""]}, "fp16", "ann/model has no weights of --variant fp16"),
        ({"": ["fp16"]}, "bf16", "no weights of --variant bf16 in text_encoder/; it has fp16"),
        ({"": ["bf16", "fp16"]}, None, "several variants in text_encoder/ .*: choose one with --variant"),
    ],
)
def test_variants_that_are_not_there_are_refused_before_anything_is_fetched(
    remote, checkpoint, variants, asked, match
):
    with_variants(remote, checkpoint, variants)
    with pytest.raises(MvcError, match=match):
        hub.pull_model("ann/model", variant=asked)
    assert not remote.calls("resolve") and not remote.calls("download")


def test_a_variant_from_the_hub_is_loaded(remote, tiny_base):
    """The whole way, with real weights."""
    from mvc_hf.diffusion.model import load_base

    repo = fake_model(remote, tiny_base, "ann/tiny")
    changes = {}
    for part, stem in STEMS.items():
        plain = f"{part}/{stem}.safetensors"
        changes |= {f"{part}/{stem}.fp16.safetensors": repo.head().tree[plain], plain: None}
    repo.commit("main", "half", changes)
    base = load_base("ann/tiny")
    assert (base.name, base.variants) == ("ann/tiny", dict.fromkeys(STEMS, "fp16"))


def test_a_private_model_is_pulled_with_its_token(remote, checkpoint):
    fake_model(remote, checkpoint, "ann/hidden", private=True)
    assert "mvc.json" in pulled_files(hub.pull_model("ann/hidden"))


def test_a_disk_that_fills_up(remote, checkpoint, monkeypatch):
    import errno

    fake_model(remote, checkpoint)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    with pytest.raises(OSError) as caught:
        hub.pull_model("ann/model")
    assert caught.value.errno == errno.ENOSPC  # the command line knows what to say
    assert not remote.waited


def test_the_client_s_view_of_what_was_pushed(remote, made):
    """As a check of the server: what the real client reads is what was written."""
    hub.push_folder(made, "ann/set")
    api = HfApi()
    files = {f.path: f for f in api.get_paths_info("ann/set", [*SHARDS, "data"], repo_type="dataset")}
    assert set(files) == {*SHARDS, "data"}
    path = api.hf_hub_download("ann/set", SHARDS[0], repo_type="dataset")
    with open(path, "rb") as file:
        assert file.read() == (made / SHARDS[0]).read_bytes()
