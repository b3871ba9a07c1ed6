"""`mvc-hf caption` and what follows from its file: edited, killed, on several processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from mvc_hf import cli
from mvc_hf.captions import model_captioner
from mvc_hf.captions.table import CaptionTable

FLAGS = ["--captioner", "blip2", "--captions-per-image", 2, "--caption-batch-size", 4]


def run(capsys, *arguments):
    code = cli.run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough images for three pieces of two captions each."""
    return tiny.image_folder(tmp_path_factory.mktemp("data") / "many", {"a": 100, "b": 60})


@pytest.fixture
def caption(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run(capsys, "caption", *arguments)


def test_caption_edit_finetune(caption, capsys, photos, blip2, tiny_base, tmp_path):
    code, said, err = caption(photos, "-o", "captions.parquet", *FLAGS, "--caption-model", blip2)
    assert (code, said) == (0, "captions.parquet: 54 captions of 3 classes\n"), err
    table = pq.read_table("captions.parquet")
    assert table.column_names == ["label", "caption", "row"] and len(table) == 54
    assert table["row"].to_pylist() == [row for row in range(27) for _ in range(2)]

    changed = table["caption"].to_pylist()
    changed[0] = "a red apple, seen from above"
    pq.write_table(table.set_column(1, "caption", pa.array(changed)), "mine.parquet")
    train = ["--base", tiny_base, "--train-batch-size", 4, "--max-train-steps", 1, "--captions", "mine.parquet"]
    assert run(capsys, "finetune", photos, "-o", "checkpoint", *train)[0] == 0
    kept = CaptionTable.load(tmp_path / "checkpoint" / "captions.parquet")
    assert kept.captions[0] == "This is an image of apple. a red apple, seen from above"
    assert set(kept.captions[1:]) <= set(changed)
    assert kept.origin["model"] == "tiny-blip2"


def test_finetune_with_the_captioner(caption, capsys, photos, blip2, tiny_base, tmp_path, monkeypatch):
    assert caption(photos, "-o", "captions.parquet", *FLAGS, "--caption-model", blip2)[0] == 0
    monkeypatch.setattr(model_captioner, "CaptionModel", None)  # they are in the cache
    train = ["--base", tiny_base, "--train-batch-size", 4, "--max-train-steps", 1]
    model = [*FLAGS, "--caption-model", blip2]
    code, _, err = run(capsys, "finetune", photos, "-o", "checkpoint", *train, *model)
    assert code == 0, err
    notes = json.loads((tmp_path / "checkpoint" / "mvc.json").read_text())
    assert notes["recipe"]["captions"] == "blip2" and notes["recipe"]["caption_model"] == "tiny-blip2"
    assert str(blip2.parent) not in json.dumps(notes)
    again = ["finetune", photos, "-o", "checkpoint", *train, "--captions", "captions.parquet"]
    code, _, err = run(capsys, *again)  # the same captions from a file are the same run
    assert code == 0 and "finished already" in err


def test_what_is_there_is_not_written_over(caption, photos, blip2, tmp_path):
    out = tmp_path / "captions.parquet"
    flags = [photos, "-o", out, *FLAGS, "--caption-model", blip2]
    assert caption(*flags)[0] == 0
    table = pq.read_table(out)
    edited = table.set_column(1, "caption", pa.array(["mine"] * len(table)))
    pq.write_table(edited, out)
    code, said, err = caption(*flags)
    assert code == 0 and "is there already" in said and pq.read_table(out).equals(edited)
    code, _, err = caption(*flags, "--seed", 1, "--no-keep-duplicates")
    assert code == 1 and "made otherwise; these differ: keep_duplicates (True → False), seed (0 → 1)" in err
    pq.write_table(edited.replace_schema_metadata(None), out)
    code, _, err = caption(*flags)
    assert code == 1 and "does not say what made it (edited?)" in err
    assert pq.read_table(out)["caption"].to_pylist() == ["mine"] * len(table)


def test_duplicates_stay_in_a_file_unless_told_otherwise(caption, tmp_path):
    import sources

    data = sources.parquet(tmp_path / "data.parquet", ["x", "x", "y"], extra={"text": ["a", "a", "b"]})
    assert "3 captions of 2 classes" in caption(data, "-o", "kept.parquet", "--captioner", "column:text")[1]
    fewer = caption(data, "-o", "fewer.parquet", "--captions", "column:text", "--no-keep-duplicates")
    assert "2 captions of 2 classes" in fewer[1]


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["-o", "none/captions.parquet"], 1, "none/captions.parquet lies in no folder that is there"),
        (["-o", "."], 1, "is a folder: give the name of a file, such as captions.csv"),
        (["-o", "x.parquet", "--caption-model", "x"], 1, "--caption-model x means nothing to 'template'"),
        (["-o", "x.parquet", "--captioner", "blip2", "--caption-model", "./x"], 1, "no captioning model at './x'"),
        (["-o", "x.parquet", "--captioner", "blip2", "--captions-per-image", 0], 1, "must be at least 1"),
    ],
)
def test_bad_input(caption, photos, tmp_path, flags, code, says):
    found, _, err = caption(photos, *flags)
    assert found == code and says in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_killed_and_given_again_to_two_processes(caption, many, blip2, tmp_path):
    """SIGKILL in the middle; what two processes go on with becomes the file of one unbroken process, byte for byte."""
    flags = ["--caption-model", blip2, *FLAGS, "--caption-max-new-tokens", 20]
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "MVC_HF_CACHE": str(tmp_path / "cache")}
    options = {"env": os.environ | environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = ["-m", "mvc_hf.cli", "caption", many, "-o", "two.parquet", *flags]

    def kept():
        pieces = (tmp_path / "cache").glob("captions-*/[0-9]*.json")
        return {piece.name: len(json.loads(piece.read_text())["captions"]) for piece in pieces}

    process = subprocess.Popen(list(map(str, [sys.executable, *command])), **options)
    deadline = time.monotonic() + 120
    while not kept():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -9
    process.communicate()
    assert 0 < sum(kept().values()) < 320 and not (tmp_path / "two.parquet").exists()

    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    done = subprocess.run(list(map(str, [*launch, *command])), **options, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("320 captions of 2 classes") == 1
    assert kept() == {"000000.json": 128, "000001.json": 128, "000002.json": 64}
    assert caption(many, "-o", "one.parquet", *flags)[0] == 0
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
