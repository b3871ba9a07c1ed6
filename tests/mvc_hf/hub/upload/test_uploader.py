"""One commit makes everything visible, whatever happens to the branch or the connection meanwhile."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hub_server import ANN, File
from huggingface_hub import HfApi
from pushable import (
    SHARDS,
    data_set,
    refused,
    sent,
    shards,
    titles,
    with_another_shard,
)

from mvc_hf.hub.upload.uploader import Upload, open_upload
from mvc_hf.publish.push import push


def test_large_files_go_up_in_parts(remote, made):
    remote.chunk_size = 1000
    push(made, "ann/set")
    assert shards(remote) == SHARDS
    assert any(request.path.startswith("/lfs-part/") for request in remote.calls("upload"))


def test_trees_of_several_pages_are_read_to_the_end(remote, tmp_path):
    remote.page_size = 5
    many = data_set(tmp_path / "many", rows=60)
    push(many, "ann/set")
    assert len(shards(remote)) == 20
    assert not push(many, "ann/set").changed


@pytest.mark.parametrize("status", [409, 412])
def test_a_commit_refused_as_busy_is_tried_again(remote, made, status):
    remote.fail("commit", status, times=3)
    push(made, "ann/set")
    assert shards(remote) == SHARDS and len(titles(remote)) == 2


def test_a_commit_whose_reply_was_lost_is_not_made_twice(remote, made):
    remote.fail("commit", "lost")
    found = push(made, "ann/set")
    assert len(remote.calls("commit")) == 1 and len(titles(remote)) == 2
    assert found.changed and found.commit == remote.repos["datasets", "ann/set"].head().oid


def test_our_commit_is_found_below_somebody_else_s(remote, made, monkeypatch):
    """Ours is in the history, though the tree is another one by now."""
    remote.fail("commit", "lost")
    send = Upload._send_commit

    def and_then(self, *args):
        try:
            return send(self, *args)
        finally:
            repo = remote.repos["datasets", "ann/set"]
            repo.commit("main", "somebody else", {SHARDS[0]: None})

    monkeypatch.setattr(Upload, "_send_commit", and_then)
    found = push(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert len(remote.calls("commit")) == 1 and titles(remote)[0] == "somebody else"
    assert found.commit == repo.head().parent


@pytest.mark.parametrize("times", [1, 3])
def test_a_push_goes_on_top_of_commits_made_meanwhile(remote, made, capsys, times):
    remote.fail("commit", "race", times=times)
    push(made, "ann/set")
    repo = remote.repos["datasets", "ann/set"]
    assert shards(remote) == SHARDS and "NOTES.md" in repo.head().tree
    assert titles(remote)[1:] == ["somebody else"] * times + ["initial commit"]
    assert "was changed in the meantime" in capsys.readouterr().err


def test_files_changed_meanwhile_are_replaced_by_ours(remote, made, tmp_path, monkeypatch):
    push(made, "ann/set")
    other = with_another_shard(tmp_path / "other", 1)
    repo, send = remote.repos["datasets", "ann/set"], Upload._send_commit

    def race(self, *args):
        if titles(remote)[0] != "theirs":
            repo.commit("main", "theirs", {path: File.of(b"theirs", lfs=True) for path in SHARDS})
        return send(self, *args)

    monkeypatch.setattr(Upload, "_send_commit", race)
    push(other, "ann/set")
    assert titles(remote)[:2] == ["Upload synthetic data set made by mvc-hf", "theirs"]
    assert [repo.head().tree[path].data for path in SHARDS] == [(other / path).read_bytes() for path in SHARDS]


def test_a_file_is_committed_though_the_branch_held_it_when_it_was_sent(remote, made):
    """It leaves out of a commit what the branch held when the file was sent, though it holds something else by now."""
    repo, path = remote.repo("ann/set"), SHARDS[0]
    with open_upload("ann/set", "dataset") as upload:
        repo.commit("main", "the same", {path: File.of((made / path).read_bytes(), lfs=True)})
        for name in SHARDS:
            upload.add(name, made / name)
        assert all(file.done.wait(20) for file in upload._files.values())
        repo.commit("main", "another", {path: File.of(b"theirs", lfs=True)})
        upload.commit("ours")
    assert repo.head().tree[path].data == (made / path).read_bytes()


def test_two_pushes_at_once_both_arrive(remote, made, tmp_path):

    other = data_set(tmp_path / "other", rows=6, value=50)
    threads = [threading.Thread(target=push, args=(folder, "ann/set")) for folder in (made, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(titles(remote)) == 3 and len(shards(remote)) in (2, 3)


def test_a_tag_taken_meanwhile_is_told_and_the_push_stays(remote, made, monkeypatch):
    set_tag = Upload._set_tag

    def taken(self, tag, commit):
        repo = remote.repos["datasets", "ann/set"]
        repo.tags[tag] = repo.head().parent
        return set_tag(self, tag, commit)

    monkeypatch.setattr(Upload, "_set_tag", taken)
    refused("pushed, but not tagged: ann/set has a tag 'v1' of another commit", made, "ann/set", tag="v1")
    assert shards(remote) == SHARDS and not remote.waited


def test_a_commit_refused_with_403_is_not_tried_again(remote, made):
    remote.fail("commit", 403)
    refused("cannot push to ann/set: the token has no permission for it", made, "ann/set")
    assert len(remote.calls("commit")) == 1 and not remote.waited


def test_files_left_out_by_a_gitignore_are_told(remote, made, monkeypatch):
    """The client says nothing of it."""
    repo = remote.repo("ann/set")
    before = type(repo).commit

    def commit(self, branch, title, changes, message=""):
        return before(self, branch, title, {p: f for p, f in changes.items() if p != SHARDS[1]}, message)

    monkeypatch.setattr(type(repo), "commit", commit)
    refused("the Hub left data/train-00001.* out of commit", made, "ann/set")


def test_killed_and_given_again_it_sends_what_is_missing(local_hub, tmp_path, made):
    """A process of its own, killed while the last file is on its way; nothing is visible until the second one.

    Its four large files are the shards and the sheet of samples.
    """
    code = f"""
        import mvc_hf.hub.upload.uploader
        from mvc_hf.publish.push import push
        mvc_hf.hub.upload.uploader.BATCH = 1
        print(push({str(made)!r}, "ann/set"))
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


def test_the_real_client_reads_what_was_pushed(remote, made):
    """As a check of the server: what the real client reads is what was written."""
    push(made, "ann/set")
    api = HfApi()
    files = {f.path: f for f in api.get_paths_info("ann/set", [*SHARDS, "data"], repo_type="dataset")}
    assert set(files) == {*SHARDS, "data"}
    path = api.hf_hub_download("ann/set", SHARDS[0], repo_type="dataset")
    with open(path, "rb") as file:
        assert file.read() == (made / SHARDS[0]).read_bytes()
