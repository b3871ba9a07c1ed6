"""What a user can get wrong, as exceptions.

Every message names the value, the limit and the next step; the command line prints it as one line and exits with 1.
"""


class MvcError(Exception):
    """Base of everything that a user can get wrong. A traceback of any other kind is a bug of ours."""


class RecipeError(MvcError):
    """A setting that is out of range, unknown, or at odds with another one."""


class DataError(MvcError):
    """A data set, an image or a caption that cannot be used."""


class ModelError(MvcError):
    """A base model or checkpoint that cannot be used."""


class NotEnoughMemory(ModelError, MemoryError):
    """Memory, of the machine or of its GPU, that does not suffice by these settings."""


class DivergedError(ModelError):
    """Numbers that are not finite any more: weights, a loss, latents or pixels."""


class OutputError(MvcError):
    """A folder that cannot be written: made by another recipe, full, or not ours."""


class HostError(MvcError):
    """A program that we plug into is not as we know it: another script, another version."""


class Stopped(MvcError):
    """The user stopped a run at a safe point; the same command goes on from there."""
