"""Models that say what is on a picture: BLIP-2, BLIP, and whatever else transformers loads as image-text-to-text.

A model is found, loaded and asked here; which pictures, how many captions and where they are kept is in
`model_captioner.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import LogitsProcessor, LogitsProcessorList

from ..config.files import fingerprint
from ..data.decoding import to_rgb
from ..errors import ModelError, NotEnoughMemory, RecipeError
from ..hub.download.models import Pulled, from_cache, pull
from ..hub.download.weights import choose
from ..hub.ids import is_hub_id
from ..storage.files import digests
from ..utils.foreign import foreign
from ..utils.progress import say
from ..utils.rng import Stream, words
from ..utils.text import collapsed, some

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # no pickles, no code
NOT_IN_FOLDERS = "*/*"
TOP_P = 0.9  # of the sampled captions: the nucleus with which BLIP's own training captions were sampled
LONGEST_SIDE = 1024  # of a picture for models that cut it up as its size demands; no other holds more than it takes
FROM_PICTURES_ALONE = ("blip", "blip-2", "git", "pix2struct", "vision-encoder-decoder")  # need no text to begin
WITHOUT_PROMPT = ("git", "pix2struct", "vision-encoder-decoder")
QUESTION = "Describe this image in one sentence."  # for models that answer only when they are asked


@dataclass(frozen=True)
class Weights:
    """Where a model lies, and what may be recorded of it: the Hub id or the folder's name, and the commit."""

    folder: Path
    name: str
    revision: str | None

    @classmethod
    def locate(cls, model: str) -> Weights:
        """A folder, or a Hub id with an optional `@revision`, fetched. Raises ModelError where it is no captioner."""
        folder = Path(model).expanduser()
        if folder.is_dir():
            found = cls(folder, folder.resolve().name, None)
        elif is_hub_id(model):
            pulled = _pull(model)
            found = cls(pulled.folder, pulled.name, pulled.commit)
        else:
            raise ModelError(f"no captioning model at {model!r}: give a folder, or a Hub id: org/name[@revision]")
        found.check()
        return found

    def check(self) -> None:
        """Raises ModelError for a model of another kind, or without safetensors."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as KNOWN

        if type(self.config) not in KNOWN:
            raise ModelError(
                f"{self.name} is a model of type {self.config.model_type}, which writes no captions; take BLIP-2, "
                "BLIP or another image-text-to-text model of transformers (--caption-model)"
            )
        _ = self.variant

    @cached_property
    def variant(self) -> str | None:
        """Of its weights: None, or the only one there is. Raises ModelError where there are no safetensors."""
        return choose((path.name for path in self.folder.iterdir()), "model", self.name)

    @cached_property
    def config(self) -> Any:
        """What transformers says of the model. Raises ModelError where it knows no such model."""
        from transformers import AutoConfig

        if not (self.folder / "config.json").is_file():
            raise _no_model_of_transformers(self.name)
        with foreign(f"{self.name} cannot be loaded by transformers alone"):
            return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What the captions depend on: the commit of a Hub model, or the content of a folder."""
        return {"model": self.name, "revision": self.revision, "content": None if self.revision else self._content}

    @cached_property
    def _content(self) -> str:
        files = sorted(file for pattern in FILES for file in self.folder.glob(pattern))
        return fingerprint({file.name: digest.hex() for file, digest in zip(files, digests(files))})


def _pull(model: str) -> Pulled:
    """The files of a captioning model that lie at the top of its repository, from the Hub or the cache."""

    def files(info: Any) -> list[str]:
        """Refuses what could not be loaded, before gigabytes of it are fetched."""
        names = [file.rfilename for file in info.siblings or () if "/" not in file.rfilename]
        if names and "config.json" not in names:
            raise _no_model_of_transformers(info.id)
        if names:
            choose(names, "model", info.id)
        return list(FILES)

    def cached(name: str, revision: str | None) -> Path | None:
        return from_cache(name, revision, list(FILES), "config.json", NOT_IN_FOLDERS)

    return pull(model, files, cached, ignore=NOT_IN_FOLDERS, called=f"the captioning model {model}")


def _no_model_of_transformers(name: str) -> ModelError:
    return ModelError(f"{name} is not a model of transformers: it has no config.json")


def precision_on(device: torch.device, config: Any) -> torch.dtype:
    """Half precision on an accelerator: bfloat16 for models that were made in it, as float16 may overflow in them."""
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if getattr(config, "dtype", None) == torch.bfloat16 else torch.float16


class CaptionModel:
    """A loaded model, its processor, and what it is asked.

    Args:
        prompt: what the captions go on from, or a question; "" for none.

    Raises:
        ModelError: it cannot be loaded.
        RecipeError: it takes no prompt.
    """

    def __init__(self, weights: Weights, device: torch.device, prompt: str = ""):
        from transformers import AutoModelForImageTextToText

        kind = weights.config.model_type
        if prompt and kind in WITHOUT_PROMPT:
            raise RecipeError(f"--caption-prompt {prompt!r}: {weights.name}, of type {kind}, takes none; leave it out")
        self.name = weights.name
        options = {"use_safetensors": True, "variant": weights.variant, "output_loading_info": True}
        with foreign(f"the captioning model {weights.name} cannot be loaded"):
            self._processor, self._pictures, self._tokenizer = _processors(weights.folder)
            model, info = AutoModelForImageTextToText.from_pretrained(
                weights.folder, trust_remote_code=False, dtype=precision_on(device, weights.config), **options
            )
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            say(f"note: {len(missing)} weights of {weights.name} are in none of its files: {some(missing, 3)}")
        self._model = model.requires_grad_(False).eval().to(device)
        self._text = self._question(prompt) if prompt or kind not in FROM_PICTURES_ALONE else None
        # Some models give the picture's place back as a token that their tokenizer may not know as a special one.
        self._image_token = getattr(weights.config, "image_token_id", None)

    def prepare(self, image: Image.Image) -> Any:
        """A picture as `captions` takes it. For worker threads: without torch, whose threads the model needs."""
        image = to_rgb(image)
        if self._text is None:
            return dict(self._pictures(image, return_tensors="np"))
        if max(image.size) > LONGEST_SIDE:
            image = image.copy()
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        return image

    @torch.inference_mode()
    def captions(self, prepared: Sequence[Any], draws: np.ndarray, max_new_tokens: int) -> list[str]:
        """One caption for each prepared picture, on one line, "" where the model says nothing.

        Args:
            prepared: B pictures; one may come several times.
            draws: (B, max_new_tokens) in [0, 1): where in its nucleus each word is taken; 0 is the likeliest one.

        Raises:
            ModelError: the model cannot work with what it is given, or memory does not suffice.
        """
        options = {"max_new_tokens": max_new_tokens, "do_sample": False, "num_beams": 1}
        if draws.any():
            options["logits_processor"] = LogitsProcessorList([NucleusAt(draws)])
        try:
            with foreign(f"{self.name} cannot caption pictures", "take another --caption-model"):
                inputs = self._inputs(prepared)
                found = self._model.generate(**inputs, **options)
        except NotEnoughMemory as error:
            what = "the memory" if self._model.device.type == "cpu" else "the GPU's memory"
            message = f"{what} does not suffice for {len(prepared)} captions at a time: halve "
            raise NotEnoughMemory(message + "--caption-batch-size; the captions made so far are kept") from error
        return [_text(line) for line in self._decoded(found, inputs.get("input_ids"))]

    def _inputs(self, prepared: Sequence[Any]) -> dict[str, Any]:
        if self._text is None:
            inputs = {k: torch.from_numpy(np.concatenate([p[k] for p in prepared])) for k in prepared[0]}
        else:
            # Some processors want a list of pictures for each text, and all of them take it.
            texts = [self._text] * len(prepared)
            inputs = self._processor(images=list(prepared), text=texts, return_tensors="pt", padding=True)
        cast = {"device": self._model.device}
        return {
            k: v.to(**cast, dtype=self._model.dtype) if v.is_floating_point() else v.to(**cast)
            for k, v in inputs.items()
        }

    def _decoded(self, found: torch.Tensor, asked: torch.Tensor | None) -> list[str]:
        if asked is not None:  # decoders give the question back before the answer; BLIP without its last token
            for length in (asked.shape[1], asked.shape[1] - 1):
                if length and torch.equal(found[:, :length], asked[:, :length]):
                    found = found[:, length:]
                    break
        rows = [[token for token in row if token != self._image_token] for row in found.tolist()]
        return self._tokenizer.batch_decode(rows, skip_special_tokens=True)

    def _question(self, prompt: str) -> str:
        if not getattr(self._processor, "chat_template", None):
            return prompt or QUESTION
        content = [{"type": "image"}, {"type": "text", "text": prompt or QUESTION}]
        return self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def _processors(folder: Path) -> tuple[Any, Any, Any]:
    """The processor of a model, and its two halves: of pictures and of text.

    Pictures are resized by Pillow, on every machine: the result is the same with and without a GPU, and worker threads
    do not compete with the model for torch's.
    """
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    pictures = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False, backend="pil")
    if hasattr(processor, "image_processor"):
        processor.image_processor = pictures
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:  # models without a processor class keep the two halves side by side
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.padding_side = "left"  # so that all answers begin at one place
    return processor, pictures, tokenizer


class NucleusAt(LogitsProcessor):
    """Nucleus sampling whose draws are given: of the likeliest words that make up TOP_P, the one at the draw.

    generate()'s own sampling takes numbers from one generator for the whole batch, so that a caption would depend on
    its neighbours. Here each row has its own numbers, one for each word, and generate() only has to take the maximum.
    """

    def __init__(self, draws: np.ndarray):
        self._draws, self._step = torch.from_numpy(draws), 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        draw = self._draws[:, self._step, None].to(scores.device)
        self._step += 1
        probabilities, order = scores.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
        reached = probabilities.cumsum(-1)
        nucleus = reached - probabilities < TOP_P  # at least the likeliest word
        mass = (probabilities * nucleus).sum(-1, keepdim=True)
        at = (reached <= draw * mass).sum(-1, keepdim=True).minimum(nucleus.sum(-1, keepdim=True) - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, order.gather(1, at), 0.0)


def draws_of(seed: int, rows: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """(B, count) draws in [0, 1) for captions with these numbers (B,) of these rows (B,); number 0 is not random."""
    uniform = (words(seed, Stream.CAPTION, rows, numbers, count) >> np.uint64(11)) * 2.0**-53
    return np.where((numbers > 0)[:, None], uniform, 0.0)


def _text(line: str) -> str:
    """What a model said on one line, in whatever language; control characters are none."""
    return collapsed("".join(" " if unicodedata.category(c) == "Cc" else c for c in line))
