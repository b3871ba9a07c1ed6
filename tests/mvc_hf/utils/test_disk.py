"""Full disks, in whatever words."""

import errno

import pytest

from mvc_hf.utils.disk import is_disk_full


def wrapped(error):
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("writing has failed") from cause
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_known_behind_whatever_wraps_it(error):
    assert is_disk_full(error) and is_disk_full(wrapped(error))


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError("x"), MemoryError()])
def test_other_errors_are_no_full_disk(error):
    assert not is_disk_full(error) and not is_disk_full(wrapped(error))
