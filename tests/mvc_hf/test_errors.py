"""Errors that cross from one process to another."""

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch._utils import ExceptionWrapper

from mvc_hf import errors
from mvc_hf.errors import DataError, MvcError, RecipeError


class Broken(DataError):
    """An error whose constructor takes something else than a message."""

    def __init__(self, row, *, why):
        super().__init__(f"row {row} is broken: {why}")
        self.row = row


def fail(kind):
    try:
        raise ValueError("not a picture\nat all")
    except ValueError as error:
        if kind is Broken:
            raise Broken(7, why="mend it") from error
        raise kind("row 7 is broken: mend it") from error


class Failing(torch.utils.data.Dataset):
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return fail(self.kind) if i == 3 else i


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
@pytest.mark.parametrize("kind", [DataError, Broken])
def test_an_error_in_a_loader_arrives_as_its_own_line(settings, kind):
    with pytest.raises(kind) as caught:
        list(torch.utils.data.DataLoader(Failing(kind), **settings))
    assert type(caught.value) is kind and str(caught.value) == "row 7 is broken: mend it"


def wrapped(error):
    """As torch hands it on."""
    try:
        raise error
    except Exception:
        handed_on = ExceptionWrapper(where="in pin memory thread")
    with pytest.raises(type(error)) as caught:
        handed_on.reraise()
    return caught.value


def test_wrapping_within_wrapping():
    found = wrapped(wrapped(Broken(1, why="a: b")))
    assert (type(found), str(found)) == (Broken, "row 1 is broken: a: b")
    for error in (RecipeError("two\nlines: here"), RecipeError()):
        assert str(wrapped(error)) == str(error)


def test_a_pool_of_processes_hands_on_everything():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        with pytest.raises(Broken) as caught:
            pool.submit(fail, Broken).result()
        assert (str(caught.value), caught.value.row) == ("row 7 is broken: mend it", 7)
        assert pool.submit(int, "5").result() == 5, "the pool lives on"


def test_a_copy_is_the_same():
    found = copy.copy(Broken(3, why="x"))
    assert (type(found), str(found), found.row) == (Broken, "row 3 is broken: x", 3)


def test_other_messages_are_left_alone():
    for text in (
        "Caught in the act",
        "Caught ValueError in x.\nOriginal Traceback (most recent call last):\nValueError: 1",
    ):
        assert str(DataError(text)) == " ".join(text.split()) and DataError(text).args == (text,)
    assert DataError("a", "b").args == ("a", "b")


def test_all_of_them_are_one_family():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 5 and all(issubclass(kind, MvcError) for kind in kinds)
