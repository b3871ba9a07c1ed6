"""What is wrong with timm's own flags is one line, before a model is built."""

import os
import shutil
import types
from pathlib import Path

import hooked
import pytest

from mvc_hf import cli
from mvc_hf.errors import HostError, MvcError
from mvc_hf.plugins import timm_train
from mvc_hf.plugins.timm_checks import place_of
from mvc_hf.plugins.timm_script import check_script

HELPERS = Path(__file__).parents[1] / "helpers"
SCRIPT = HELPERS / "short_train.py"
SMALL = ["--model", "wrn_28_2"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    import tiny

    root = tmp_path_factory.mktemp("images")
    for split in ("train", "validation"):
        tiny.image_folder(root / "real" / split, {"cat": 6, "dog": 6}, size=8)
    tiny.image_folder(root / "synthetic", {"cat": 4, "dog": 4}, size=8)
    (root / "map.txt").write_text("cat\ndog\n")
    (root / "empty").mkdir()
    return root


def run(images, *flags, data="real", script=SCRIPT):
    timm_train.train(str(script), [*([str(images / data)] if data else []), *map(str, flags)])


def refused(says, *arguments, **options):
    with pytest.raises(MvcError) as caught:
        run(*arguments, **options)
    said = str(caught.value)
    assert says in said and "\n" not in said
    return said


@pytest.mark.parametrize("synthetic", [True, False])
def test_fewer_classes_than_the_images_have(images, synthetic, monkeypatch):
    flags = ["--aug-synthetic", images / "synthetic"] if synthetic else []
    says = "--num-classes is 1, but the real images have 2 classes ('cat', 'dog'): give --num-classes 2"
    refused(says, images, *SMALL, "--num-classes", 1, *flags)


def test_more_classes_are_a_note(images, capsys):
    run(images, *SMALL, "--num-classes", 5, "--aug-synthetic", images / "synthetic")
    out, err = capsys.readouterr()
    assert "training begins" in out
    assert "note: the model has 5 classes, the real images 2: --num-classes 2 would fit them" in err


def test_as_many_are_nothing_to_tell(images, capsys):
    run(images, *SMALL, "--num-classes", 2, "--class-map", images / "map.txt")
    assert "note:" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [0, -1])
def test_no_classes_at_all(images, number):
    refused(f"--num-classes is {number}; it must be at least 1", images, "--num-classes", number)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("resnet81", "timm has no model 'resnet81': did you mean 'resnet18'"),
        ("ResNet18", "timm has no model 'ResNet18': did you mean 'resnet18'"),
        ("wrn_28_11", "timm has no model 'wrn_28_11': did you mean 'wrn_28_10'"),
        ("", "--model '' is no name of a model"),
        ("q" * 5000, "timm.list_models() says which there are"),
        ("resnet18.none", "timm cannot make the model 'resnet18.none': RuntimeError: Invalid pretrained tag (none)"),
        ("local-dir:/none", "--model 'local-dir:/none': there is no such folder"),
        ("none:x/y", "timm cannot make the model 'none:x/y'"),
        ("a/b", "timm cannot make the model 'a/b'"),
        ("\u202eresnet", "timm has no model '\\u202eresnet'"),
    ],
)
def test_models_that_timm_does_not_have(images, model, says):
    assert len(refused(says, images, "--model", model)) < 700


@pytest.mark.parametrize(
    ("data", "flags", "says"),
    [
        ("none", [], "no such folder of real images"),
        ("map.txt", [], "is no folder: name one with a folder of real images for each class in it"),
        ("empty", [], "timm cannot open the real images of"),
        (None, [], "no real images: name their folder, or give --dataset"),
        (None, ["--dataset", "hfds//none"], "timm cannot open the real images of 'hfds//none'"),
        (None, ["--dataset", "torch/nonsense"], "timm cannot open the real images of 'torch/nonsense'"),
        ("real", ["--resume", "/none.pth"], "--resume '/none.pth': there is no such file"),
        ("real", ["--resume", "/"], "--resume '/': there is no such file"),
        ("real", ["--initial-checkpoint", "/none"], "--initial-checkpoint '/none': there is no such file"),
        ("real", ["--class-map", "none.txt"], "--class-map 'none.txt': there is no such file"),
        ("real", ["--config", "/none.yaml"], "cannot read the config /none.yaml"),
        ("real", ["--opt", "none"], "short_train.py stopped before training began: KeyError: 'none'"),
    ],
)
def test_images_and_files_that_are_not_there(images, data, flags, says):
    refused(says, images, *SMALL, "--num-classes", 2, *flags, data=data)


@pytest.mark.parametrize("text", ["a: [", "- a", "", "5: 1", "\x00", "x: !!timestamp y"])
def test_a_config_that_is_none(images, tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    refused("config", images, "-c", tmp_path / "c.yaml")


def test_a_model_of_the_config_is_looked_at_too(images, tmp_path):
    (tmp_path / "c.yaml").write_text("model: resnet81\n")
    refused("timm has no model 'resnet81'", images, "-c", tmp_path / "c.yaml")


# Scripts


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train.txt", SCRIPT, "does not end in .py"),
        ("train", SCRIPT, "does not end in .py"),
        ("none.py", None, "cannot read"),
        ("x" * 300 + ".py", None, "cannot read"),
        ("hello.py", b"print('hello')", "is not a train.py that this hook knows: it has no create_dataset"),
        ("binary.py", b"\x00\xff", "is not a Python script"),
        ("nested.py", b"(" * 10_000, "is not a Python script"),
        ("minus.py", b"-" * 100_000 + b"1", "is not a Python script"),
        ("large.py", b"#" * (1 << 23), "too many for a script"),
        ("broken.py", SCRIPT.read_bytes() + b"\n1 / 0\n", "cannot be loaded (ZeroDivisionError: division by zero)"),
        ("old.py", SCRIPT.read_bytes() + b"\nfrom timm import none\n", "old.py needs another version of timm"),
    ],
)  # fmt: skip
def test_scripts_that_are_not_timm_s(tmp_path, images, capsys, monkeypatch, name, content, says):
    path = tmp_path / name
    if isinstance(content, Path):
        shutil.copy(content, path)
    elif content is not None:
        path.write_bytes(content)
    assert cli.run(["train", str(path), str(images / "real")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: ") and err.count("\n") == 1 and says in err and len(err) < 1000


def test_scripts_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    for path in (tmp_path / "pipe.py", tmp_path, "/dev/zero"):
        with pytest.raises(HostError, match="is no regular file"):
            check_script(path)


def test_an_error_in_the_midst_of_training_keeps_its_place(images, tmp_path):
    """It is timm's, or its user's: one line would hide where it was."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.read_text().replace('print("training begins")', "1 / 0"))
    with pytest.raises(ZeroDivisionError):
        run(images, *SMALL, "--num-classes", 2, script=script)


def test_validation_on_the_training_images_is_said_in_one_line(real, tmp_path, capsys):
    """timm takes the same folder for both where there is no split, or where --val-split names the same."""
    hooked.run(real, tmp_path / "apart", "--epochs", 1)
    assert "warning" not in capsys.readouterr().err
    for flags in ([real / "train"], [real, "--val-split", "train"]):
        hooked.run(*flags[:1], tmp_path / "out", "--epochs", 1, *flags[1:])
        said = capsys.readouterr().err
        assert said.count("warning: validation is on the training images") == 1


def test_of_data_sets_with_names_the_split_counts():
    read = types.SimpleNamespace(reader=types.SimpleNamespace(root=None))
    train = place_of(read, "hfds/ann/pets", None, "train")
    assert train == place_of(read, "hfds/ann/pets", None, "train")
    assert train != place_of(read, "hfds/ann/pets", None, "validation")
    assert place_of(read, "torch/cifar10", "data", "train") != place_of(read, "torch/cifar10", "data", "test")
