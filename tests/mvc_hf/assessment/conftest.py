"""A synthetic split in which a copy, a wrong label and a collapsed class are planted, and its report."""

import judged
import numpy as np
import pytest

from mvc_hf.assessment.assess import assess
from mvc_hf.config.assessing import AssessSettings

COPY, COPIED, WRONG = 5, 12, 7  # rows: of the copy, of the real image that it is of, of the wrong label


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Folders real, held, made, and the file of weights."""
    place = tmp_path_factory.mktemp("planted")
    labels = np.repeat([0, 1, 2], 30)
    real, held, made = (judged.pictures(labels, seed) for seed in (1, 2, 3))
    rng = np.random.default_rng(4)
    made[COPY] = np.clip(real[COPIED].astype(int) + rng.integers(-1, 2, real[COPIED].shape), 0, 255)
    made[WRONG] = judged.pictures([1], 9)[0]
    made[60:] = np.clip(made[60].astype(int) + rng.integers(-6, 7, made[60:].shape), 0, 255)
    return {
        "real": judged.folder(place / "real", real, labels),
        "held": judged.folder(place / "held", held, labels),
        "made": judged.split(place / "made", made, labels),
        "weights": judged.weights(place / "w.safetensors"),
    }


@pytest.fixture(scope="session")
def settings(planted):
    return AssessSettings(features=judged.MODEL, feature_weights=str(planted["weights"]), feature_size=32)


@pytest.fixture(scope="session")
def found(planted, settings, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return assess(str(planted["made"]), str(planted["real"]), str(planted["held"]), settings=settings)
