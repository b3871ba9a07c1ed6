"""Captioning a data set with a model: which pictures, in which batches, on which process, and what is kept.

The captions of some consecutive images, about 128, are a piece: a small file in the cache, under a fingerprint of
everything that decides what the model says. After every batch its piece is written anew, under a temporary name, and
renamed. So a killed run loses one batch, several processes share the pieces, and a second run captions nothing.

What is promised: a caption is a function of its image, the model and (if it is not the first one of its image) of the
seed, the row and its number. It is the same bit for bit for any number of processes and any point of resuming, on
machines of one kind. Another batch size or kind of machine sums in another order: where two words are all but equally
likely to the model, the other one may come.
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..config.files import fingerprint
from ..config.recipe import Recipe
from ..errors import DataError, OutputError, Stopped
from ..storage.files import cache_root
from ..storage.locks import waiting_lock
from ..utils.distributed import process_state
from ..utils.interrupt import Interruption
from ..utils.progress import bar, say
from .cache import Piece, Pieces
from .image_to_text import CaptionModel, Weights, draws_of, precision_on
from .prefetch import Prefetcher, decoding_workers
from .sources import MODEL
from .table import CaptionTable, with_prefix

if TYPE_CHECKING:
    from ..data.base import Source

DEFAULT_MODEL = "Salesforce/blip2-opt-2.7b"


@dataclass(frozen=True)
class ModelCaptions:
    """Captions by a model of transformers. The arguments are the settings of `Recipe` of like names."""

    weights: Weights
    captions_per_image: int = 1
    prompt: str = ""
    max_new_tokens: int = 30
    batch_size: int = 16
    seed: int = 0
    max_broken: int = 10
    keep_duplicates: bool = False

    @classmethod
    def of(cls, recipe: Recipe, keep_duplicates: bool) -> ModelCaptions:
        """Finds the model, so that a wrong name is an error before anything else is done."""
        with process_state().main_process_first():  # one process fetches
            weights = Weights.locate(recipe.caption_model or DEFAULT_MODEL)
        return cls(
            weights, recipe.captions_per_image, recipe.caption_prompt, recipe.caption_max_new_tokens,
            recipe.caption_batch_size, recipe.seed, recipe.max_broken, keep_duplicates,
        )  # fmt: skip

    def origin(self) -> dict[str, Any]:
        return {"captioner": MODEL, **self._made_from, "keep_duplicates": self.keep_duplicates}

    @property
    def _made_from(self) -> dict[str, Any]:
        """Everything that decides what the model says, besides the pictures."""
        return {
            **self.weights.identity,
            "prompt": self.prompt,
            "max_new_tokens": self.max_new_tokens,
            "captions_per_image": self.captions_per_image,
            "seed": self.seed if self.captions_per_image > 1 else None,
            "precision": str(precision_on(process_state().device, self.weights.config)).removeprefix("torch."),
        }

    def table(self, source: Source) -> CaptionTable:
        """Caption every image once, or find it captioned. On several processes all of them must call it.

        Raises:
            DataError: more than `max_broken` images cannot be read, or a class has none left.
            ModelError: the model cannot be loaded, or cannot caption.
            Stopped: by Ctrl-C or SIGTERM; what was captioned is kept.
        """
        state = process_state()
        key = fingerprint({**self._made_from, "source": source.fingerprint})
        pieces = Pieces(cache_root() / f"captions-{key}", len(source.rows), self.captions_per_image)
        with contextlib.ExitStack() as held:
            if state.is_main_process:  # another run of the same captions waits, and then finds them made
                held.enter_context(waiting_lock(pieces.folder / "lock"))
            state.wait_for_everyone()
            missing = pieces.missing()
            state.wait_for_everyone()  # all have to look before the first one writes
            mine = missing[state.process_index :: state.num_processes]
            if mine:
                self._caption(source, pieces, mine, state)
            state.wait_for_everyone()
        return self._collected(source, pieces)

    def _caption(self, source: Source, pieces: Pieces, mine: list[int], state: Any) -> None:
        say(f"captioning with {self.weights.name}")
        model = CaptionModel(self.weights, state.device, self.prompt)
        open_pieces = [pieces.read(number) for number in mine]
        with (
            Interruption("the captions made so far are kept") as interruption,
            bar(sum(piece.total for piece in open_pieces), "captioning", " captions") as shown,
        ):
            shown.update(sum(len(piece.captions) for piece in open_pieces))
            rows = source.rows[np.concatenate([piece.missing_places() for piece in open_pieces])]
            broken: dict[str, str] = {}
            pictures = Prefetcher(source, model, rows, self.batch_size, decoding_workers(state))
            with pictures:
                for piece in open_pieces:
                    while not piece.is_whole():
                        shown.update(self._next_batch(piece, model, pictures, source.rows))
                        broken |= piece.broken
                        self._check_broken(broken)
                        pieces.write(piece)
                        if interruption.requested:
                            raise Stopped(
                                "stopped; the same command goes on with the other images", signal=interruption.signal
                            )
        del model, pictures
        gc.collect()  # the GPU's memory is for what comes after
        if state.device.type == "cuda":
            torch.cuda.empty_cache()

    def _next_batch(self, piece: Piece, model: CaptionModel, pictures: Prefetcher, source_rows: np.ndarray) -> int:
        """Caption the next items of a piece; an item is a caption to be made, (row, number). Returns how many."""
        first = len(piece.captions)
        items = np.arange(first, min(first + self.batch_size, piece.total))
        rows, numbers = source_rows[piece.first_row + items // piece.per_image], items % piece.per_image
        found: list[str | None] = [None] * len(items)
        prepared = [pictures.of(row) for row in rows.tolist()]
        for row, picture in zip(rows.tolist(), prepared):
            if isinstance(picture, DataError):
                piece.broken[str(row)] = str(picture)
        good = [i for i, picture in enumerate(prepared) if not isinstance(picture, DataError)]
        if good:
            draws = draws_of(self.seed, rows[good], numbers[good], self.max_new_tokens)
            captions = model.captions([prepared[i] for i in good], draws, self.max_new_tokens)
            for i, caption in zip(good, captions):
                found[i] = caption
        piece.captions += found
        return len(items)

    def _check_broken(self, broken: dict[str, str]) -> None:
        if len(broken) > self.max_broken:
            raise DataError(
                f"{len(broken)} images cannot be read, over the limit of --max-broken {self.max_broken}; the first: "
                f"{next(iter(broken.values()))}"
            )

    def _collected(self, source: Source, pieces: Pieces) -> CaptionTable:
        """All pieces as one table, with the class names in front, and a word on what is missing or empty."""
        broken: dict[str, str] = {}
        labels, captions, rows, empty = [], [], [], 0
        for number in range(pieces.count):
            piece = pieces.read(number)
            if not piece.is_whole():
                raise OutputError(
                    f"{pieces.folder} lacks the captions of other processes: let MVC_HF_CACHE name a folder that all "
                    "machines share"
                )
            broken |= piece.broken
            for item, caption in enumerate(piece.captions):
                if caption is not None:
                    row = int(source.rows[piece.first_row + item // piece.per_image])
                    empty += not caption
                    rows.append(row)
                    labels.append(int(source.labels[row]))
                    captions.append(with_prefix(source.class_words[labels[-1]], caption))
        self._check_broken(broken)
        if broken:
            errors = "; ".join(list(broken.values())[:3])
            say(f"skipped {len(broken)} of {len(source.rows)} images that cannot be read: {errors}")
        if empty:
            say(f"{empty} of {len(captions)} captions are empty: the class name stands alone there")
        classes = len(source.class_names)
        table = CaptionTable.build(labels, captions, rows, num_classes=classes, keep_duplicates=self.keep_duplicates)
        return table.check_every_class(source.class_names, source.used)
