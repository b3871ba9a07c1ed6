"""`load_dataset("mvc", ...)`: makes the builder in `plugins/datasets_builder.py` known to `datasets`.

`datasets` finds builders by name only in a private table of its own. It is touched here and nowhere else, once
`datasets` is there; nothing is imported for it, since the import of `datasets` takes a second.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

NAME = "mvc"
MODULE = "mvc_hf.plugins.datasets_builder"
FORMAT = "mvc_hf-1"  # names entries of the cache, too: to be changed where equal settings would give other rows
HOST = "datasets"


def register() -> None:
    """Register now, where `datasets` is loaded, or as soon as it is."""
    if f"{HOST}.load" in sys.modules:
        _add()
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def _add() -> None:
    """Enter the builder into the table. Warns where there is no such table: `import datasets` must not fail of us."""
    try:
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as table

        table[NAME] = (MODULE, FORMAT)
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(
            f"this version of datasets is not as mvc_hf knows it ({error}): load_dataset('mvc', ...) is not there; "
            "`mvc-hf generate` makes the same rows",
            stacklevel=2,
        )
        return
    _refuse_to_scan()


def _refuse_to_scan() -> None:
    """Without data_files `datasets` would search the working directory for files, which may be a large one."""
    from datasets import load

    factory: Any = getattr(load, "PackagedDatasetModuleFactory", None)
    if factory is None or hasattr(factory.get_module, "mvc_hf"):
        return  # the builder refuses what is found then
    get_module = factory.get_module

    def checked(self: Any) -> Any:
        if self.name == NAME and getattr(self, "data_files", NAME) is None:
            from .errors import RecipeError

            raise RecipeError("no recipe: load_dataset('mvc', data_files='recipe.yaml')")
        return get_module(self)

    checked.mvc_hf = True  # type: ignore[attr-defined]
    factory.get_module = checked


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds `datasets` as it would be found without us, and registers once the module was executed.

    Being looked for is not being imported: libraries ask whether `datasets` is there and leave it at that.
    """

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != HOST or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.now = False
        if spec is not None and spec.loader is not None:
            self._extend(spec.loader)
        return spec

    def _extend(self, loader: Any) -> None:
        """The loader is made anew for every search, so the change is for this import alone."""
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            del loader.exec_module
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _add()

        loader.exec_module = exec_module
