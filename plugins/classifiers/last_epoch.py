"""timm's own train.py, judged once: after the last epoch, on the images that it takes for its validation split.

train.py looks at its validation split after every epoch and reports the best one, which flatters where that split is
the test. Here it looks once, at the end, and what it finds is kept image by image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import HostError
from ...storage.notes import write_json
from ..timm_script import where_to_get
from ..timm_train import Hook, train


def train_and_judge(script: str, flags: Sequence[str], result: Path) -> None:
    """Train, and write top1 (%), updates and right, a mark for each image, to a JSON file.

    Raises:
        HostError: a train.py that cannot leave out the epochs before the last, or of another kind.
        MvcError: as `timm_train.train`.
    """
    judged: dict[str, Any] = {}

    def prepare(module: Any, hook: Hook) -> None:
        if not hasattr(module, "validate") or "--val-interval" not in module.parser.format_help():
            raise HostError(
                f"{Path(script).name} has no --val-interval, and would read the test images in every epoch: take that "
                f"of timm 1.0.25 or newer; {where_to_get()}"
            )
        module.parser.set_defaults(val_interval=10**9)
        original = module.validate

        def validate(model: Any, loader: Any, *args: Any, **kwargs: Any) -> Any:
            seen = _Seen(loader)
            handle = model.register_forward_hook(seen.note)
            try:
                metrics = original(model, seen, *args, **kwargs)
            finally:
                handle.remove()
            judged.update(top1=float(metrics["top1"]), right=seen.right())
            return metrics

        module.validate = validate
        judged["hook"] = hook

    train(script, flags, prepare)
    hook = judged.pop("hook")
    if "top1" not in judged:
        raise HostError(f"{Path(script).name} never looked at its validation split: leave --val-split as it is")
    write_json(result, judged | {"updates": hook.updates})


class _Seen:
    """A loader that remembers its targets, and what a model made of its images."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._targets: list[Any] = []
        self._found: list[Any] = []

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for images, targets in self._loader:
            self._targets.append(targets.cpu())
            yield images, targets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def note(self, model: Any, inputs: Any, output: Any) -> None:
        """A forward hook of the model."""
        output = output[0] if isinstance(output, (tuple, list)) else output
        self._found.append(output.argmax(1).cpu())

    def right(self) -> str:
        """A mark for each image, 1 for right; empty where images and answers do not match (timm's --tta)."""
        import torch

        if not self._found or sum(map(len, self._found)) != sum(map(len, self._targets)):
            return ""
        return marks(torch.cat(self._found) == torch.cat(self._targets))


def marks(right: Any) -> str:
    """A bool tensor as text."""
    return "".join("1" if mark else "0" for mark in right.tolist())
