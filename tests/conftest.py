"""Fixtures that several test files share. Nothing here needs a network or a GPU."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import of the Hub's clients
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small only get slower by sharing their work

import hypothesis
import pytest

if importlib.util.find_spec("mvc_hf.cli") is None:
    raise pytest.UsageError('mvc_hf is not installed: pip install -e ".[test]" first, then run pytest (not python -m)')


def _register(package: Path) -> None:
    """Let tests import a package of this folder. The folder itself on the path would hide mvc_hf behind its tests."""
    init, inner = package / "__init__.py", [str(package)]
    spec = importlib.util.spec_from_file_location(package.name, init, submodule_search_locations=inner)
    sys.modules[package.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_register(Path(__file__).parent / "hub_server")
hypothesis.settings.register_profile("mvc_hf", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("mvc_hf")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Workers of pytest-xdist ignore SIGINT, and so would every process that a test starts there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_caches(tmp_path_factory, monkeypatch):
    """Every test finds empty caches, and leaves nothing in the user's."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MVC_HF_CACHE", str(home / "mvc_hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home / "datasets"))
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """A folder with a tiny Stable Diffusion pipeline of random weights."""
    import tiny

    return tiny.tiny_base(tmp_path_factory.mktemp("models") / "tiny-base")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of class folders: two classes of 12 images, one of 3, 16×16."""
    import tiny

    return tiny.image_folder(tmp_path_factory.mktemp("data") / "photos", {"apple": 12, "pear": 12, "plum": 3})


@pytest.fixture(scope="session")
def checkpoint(photos, tiny_base, tmp_path_factory):
    """What `finetune` makes of the photos and the tiny base in three updates. Not to be written to."""
    from mvc_hf.config.recipe import Recipe
    from mvc_hf.training.finetune import finetune

    out = tmp_path_factory.mktemp("fine-tuned") / "checkpoint"
    settings = {"train_batch_size": 4, "max_train_steps": 3, "learning_rate": 1e-2, "use_ema": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(tmp_path_factory.mktemp("caches")))
        finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), out)
    return out


@pytest.fixture
def broken_unet(monkeypatch):
    """Every U-Net gives NaN from its second call on: the first is the try-out of a base."""
    from diffusers import UNet2DConditionModel

    calls = []

    def forward(self, *args, plain=UNet2DConditionModel.forward, **options):
        calls.append(1)
        (found,) = plain(self, *args, **options)
        return (found * (float("nan") if len(calls) > 1 else 1),)

    monkeypatch.setattr(UNet2DConditionModel, "forward", forward)


@pytest.fixture(scope="session")
def blip2(tmp_path_factory):
    """A folder with a tiny captioning model of random weights."""
    import tiny_blip

    return tiny_blip.tiny_captioner(tmp_path_factory.mktemp("captioners") / "tiny-blip2")


@pytest.fixture
def local_hub():
    """A Hub on 127.0.0.1; `hub_server.connect` lets this process talk to it."""
    from hub_server import LocalHub

    with LocalHub() as hub:
        yield hub
