"""One process among others, or by itself."""

import subprocess
import sys
from types import SimpleNamespace

import torch

from mvc_hf.utils import distributed


def test_several_processes_without_an_accelerator_work_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not distributed.on_cpu()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.on_cpu()


def test_the_user_may_choose_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert distributed.on_cpu() and distributed.Alone().device == torch.device("cpu")


def test_a_process_by_itself_has_the_device_of_its_launcher_and_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    alone = distributed.Alone()
    assert alone.device == torch.device("cuda", 1)
    with alone.main_process_first():
        pass


def test_one_process_agrees_with_itself():
    assert distributed.agreed({"a": 1}) == {"a": 1} and distributed.gathered([3, 1]) == [1, 3]


def test_who_works_by_himself_waits_for_nobody():
    with distributed.in_turn(SimpleNamespace(num_processes=1)):
        pass


TURNS = """
import os, sys, time, types
import torch.distributed
from mvc_hf.utils.distributed import in_turn

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
state = types.SimpleNamespace(num_processes=4, is_main_process=rank == 0, is_local_main_process=rank % 2 == 0)
with in_turn(state), open(sys.argv[1], "a") as file:
    print("in", rank, file=file, flush=True)
    time.sleep(0.3)
    print("out", rank, file=file, flush=True)
torch.distributed.destroy_process_group()
"""


def test_the_first_of_all_then_the_first_of_each_machine_then_the_others(tmp_path):
    """As if of two machines with two processes each."""
    (tmp_path / "turns.py").write_text(TURNS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    subprocess.run([*command, str(tmp_path / "turns.py"), str(tmp_path / "log")], check=True, timeout=300)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:4] == ["in 0", "out 0", "in 2", "out 2"]
    assert sorted(lines[4:]) == ["in 1", "in 3", "out 1", "out 3"]
