"""Real and synthetic images for runs of the hook."""

import pytest
from hooked import NAMES, REAL, SYNTHETIC, VALIDATION, grey, label_of, row_of, write_parquet


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """Real image i is grey i, validation image i is grey 200 + i. File names keep the order within a class."""
    root = tmp_path_factory.mktemp("real")
    for split, count, first in (("train", REAL, 0), ("validation", VALIDATION, 200)):
        for i in range(count):
            folder = root / split / NAMES[label_of(i)]
            folder.mkdir(parents=True, exist_ok=True)
            grey(first + i).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """Synthetic image j is grey 100 + j; each was made from a real image of its class."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_parquet(
        folder / "data" / "train-00000-of-00001.parquet",
        [100 + j for j in range(SYNTHETIC)],
        condition=[row_of(j % REAL) for j in range(SYNTHETIC)],
    )
    return folder
