"""The U-Net compiled by torch: a minute or more once, and faster steps from then on.

A compiled network is one for a single shape of its inputs. What is asked for in another shape, or but seldom, runs as
it is written: to compile it, too, would cost more than it could give back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from ..errors import MvcError, RecipeError
from ..utils.progress import say
from ..utils.text import causes, reason

COMPILERS = ("torch._dynamo", "torch._inductor", "triton")


class CompiledUNet:
    """Sees to it that a U-Net is compiled for its common shape, and for no other.

    Args:
        unet: compiled in place, by its first use.
        enabled: without it nothing is compiled, and what is said here of compiling does not apply.
    """

    def __init__(self, unet: Any, enabled: bool):
        self.enabled, self.begun = enabled, False
        if enabled:
            unet.compile(dynamic=False)

    @contextlib.contextmanager
    def common(self) -> Iterator[None]:
        """While the U-Net is asked in its common shape. The first time is announced, and says how long it took.

        Raises:
            RecipeError: it cannot be compiled here.
        """
        if not self.enabled:
            yield
            return
        first, began = not self.begun, time.monotonic()
        if first:
            say("compiling the U-Net for this size of a batch: a minute or more, once")
        try:
            yield
        except Exception as error:
            if isinstance(error, MvcError) or not any(_of_a_compiler(cause) for cause in causes(error)):
                raise
            raise RecipeError(f"--compile does not work here ({reason(error)}): leave it out") from error
        self.begun = True
        if first:
            say(f"compiled, with the first use, in {time.monotonic() - began:.0f} s")

    @contextlib.contextmanager
    def seldom(self) -> Iterator[None]:
        """While the U-Net is asked in other shapes, or once in a while: it runs as it is written."""
        with torch.compiler.set_stance("force_eager") if self.enabled else contextlib.nullcontext():
            yield


def _of_a_compiler(error: BaseException) -> bool:
    return type(error).__module__.startswith(COMPILERS)
