"""Publishing and fetching on the command line, as users who share nothing but the Hub."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
from hub_server import ANN, BOB, READER, connect
from huggingface_hub import HfApi

from mvc_hf import cli

FINETUNE = ["--train-batch-size", 4, "--max-train-steps", 2, "--use-ema"]
GENERATE = ["--images-per-class", 4, "--shard-size", 5, "--num-inference-steps", 2]


def run(capsys, *arguments):
    code = cli.run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert ANN not in out + err and BOB not in out + err
    return code, out, err


# A user without this package: nothing but datasets, timm and diffusers.
CONSUMER = """
    import sys
    sys.modules["mvc_hf"] = None
    import datasets, timm, torch
    from diffusers import StableDiffusionInstructPix2PixPipeline
    from PIL import Image

    rows = datasets.load_dataset("bob/flowers-synthetic", split="train")
    assert rows.features["label"].names == ["apple", "pear", "plum"], rows.features
    assert len(rows) == 12 and rows[0]["image"].size == (16, 16), rows
    streamed = datasets.load_dataset("bob/flowers-synthetic", split="train", streaming=True)
    assert [row["label"] for row in streamed] == rows["label"]
    first = datasets.load_dataset("bob/flowers-synthetic", split="train", revision=sys.argv[1])
    assert len(first) == 12

    reader = timm.data.create_dataset("hfds/bob/flowers-synthetic", root=None, split="train")
    image, label = reader[1]
    assert label == 1 and image.size == (16, 16), (image, label)

    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained("lab/flowers", token=False)
    made = pipeline("an apple", image=Image.new("RGB", (16, 16)), num_inference_steps=2, height=16, width=16)
    assert made.images[0].size == (16, 16)
    print("all is well")
"""


def test_three_users(local_hub, photos, tiny_base, tmp_path, monkeypatch, capsys):
    """One fine-tunes and pushes; one pulls, generates and pushes; one, without this package, uses both."""
    connect(local_hub, tmp_path / "ann", monkeypatch)
    code, out, err = run(
        capsys, "finetune", photos, "-o", tmp_path / "ann" / "out", "--base", tiny_base, *FINETUNE,
        "--push-to-hub", "--hub-model-id", "lab/flowers",
    )  # fmt: skip
    model = local_hub.repos["models", "lab/flowers"]
    assert code == 0, err
    assert f"{local_hub.url}/lab/flowers: pushed commit {model.head().oid[:12]}" in out
    assert not [path for path in model.head().tree if path.startswith("checkpoints")]
    assert {"mvc.yaml", "training_log.csv", "samples.png"} <= set(model.head().tree)
    assert "](samples.png)" in model.head().tree["README.md"].data.decode()
    assert str(tmp_path).encode() not in b"".join(file.data for file in model.head().tree.values())

    connect(local_hub, tmp_path / "bob", monkeypatch, BOB)
    arguments = ["generate", "lab/flowers@main", "-o", tmp_path / "bob" / "out", "--dataset", photos, *GENERATE]
    publish = ["--push-to-hub", "--hub-dataset-id", "bob/flowers-synthetic"]
    code, out, err = run(capsys, *arguments, *publish)
    data = local_hub.repos["datasets", "bob/flowers-synthetic"]
    assert code == 0, err
    assert "12 images of 3 classes in 3 shards" in out and f"pushed commit {data.head().oid[:12]}" in out
    manifest = json.loads((tmp_path / "bob" / "out" / "manifest.json").read_text())
    known = manifest["provenance"]["checkpoint"]
    assert (known["name"], known["revision"]) == ("lab/flowers", model.head().oid)
    assert model.head().oid in data.head().tree["README.md"].data.decode()
    assert "manifest.json" not in data.head().tree
    code, out, err = run(capsys, *arguments, *publish)
    assert code == 0 and "nothing to do" in out and len(data.commits) == 2, err

    environment = os.environ | local_hub.environment(tmp_path / "carol", token=None)
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, "-c", textwrap.dedent(CONSUMER), data.head().oid]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "all is well" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def own(checkpoint, tmp_path):
    """A checkpoint in which push may draw its sheet of samples."""
    return shutil.copytree(checkpoint, tmp_path / "own" / "checkpoint")


def test_push(local_hub, own, tmp_path, monkeypatch, capsys):
    connect(local_hub, tmp_path, monkeypatch)
    arguments = ["push", own, "ann/flowers", "--private", "--revision", "dev", "--tag", "v1"]
    code, out, err = run(capsys, *arguments)
    repo = local_hub.repos["models", "ann/flowers"]
    assert code == 0 and repo.private and repo.tags == {"v1": repo.branches["dev"]}, err
    assert list(repo.resolve("main").tree) == [".gitattributes"]
    assert out == f"{local_hub.url}/ann/flowers: pushed commit {repo.tags['v1'][:12]}\n"
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "nothing to do, it has all of it already" in out
    code, out, _ = run(capsys, "push", own)
    assert code == 0 and "/ann/checkpoint: pushed" in out


def test_what_was_pushed_generates_what_the_folder_does(local_hub, own, photos, tmp_path, monkeypatch, capsys):
    connect(local_hub, tmp_path, monkeypatch)
    assert run(capsys, "push", own, "ann/flowers", "--private", "--tag", "v1")[0] == 0
    for model, out in ((own, "here"), ("ann/flowers@v1", "there")):
        assert run(capsys, "generate", model, "-o", tmp_path / out, "--dataset", photos, *GENERATE)[0] == 0
    manifests = [json.loads((tmp_path / out / "manifest.json").read_text()) for out in ("here", "there")]
    assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
    assert manifests[0]["shards"] == manifests[1]["shards"]  # bit for bit
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = run(capsys, "generate", "ann/flowers@v1", "-o", tmp_path / "again", "--dataset", photos, *GENERATE)
    assert code == 0 and "using the local cache, commit" in err


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["push", "CHECKPOINT", "a/b/c"], 1, "'a/b/c' is no id for a repository on the Hub"),
        (["push", "CHECKPOINT", "bob/flowers"], 1, "the token of ann cannot write to 'bob'"),
        (["push", "none", "ann/flowers"], 1, "no folder 'none'"),
        (["push", "CHECKPOINT", "ann/open", "--private"], 1, "is there already and public"),
        (["push", "CHECKPOINT", "ann/open", "--revision", "v1"], 1, "--revision 'v1' is a tag; name a branch"),
        (["finetune", "x", "-o", "y", "--base", "z", "--push-to-hub", "--hub-model-id", "bob/x"], 1, "write to 'bob'"),
        (["finetune", "x", "-o", "y", "--base", "z", "--push-to-hub", "--hub-model-id", "ann/open", "--private"],
         1, "is there already and public"),
        (["finetune", "x", "-o", "y", "--base", "z", "--hub-model-id", "ann/x"], 2, "--hub-model-id goes with"),
        (["generate", "x", "-o", "y", "--private"], 2, "--private goes with --push-to-hub"),
        (["generate", "ann/none", "-o", "y", "--dataset", "x"], 1, "no model on the Hub is called 'ann/none'"),
        (["generate", "ann/data", "-o", "y", "--dataset", "x"], 1, "ann/data is a data set on the Hub, not a model"),
    ],
)  # fmt: skip
def test_bad_input(local_hub, own, tmp_path, monkeypatch, capsys, arguments, code, says):
    """Told before anything is spent or sent."""
    connect(local_hub, tmp_path / "home", monkeypatch)
    repo = local_hub.repo("ann/open", "models")
    repo.tags["v1"] = repo.head().oid
    local_hub.repo("ann/data", "datasets")
    local_hub.repo("bob/flowers", "models")
    monkeypatch.chdir(tmp_path)
    found, _, err = run(capsys, *[str(own) if a == "CHECKPOINT" else a for a in arguments])
    assert found == code, err
    assert says in " ".join(err.split()) and "Traceback" not in err
    assert code == 2 or err.strip().splitlines()[-1].startswith("Error: ")
    assert not [r for r in local_hub.requests if r.call in ("create", "upload", "commit", "branch")]
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("token, says", [(None, "no token for the Hub"), (READER, "the token may only read")])
@pytest.mark.parametrize("command", ["finetune", "generate", "push"])
def test_tokens_are_looked_at_first(local_hub, checkpoint, tmp_path, monkeypatch, capsys, command, token, says):
    connect(local_hub, tmp_path / "home", monkeypatch, token)
    out = tmp_path / "out"
    arguments = {
        "finetune": ["finetune", tmp_path / "no-photos", "-o", out, "--base", "no-base", "--push-to-hub"],
        "generate": ["generate", checkpoint, "-o", out, "--dataset", tmp_path / "no-photos", "--push-to-hub"],
        "push": ["push", checkpoint, "ann/flowers"],
    }[command]
    code, _, err = run(capsys, *arguments)
    assert code == 1 and says in err and not out.exists()


def test_a_push_that_fails_keeps_what_was_made(local_hub, checkpoint, photos, tmp_path, monkeypatch, capsys):
    connect(local_hub, tmp_path / "home", monkeypatch)
    local_hub.fail("commit", 500, times=1000)
    out = tmp_path / "out"
    code, _, err = run(capsys, "generate", checkpoint, "-o", out, "--dataset", photos, *GENERATE, "--push-to-hub")
    last = err.strip().splitlines()[-1]
    assert code == 1 and f"`mvc-hf push {out} ann/out` goes on" in last and "nothing is published" in last
    local_hub.faults.clear()
    local_hub.requests.clear()
    assert run(capsys, "push", out, "ann/out")[0] == 0
    assert not local_hub.calls("upload") and len(local_hub.repos["datasets", "ann/out"].commits) == 2


def test_of_several_processes_one_pushes(local_hub, checkpoint, photos, tmp_path, monkeypatch, capsys):
    connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setenv("RANK", "1")
    out = tmp_path / "out"
    code, _, _ = run(capsys, "generate", checkpoint, "-o", out, "--dataset", photos, *GENERATE, "--push-to-hub")
    assert code == 0 and not local_hub.requests


def test_the_licence_of_a_base_from_the_hub_goes_with_what_is_made(
    local_hub, photos, tiny_base, tmp_path, monkeypatch, capsys
):
    """Somebody who generates from the checkpoint has never seen the base."""
    connect(local_hub, tmp_path / "ann", monkeypatch)
    api = HfApi()
    api.create_repo("ann/base")
    api.upload_folder(repo_id="ann/base", folder_path=tiny_base)
    card = b"---\nlicense: creativeml-openrail-m\n---\n# A base\n"
    api.upload_file(repo_id="ann/base", path_or_fileobj=card, path_in_repo="README.md")
    code, _, err = run(capsys, "finetune", photos, "-o", tmp_path / "made", "--base", "ann/base", *FINETUNE)
    assert code == 0, err
    notes = json.loads((tmp_path / "made" / "mvc.json").read_text())
    assert notes["base"]["license"] == "creativeml-openrail-m"
    connect(local_hub, tmp_path / "bob", monkeypatch)  # a cache without the base
    code, _, err = run(capsys, "generate", tmp_path / "made", "-o", tmp_path / "split", "--dataset", photos, *GENERATE)
    assert code == 0, err
    assert "`creativeml-openrail-m`" in (tmp_path / "split" / "README.md").read_text()
