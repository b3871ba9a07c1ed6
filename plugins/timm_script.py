"""timm's own train.py, found, recognised and loaded as a module, unmodified."""

from __future__ import annotations

import ast
import importlib.util
import stat
import sys
from pathlib import Path
from types import ModuleType

from ..errors import HostError
from ..utils.text import brief, reason

TRIED = "1.0.20, 1.0.25, 1.0.28 and 1.0.31"
MODULE = "timm_train_script"
LARGEST = 1 << 22  # bytes; timm's has 70,000
IMPORTED = ("create_dataset", "create_loader", "create_scheduler_v2")


def load_script(path: str | Path) -> ModuleType:
    """Run the top of a train.py and return it as a module; its main() is left to the caller.

    Raises:
        HostError: there is no such file, or it is not a train.py of the kind that timm's versions share.
    """
    path = Path(path)
    check_script(path)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None and spec.loader is not None  # of a file whose name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module  # worker processes that are not forked look for the script's classes here
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise HostError(f"{path.name} needs another version of timm ({error}): {where_to_get()}") from error
    except Exception as error:  # nothing of timm's does
        raise HostError(f"{path.name} cannot be loaded ({type(error).__name__}: {reason(error)})") from error
    return module


def check_script(path: str | Path) -> None:
    """Raises HostError: a file is no train.py that the hook knows. None of it is run for that."""
    path, name = Path(path), brief(str(path))
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or path.suffix != ".py":
            what = "does not end in .py" if stat.S_ISREG(found.st_mode) else "is no regular file"
            raise HostError(f"{name} {what}: name timm's train.py; {where_to_get()}")
        if found.st_size > LARGEST:
            raise HostError(f"{name} has {found.st_size:,} bytes, too many for a script: {where_to_get()}")
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise HostError(f"cannot read {name} ({error.strerror}): {where_to_get()}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deep
        raise HostError(f"{name} is not a Python script: {where_to_get()}") from error
    missing = _missing(tree)
    if missing:
        raise HostError(
            f"{name} is not a train.py that this hook knows: it has no {', no '.join(missing)}. Tried were "
            f"those of timm {TRIED}; {where_to_get()}"
        )


def where_to_get() -> str:
    """Where the train.py of the installed timm is: it comes neither in the wheel nor in the sdist."""
    from importlib.metadata import version

    tag = f"v{version('timm')}"
    return (
        f"get that of the installed timm with `curl -LO https://raw.githubusercontent.com/huggingface/"
        f"pytorch-image-models/{tag}/train.py`"
    )


def _missing(tree: ast.Module) -> list[str]:
    """What the hook relies on and the script does not have at its top level."""
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef):
            names.add(f"{node.name}()")
        elif isinstance(node, ast.Assign):
            names |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return [name for name in (*IMPORTED, "parser", "main()") if name not in names]
