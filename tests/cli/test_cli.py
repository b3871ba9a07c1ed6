"""The command line: help, exit codes, one line for whatever goes wrong."""

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click
import datasets
import pytest
from safetensors import SafetensorError

from mvc_hf import cli
from mvc_hf.config.fields import FINETUNE, GENERATE, flag
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import Stopped

ROOT = Path(__file__).parents[2]


def run(capsys, *arguments):
    code = cli.run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return code, out, err


def one_line(err):
    """The line of the error, after whatever was said on the way."""
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    return last


def test_help_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "Example:" in out and f"mvc-hf {name}" in out


def test_docs_say_what_the_help_says(capsys):
    """`python scripts/command_docs.py` writes them."""
    spec = importlib.util.spec_from_file_location("command_docs", ROOT / "scripts" / "command_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == module.text()


def test_the_list_of_commands_imports_none_of_them():
    code = "import sys, mvc_hf.cli as c; c.run(['--help']); "
    code += "print([m for m in (*c.COMMANDS, 'run_recipe') if f'mvc_hf.cli.{m}' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_imports_nothing_heavy():
    code = "import sys, mvc_hf.cli as c; c.run(['--help']); c.run(['finetune', '--help']); "
    code += "print([m for m in ('torch', 'diffusers', 'datasets', 'transformers', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


@pytest.mark.parametrize(("stage", "name"), [(FINETUNE, "finetune"), (GENERATE, "generate")])
def test_every_setting_has_its_flag(stage, name):
    command = cli.group.get_command(click.Context(cli.group), name)
    flags = {o for p in command.params for o in p.opts} | {flag(p.name) for p in command.params}
    assert {flag(s) for s in Recipe().to_dict(stage)} <= flags


def test_caption_finetune_generate(capsys, photos, tiny_base, tmp_path):
    captions, checkpoint, out = tmp_path / "captions.parquet", tmp_path / "checkpoint", tmp_path / "synthetic"
    code, said, err = run(capsys, "caption", photos, "-o", captions)
    assert code == 0 and "24 captions of 3 classes" in said, err
    code, said, err = run(
        capsys, "finetune", photos, "-o", checkpoint, "--base", tiny_base, "--captions", captions,
        "--train-batch-size", 4, "--max-train-steps", 2,
    )  # fmt: skip
    assert code == 0 and "fine-tuned 2 steps on 25 images of 3 classes" in said, err
    code, said, err = run(
        capsys, "generate", checkpoint, "-o", out, "--dataset", photos, "--images-per-class", 2,
        "--num-inference-steps", 2,
    )  # fmt: skip
    assert code == 0 and "6 images of 3 classes in 1 shard\n" in said, err
    assert len(datasets.load_dataset(str(out), split="train")) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["finetune"], 2, "Missing argument 'DATASET'"),
        (["finetune", "x", "-o", "y", "--nonsense"], 2, "No such option"),
        (["finetune", "x", "-o", "y", "--train-batch-size", "many"], 2, "not a valid integer"),
        (["dance"], 2, "No such command 'dance'"),
        (["finetune", "./none", "-o", "y", "--base", "z"], 1, "no such folder or file: './none'"),
        (["finetune", "./none", "-o", "y"], 1, "give --base"),
        (["finetune", "x", "-o", "y", "--coarse", "-1"], 1, "--coarse is -1; it must be at least 0"),
        (["finetune", "x", "-o", "y", "--base", "z", "--learning-rate", "1e30"], 1, "is 1e+30; it must be at most 1"),
        (["finetune", "x", "-o", "y", "--base", "z", "--adam-weight-decay", "inf"], 1, "must be at most 100"),
        (["finetune", "x", "-o", "y", "--base", "z", "--train-batch-size", "20000"], 1, "must be at most 8,192"),
        (["generate", "x", "-o", "y", "--guidance-scale", "nan"], 1, "--guidance-scale is not a number"),
        (["generate", "x", "-o", "y", "--image-size", "1000000000"], 1, "must be at most 8,192"),
        (["generate", "x", "-o", "y", "--images-per-class", "1" + 17 * "0"], 1, "must be at most 100,000,000"),
        (["generate", "x", "-o", "y", "--scheduler", "UnCLIPScheduler"], 1, "take one of DDIMParallelScheduler"),
        (["generate", "./none", "-o", "y"], 1, "mvc.json"),
        (["caption", "./none", "-o", "y.parquet"], 1, "no such folder or file"),
        (["caption", "PHOTOS", "-o", "y.parquet", "--captioner", "blip2"], 1, "blip2-opt-2.7b from the Hub"),
    ],
)
def test_bad_input(capsys, monkeypatch, tmp_path, photos, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    found, _, err = run(capsys, *[str(photos) if a == "PHOTOS" else a for a in arguments])
    assert found == code
    assert says in " ".join(err.split())
    assert "Traceback" not in err
    assert code == 2 or one_line(err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "the disk is full (/x/y)"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"), "the disk is full (/x/y)"),
        (OSError(errno.EFBIG, "File too large", "/x/y"), "the disk is full (/x/y)"),
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), "the disk is full"),
        (
            SafetensorError("Error while serializing: Disk quota exceeded (os error 122)"),
            "the disk is full",
        ),
        (OSError("Error writing bytes to file. Detail: [errno 122] Disk quota exceeded"), "the disk is full"),
        (MemoryError(), "the memory does not suffice for these settings"),
        (OverflowError("Python int too large to convert to C long"), "the memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "memory does not suffice"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory does not suffice"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "Permission denied (/x/y)"),
        (EOFError("No data left in file"), "a file ends before its end (No data left in file)"),
        (KeyboardInterrupt(), "stopped; the same command goes on where it was"),
        (Stopped("stopped at step 5"), "stopped at step 5"),
    ],
)
def test_what_the_system_says_is_one_line(capsys, monkeypatch, tmp_path, error, says):
    import mvc_hf.training.finetune

    def fail(*_):
        raise error

    monkeypatch.setattr(mvc_hf.training.finetune, "finetune", fail)
    code, _, err = run(capsys, "finetune", "x", "-o", tmp_path / "y")
    assert code == (130 if isinstance(error, (KeyboardInterrupt, Stopped)) else 1) and says in one_line(err)


def test_a_bug_of_ours_is_a_traceback(monkeypatch, tmp_path):
    import mvc_hf.training.finetune

    monkeypatch.setattr(mvc_hf.training.finetune, "finetune", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.run(["finetune", "x", "-o", str(tmp_path / "y")])


def test_killed_by_a_signal_and_given_again(photos, tiny_base, tmp_path):
    """The real command in a process of its own, stopped by SIGTERM, then by SIGKILL, then left alone."""
    import signal
    import time

    environment = os.environ | {"OMP_NUM_THREADS": "1", "MVC_HF_CACHE": str(tmp_path / "cache")}
    settings = ["--base", tiny_base, "--train-batch-size", 4, "--max-train-steps", 60, "--checkpointing-steps", 5]

    def start(out):
        command = [sys.executable, "-m", "mvc_hf.cli", "finetune", photos, "-o", out, *settings]
        return subprocess.Popen(
            list(map(str, command)), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )

    def wait_for(pattern):
        deadline = time.monotonic() + 120
        while not list((tmp_path / "killed" / "checkpoints").glob(pattern)):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    whole = start(tmp_path / "whole")
    assert whole.wait(180) == 0, whole.stderr.read()
    for number, pattern, code in ((signal.SIGTERM, "step-*5", 143), (signal.SIGKILL, "step-*[1-5][05]", -9)):
        process = start(tmp_path / "killed")
        wait_for(pattern)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        if process.returncode != 0:  # it may have been done by then, on a fast machine
            assert process.returncode == code, err
            assert "Traceback" not in err
    last = start(tmp_path / "killed")
    assert last.wait(180) == 0, last.stderr.read()
    for name in ("training_log.csv", "unet/diffusion_pytorch_model.safetensors", "captions.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_limit_on_the_size_of_files_is_a_full_disk(photos, tiny_base, tmp_path):
    """The real thing: safetensors hides the system's error in one of its own."""
    import resource

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    environment = os.environ | {"OMP_NUM_THREADS": "1", "MVC_HF_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "mvc_hf.cli", "finetune", photos, "-o", tmp_path / "out", "--base", tiny_base,
               "--train-batch-size", 4, "--max-train-steps", 1]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, preexec_fn=limited
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "the disk is full" in one_line(done.stderr)
    assert not (tmp_path / "out" / "mvc.json").exists()


def test_a_shell_completes_commands_and_flags():
    """As the README says to switch it on."""
    asked = {"_MVC_HF_COMPLETE": "bash_complete", "COMP_WORDS": "mvc-hf fine", "COMP_CWORD": "1"}
    found = []
    for words in (
        {"_MVC_HF_COMPLETE": "bash_source"},
        asked,
        {**asked, "COMP_WORDS": "mvc-hf push --no-s", "COMP_CWORD": "2"},
    ):
        done = subprocess.run(
            [sys.executable, "-m", "mvc_hf.cli"], env={**os.environ, **words}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert "complete -o nosort -F" in found[0]
    assert found[1:] == ["plain,finetune\n", "plain,--no-samples\n"]
