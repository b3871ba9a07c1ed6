"""Models that several test files use."""

import pytest
import tiny

from mvc_hf.diffusion.model import load_base


@pytest.fixture(scope="session")
def pix2pix(tmp_path_factory):
    """An 8-channel pipeline whose weights all matter: random also where a fresh one has zeros."""
    folder = tiny.tiny_base(tmp_path_factory.mktemp("pix2pix") / "base", in_channels=8, seed=1)
    base = load_base(str(folder))
    return folder, base


@pytest.fixture(scope="module")
def base(tiny_base):
    return load_base(str(tiny_base))
