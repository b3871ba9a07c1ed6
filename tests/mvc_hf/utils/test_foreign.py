import errno

import pytest
import torch

from mvc_hf.errors import DataError, ModelError, NotEnoughMemory
from mvc_hf.utils.foreign import foreign


class PanicException(BaseException):  # as a library written in Rust raises it
    pass


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("layers"), "cannot load x: KeyError: 'layers'; take another"),
        (AttributeError("'NoneType' has no attribute 'y'"), "cannot load x: AttributeError: 'NoneType'"),
        (RuntimeError("two\nlines of it"), "cannot load x: two lines of it; take another"),
        (IndexError(), "cannot load x: IndexError; take another"),
        (ZeroDivisionError("division by zero"), "cannot load x: ZeroDivisionError: division by zero"),
        (RecursionError("maximum recursion depth exceeded"), "cannot load x"),
        (AssertionError(), "cannot load x: AssertionError"),
        (PanicException("called unwrap on None"), "cannot load x: PanicException: called unwrap"),
        (OSError(errno.EISDIR, "Is a directory"), "cannot load x"),
    ],
)
def test_whatever_is_raised_is_one_line(error, says):
    with pytest.raises(ModelError) as caught, foreign("cannot load x", "take another"):
        raise error
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), OverflowError("large")]
)
def test_memory_is_told_as_memory(error):
    with pytest.raises(NotEnoughMemory, match="cannot load x: the memory does not suffice"), foreign("cannot load x"):
        raise error


@pytest.mark.parametrize("error", [DataError("ours"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_is_no_fault_of_the_model_is_passed_on(error):
    with pytest.raises(type(error)) as caught, foreign("cannot load x"):
        raise error
    assert caught.value is error


def test_the_libraries_are_as_loud_as_before():
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = ours.get_verbosity(), theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    with foreign("x"):
        assert theirs.get_verbosity() == ours.get_verbosity() == 40 and not theirs.is_progress_bar_enabled()
    assert (ours.get_verbosity(), theirs.get_verbosity(), theirs.is_progress_bar_enabled()) == before
