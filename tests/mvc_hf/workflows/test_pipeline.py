"""A whole run from one file: what the file may say, and that every stage goes on where the last call left it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hub_server import connect

import mvc_hf.generation.generate
import mvc_hf.training.finetune
from mvc_hf import cli
from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.errors import OutputError
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune
from mvc_hf.workflows import pipeline


@pytest.fixture
def settings(photos, tiny_base, tmp_path):
    return {
        "dataset": str(photos), "base": str(tiny_base), "output": str(tmp_path / "out"), "train-batch-size": 4,
        "max-train-steps": 3, "images-per-class": 4, "num-inference-steps": 2, "shard-size": 5, "batch_size": 4,
    }  # fmt: skip


def run(capsys, tmp_path, settings, *arguments):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    code = cli.run(["run", str(path), *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def content(folder):
    """Everything but what says when and by what it was made."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


@pytest.mark.parametrize(
    ("missing", "says"), [("output", "output: my-run"), ("dataset", "no data set"), ("base", "no base model")]
)
def test_what_must_be_there(settings, missing, says, capsys, tmp_path):
    settings.pop(missing)
    code, _, err = run(capsys, tmp_path, settings)
    assert code == 1 and says in err and not (tmp_path / "out").exists()


# The run


def test_the_stages_are_those_of_the_commands(settings, photos, tiny_base, tmp_path, capsys):
    code, out, err = run(capsys, tmp_path, settings)
    assert code == 0, err
    made = tmp_path / "out"
    assert out.splitlines() == [
        f"{made / 'captions.parquet'}: 24 captions of 3 classes",
        f"{made / 'checkpoint'}: fine-tuned 3 steps on 25 images of 3 classes, 2 of 27 kept aside",
        f"{made / 'synthetic'}: 12 images of 3 classes in 3 shards",
    ]
    recipe = Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=3, images_per_class=4,
        num_inference_steps=2, shard_size=5, batch_size=4,
    )  # fmt: skip
    finetune(recipe, tmp_path / "checkpoint")
    generate(recipe, tmp_path / "checkpoint", tmp_path / "synthetic")
    assert content(made / "synthetic") == content(tmp_path / "synthetic")  # bit for bit
    assert (
        CheckpointMetadata.load(made / "checkpoint").fingerprint
        == CheckpointMetadata.load(tmp_path / "checkpoint").fingerprint
    )


def test_what_is_finished_is_not_done_again(settings, tmp_path, capsys, monkeypatch):
    assert run(capsys, tmp_path, settings)[0] == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.parquet")}
    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "_update", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(mvc_hf.generation.generator.Generator, "rows", lambda *_: pytest.fail("generated again"))
    code, out, err = run(capsys, tmp_path, settings)
    assert code == 0 and err.count("is finished already; nothing to do") == 2
    assert "captions.parquet is there already, made by these settings; nothing to do" in out
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.parquet")}


def test_broken_off_in_every_stage_and_given_again(settings, tmp_path, capsys, monkeypatch):
    """Each call dies somewhere else; the last one ends as if nothing had happened."""
    whole = settings | {"output": str(tmp_path / "whole"), "checkpointing_steps": 1}
    assert run(capsys, tmp_path, whole)[0] == 0
    settings |= {"checkpointing_steps": 1}

    def die(*_, **__):
        raise KeyboardInterrupt

    def dies_at(call, original):
        calls = []

        def wrapped(*arguments, **options):
            calls.append(1)
            return die() if len(calls) == call else original(*arguments, **options)

        return wrapped

    update, rows = mvc_hf.training.trainer.Trainer._update, mvc_hf.generation.generator.Generator.rows
    for target, name, replacement in (
        (mvc_hf.captions.table.CaptionTable, "save", die),
        (mvc_hf.training.trainer.Trainer, "_update", dies_at(3, update)),
        (mvc_hf.training.finetune, "save_pipeline", die),
        (mvc_hf.generation.generator.Generator, "rows", dies_at(3, rows)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, replacement)
            code, _, err = run(capsys, tmp_path, settings)
        assert code == 130 and "stopped; the same command goes on" in err, name
    code, _, err = run(capsys, tmp_path, settings)
    assert code == 0 and "going on with the others" in err
    assert content(tmp_path / "whole") == content(tmp_path / "out")


def test_another_recipe_is_refused_by_the_field_that_differs(settings, tmp_path, capsys):
    assert run(capsys, tmp_path, settings)[0] == 0
    assert "num_inference_steps (2 → 3)" in run(capsys, tmp_path, settings | {"num-inference-steps": 3})[2]
    assert "learning_rate" in run(capsys, tmp_path, settings | {"learning-rate": 1e-3})[2]
    assert "made otherwise" in run(capsys, tmp_path, settings | {"captioner": "template:{}"})[2]


def test_edited_captions_are_not_written_over(settings, tmp_path, capsys):
    assert run(capsys, tmp_path, settings)[0] == 0
    path = tmp_path / "out" / "captions.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    code, _, err = run(capsys, tmp_path, settings)
    assert code == 1 and "captions.parquet is there, and does not say what made it (edited?)" in err
    code, out, err = run(capsys, tmp_path, settings | {"captions": str(path)})  # what the user does then
    assert code == 0 and f"{path}: captions as they are" in out, err


def test_a_checkpoint_that_is_there(settings, tmp_path, capsys):
    assert run(capsys, tmp_path, settings)[0] == 0
    more = settings | {"model": str(tmp_path / "out" / "checkpoint"), "seed": 1}
    more.pop("base")
    code, out, err = run(capsys, tmp_path, more, "-o", tmp_path / "more")
    assert code == 0 and out == f"{tmp_path / 'more' / 'synthetic'}: 12 images of 3 classes in 3 shards\n", err
    assert {p.name for p in (tmp_path / "more").iterdir()} == {"synthetic"}


def test_a_bad_base_is_told_before_the_captioner_works(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mvc_hf.captions.sources.TemplateCaptions.table", lambda *_: pytest.fail("captioned"))
    code, _, err = run(capsys, tmp_path, settings | {"base": str(tmp_path / "none")})
    assert code == 1 and "no model at" in err and not (tmp_path / "out").exists()


# Publishing


def test_both_are_pushed_and_know_each_other(local_hub, settings, tmp_path, capsys, monkeypatch):
    connect(local_hub, tmp_path / "home", monkeypatch)
    settings |= {"push-to-hub": True, "private": True}
    code, out, err = run(capsys, tmp_path, settings)
    assert code == 0, err
    model, data = local_hub.repos["models", "ann/out"], local_hub.repos["datasets", "ann/out-synthetic"]
    assert model.private and data.private
    assert f"ann/out: pushed commit {model.head().oid[:12]}" in out
    assert f"ann/out-synthetic: pushed commit {data.head().oid[:12]}" in out
    manifest = json.loads((tmp_path / "out" / "synthetic" / "manifest.json").read_text())
    checkpoint = manifest["provenance"]["checkpoint"]
    assert (checkpoint["name"], checkpoint["revision"]) == ("ann/out", model.head().oid)
    code, out, _ = run(capsys, tmp_path, settings)
    assert code == 0 and out.count("nothing to do, it has all of it already") == 2
    assert len(model.commits) == len(data.commits) == 2  # the first one is the Hub's own


def test_targets_are_looked_at_first(local_hub, settings, tmp_path, capsys, monkeypatch):
    connect(local_hub, tmp_path / "home", monkeypatch)
    code, _, err = run(capsys, tmp_path, settings | {"push-to-hub": True, "hub-dataset-id": "bob/x"})
    assert code == 1 and "cannot write to 'bob'" in err and not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file(settings, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises((OutputError, OSError)):
        pipeline.run(RunRecipe.from_dict(settings))


def test_more_images_and_a_longer_run(settings, tmp_path, capsys, monkeypatch):
    few = {**settings, "images-per-class": 1}
    assert run(capsys, tmp_path, few)[0] == 0
    made = tmp_path / "out"
    first = (made / "synthetic" / "data" / "train-00000-of-00001.parquet").read_bytes()
    code, out, err = run(capsys, tmp_path, {**few, "images-per-class": 2})
    assert code == 0 and out.endswith("6 images of 3 classes in 2 shards\n"), err
    assert "is a data set of 3 images: 3 more are made" in err and "finished already" in err
    assert (
        pq.read_table(made / "synthetic" / "data").slice(0, 3).to_pylist()
        == pq.read_table(pa.BufferReader(first)).to_pylist()
    )
    longer = {**few, "max-train-steps": 4}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_finetune", None)
        code, _, err = run(capsys, tmp_path, longer)
    assert code == 1 and "was made by a model of 3 steps, and this run is to have 4" in err
    (made / "synthetic").rename(tmp_path / "before")
    code, out, err = run(capsys, tmp_path, longer)
    assert code == 0 and "fine-tuned 4 steps" in out and "going on to 4 steps; the run was to have 3" in err
