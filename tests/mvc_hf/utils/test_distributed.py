"""One process among others, or by itself."""

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
