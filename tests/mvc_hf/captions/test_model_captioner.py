"""Captioning with models of transformers: the real classes, with tiny random weights."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tiny
import torch
from pets import contents
from PIL import Image
from tiny_blip import tiny_captioner

from mvc_hf.captions import cache, model_captioner
from mvc_hf.captions.image_to_text import CaptionModel, Weights
from mvc_hf.captions.loading import caption_source
from mvc_hf.captions.sources import captioned
from mvc_hf.captions.table import CaptionTable
from mvc_hf.config.recipe import Recipe
from mvc_hf.data.decoding import to_rgb
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, ModelError, MvcError, RecipeError, Stopped
from mvc_hf.storage.files import cache_root

CPU = torch.device("cpu")


def settings(model, **more):
    return Recipe(captions="blip2", caption_model=str(model), caption_max_new_tokens=8, **more)


def captions(source, model, keep_duplicates=True, **more):
    recipe = settings(model, **more)
    return caption_source("blip2", keep_duplicates=keep_duplicates, recipe=recipe).table(source)


def one_by_one(folder, images, tokens=8):
    """What transformers says without us."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    out = []
    for image in images:
        ids = model.generate(**processor(image, return_tensors="pt"), max_new_tokens=tokens, num_beams=1)
        out.append(tokenizer.decode(ids[0], skip_special_tokens=True))
    return out


# --- the models


@pytest.mark.parametrize("kind", ["blip2", "blip", "git", "vit-gpt2"])
def test_captions_are_what_the_model_says(tmp_path, photos, kind):
    folder = tiny_captioner(tmp_path / kind, kind)
    source = open_dataset(str(photos))
    table = captions(source, folder)
    assert table.rows.tolist() == list(range(27)) and table.labels.tolist() == source.labels.tolist()
    said = one_by_one(folder, [to_rgb(source.image(row)) for row in range(27)])
    names = [source.class_names[y] for y in source.labels]
    assert table.captions == [f"This is an image of {n}. {c}".strip() for n, c in zip(names, said)]
    assert len(set(said)) > 5


def test_a_model_that_is_asked_in_a_chat(tmp_path, photos):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = tiny_captioner(tmp_path / "llava", "llava")
    source = open_dataset(str(photos))
    found = captions(source, folder, caption_prompt="the table").captions
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    image = to_rgb(source.image(13))
    inputs = processor(images=image, text="USER: <image> the table ASSISTANT:", return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs.input_ids.shape[1] :]
    assert found[13] == f"This is an image of pear. {processor.decode(out, skip_special_tokens=True)}"
    assert captions(source, folder).captions != found


@pytest.mark.parametrize("kind", ["blip2", "blip"])
def test_a_prompt_is_not_part_of_the_caption(tmp_path, photos, kind):
    source = open_dataset(str(photos))
    folder = tiny_captioner(tmp_path / kind, kind)
    found = captions(source, folder, caption_prompt="a photo of").captions
    assert found != captions(source, folder).captions
    model = CaptionModel(Weights.locate(str(folder)), CPU, "a photo of")
    prepared = [model.prepare(source.image(row)) for row in range(8)]
    said = model.captions(prepared, np.zeros((8, 8)), 8)
    assert found[:8] == [f"This is an image of apple. {caption}".strip() for caption in said] and any(said)
    everything = model._model.generate(**model._inputs(prepared), max_new_tokens=8)
    whole = model._tokenizer.batch_decode(everything, skip_special_tokens=True)
    assert whole == [f"a photo of {caption}".strip() for caption in said]


def test_models_that_take_no_prompt_say_so(tmp_path, photos):
    folder = tiny_captioner(tmp_path / "git", "git")
    with pytest.raises(RecipeError, match="--caption-prompt 'a photo': git, of type git, takes none"):
        captions(open_dataset(str(photos)), folder, caption_prompt="a photo")


# --- sampling


def test_several_captions_an_image(photos, blip2):
    source = open_dataset(str(photos))
    one, four = captions(source, blip2), captions(source, blip2, captions_per_image=4)
    assert len(four) == 4 * 27 and four.rows.tolist() == np.repeat(np.arange(27), 4).tolist()
    assert four.captions[::4] == one.captions  # the likeliest comes first, the others are sampled
    assert sum(len(set(four.captions[at : at + 4])) for at in range(0, 108, 4)) > 80
    two = captions(source, blip2, captions_per_image=2)
    assert two.captions[1::2] == four.captions[1::4]  # more of them change none
    other = captions(source, blip2, captions_per_image=2, seed=1)
    assert other.captions[::2] == one.captions and other.captions[1::2] != two.captions[1::2]


@pytest.mark.parametrize("size", [1, 7, 128])
def test_a_caption_does_not_depend_on_its_batch(photos, blip2, size, monkeypatch, tmp_path):
    source = open_dataset(str(photos))
    usual = captions(source, blip2, captions_per_image=3)
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path))
    found = captions(source, blip2, captions_per_image=3, caption_batch_size=size)
    assert contents(found) == contents(usual)


# --- what is said


@pytest.fixture
def silent(tmp_path):
    """A BLIP that ends at once."""
    from transformers import BlipForConditionalGeneration

    folder = tiny_captioner(tmp_path / "silent", "blip")
    model = BlipForConditionalGeneration.from_pretrained(folder)
    model.text_decoder.cls.predictions.bias.data[3] = 1e4
    model.save_pretrained(folder)
    return folder


def test_a_model_that_says_nothing(photos, silent, capsys):
    source = open_dataset(str(photos))
    table = captions(source, silent)
    assert set(table.captions) == {f"This is an image of {n}." for n in ("apple", "pear", "plum")}
    assert capsys.readouterr().err.count("27 of 27 captions are empty: the class name stands alone there") == 1


def test_duplicates_are_kept_or_removed(photos, silent):
    source = open_dataset(str(photos))
    assert len(captions(source, silent)) == 27
    fewer = captions(source, silent, keep_duplicates=False)
    assert len(fewer) == 3 and fewer.rows.tolist() == [0, 12, 24]


def test_whatever_it_says_is_text_on_one_line(photos, tmp_path):
    words = ["猫", "ein\x1b[31mHund", "два\u2028слова", "a\nb", "\x00", "🐱", "\ufffd", "ثعلب"]
    source = open_dataset(str(photos))
    table = captions(source, tiny_captioner(tmp_path / "words", words=words), captions_per_image=4)
    text = " ".join(table.captions)
    assert all(word in text for word in ("猫", "🐱", "ثعلب", "Hund", "слова", "\ufffd"))
    assert text.isprintable() and "ein [31mHund" in text
    table.save(tmp_path / "captions.parquet")
    assert contents(CaptionTable.load(tmp_path / "captions.parquet", source.class_names)) == contents(table)


# --- pictures as they come


def test_pictures_of_every_mode(tmp_path, blip2):
    ramp = np.linspace(0, 255, 256).reshape(16, 16)
    folder = tmp_path / "modes" / "a"
    folder.mkdir(parents=True)
    pictures = {
        "0grey": Image.fromarray(ramp.astype(np.uint8)),
        "1deep": Image.fromarray((ramp * 257).astype(np.uint16)),
        "2rgb": Image.fromarray(np.repeat(ramp.astype(np.uint8)[:, :, None], 3, 2)),
        "3clear": Image.new("RGBA", (16, 16), (10, 200, 30, 0)),
        "4white": Image.new("RGB", (16, 16), "white"),
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    source = open_dataset(str(folder.parent))
    grey, deep, rgb, clear, white = captions(source, blip2).captions
    assert grey == deep == rgb and clear == white != grey
    assert rgb == "This is an image of a. " + one_by_one(blip2, [pictures["2rgb"]])[0]


def test_pictures_that_cannot_be_read(tmp_path, blip2, capsys):
    folder = tiny.image_folder(tmp_path / "p", {"a": 6, "b": 4})
    whole = contents(captions(open_dataset(str(folder)), blip2, captions_per_image=2))
    (folder / "a" / "002.png").write_bytes(b"\x89PNG broken")
    Image.fromarray(np.full((9, 9), -5, np.int32)).save(folder / "b" / "001.tiff")  # can be read, but means nothing
    source = open_dataset(str(folder))
    table = captions(source, blip2, captions_per_image=2)
    assert contents(table)[4:] != [] and {2, 8} & set(table.rows.tolist()) == set()
    assert [c for c in contents(table) if c[2] < 2] == [c for c in whole if c[2] < 2]
    err = capsys.readouterr().err
    assert "skipped 2 of 11 images that cannot be read: a/002.png" in err and "b/001.tiff: a picture of mode" in err
    with pytest.raises(
        DataError, match=r"2 images cannot be read, over the limit of --max-broken 1; the first: a/002"
    ):
        captions(source, blip2, captions_per_image=2, max_broken=1)
    with pytest.raises(DataError, match="--max-broken 0"):
        captions(source, blip2, max_broken=0)


# --- what is kept


def test_a_second_run_captions_nothing(photos, blip2, monkeypatch):
    source = open_dataset(str(photos))
    first = captions(source, blip2)
    monkeypatch.setattr(model_captioner, "CaptionModel", None)
    assert contents(captions(source, blip2)) == contents(first)
    assert contents(captions(open_dataset(str(photos)), blip2, caption_batch_size=3)) == contents(first)
    with pytest.raises(TypeError):
        captions(source, blip2, seed=1, captions_per_image=2)


def test_other_weights_are_another_model(photos, blip2, tmp_path):
    source = open_dataset(str(photos))
    other = tiny_captioner(tmp_path / "other" / blip2.name, seed=1)
    assert captions(source, blip2).captions != captions(source, other).captions


def test_nothing_local_is_recorded(photos, blip2, tmp_path):
    source = open_dataset(str(photos))
    table = captioned(caption_source("blip2", recipe=settings(blip2)), source)
    assert table.origin["model"] == "tiny-blip2" and table.origin["dataset"]["name"] == "photos"
    table.save(tmp_path / "captions.parquet")
    kept = [tmp_path / "captions.parquet", *cache_root().rglob("*.json")]
    assert len(kept) == 2
    for path in kept:
        assert str(photos.parent).encode() not in path.read_bytes()
        assert str(blip2.parent).encode() not in path.read_bytes()
    assert CaptionTable.load(tmp_path / "captions.parquet").origin == table.origin


@pytest.mark.parametrize("batch_size", [4, 10])
def test_a_stopped_run_goes_on(photos, blip2, monkeypatch, tmp_path, batch_size):
    monkeypatch.setattr(cache, "PIECE", 8)
    options = {"captions_per_image": 3, "caption_batch_size": batch_size}
    source = open_dataset(str(photos))
    whole = captions(source, blip2, **options)
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path))
    say, calls = CaptionModel.captions, []

    def until(self, prepared, draws, tokens):
        calls.append(len(prepared))
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        if len(calls) == 9:
            raise MemoryError
        return say(self, prepared, draws, tokens)

    monkeypatch.setattr(CaptionModel, "captions", until)
    with pytest.raises(Stopped, match="the same command goes on"):
        captions(source, blip2, **options)
    assert len(calls) == 5
    with pytest.raises(MemoryError):
        captions(source, blip2, **options)
    whole_ones_too = lambda self: list(range(self.count))  # noqa: E731
    monkeypatch.setattr(model_captioner.Pieces, "missing", whole_ones_too)
    assert contents(captions(source, blip2, **options)) == contents(whole)
    assert sum(calls) == 81 + calls[8]  # nothing was made twice but the batch that failed


def test_a_piece_that_broke_off_is_made_again(photos, blip2):
    source = open_dataset(str(photos))
    whole = contents(captions(source, blip2))
    (piece,) = cache_root().glob("captions-*/*.json")
    written = piece.read_bytes()
    flipped = written[:-60] + bytes([written[-60] ^ 1]) + written[-59:]
    for damage in (b"", b'{"number": 0', b"[]", b"{}", b"\xff\x00", flipped):
        piece.write_bytes(damage)
        assert contents(captions(source, blip2)) == whole


def test_workers_change_nothing_and_are_bounded(photos, blip2, monkeypatch, tmp_path):
    source = open_dataset(str(photos))
    whole = contents(captions(source, blip2, captions_per_image=2))
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path))
    monkeypatch.setattr(model_captioner, "decoding_workers", lambda _: 3)
    seen, image = [], type(source).image
    monkeypatch.setattr(type(source), "image", lambda self, row: seen.append(row) or image(self, row))
    say, ahead = CaptionModel.captions, []

    def look(self, prepared, draws, tokens):
        ahead.append(len(seen))
        return say(self, prepared, draws, tokens)

    monkeypatch.setattr(CaptionModel, "captions", look)
    assert contents(captions(source, blip2, captions_per_image=2, caption_batch_size=4)) == whole
    assert sorted(seen) == list(range(27))
    assert ahead[0] <= 2 + 8  # the rows of a batch of 4, and two batches' worth ahead


# --- what can be wrong


def lacks_safetensors(folder):
    from transformers import Blip2ForConditionalGeneration

    state = Blip2ForConditionalGeneration.from_pretrained(folder).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def is_cut_off(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def wants_its_own_code(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Mine", "AutoModel": "code.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('ran')")


def is_of_another_kind(folder):
    from transformers import BertConfig

    BertConfig().save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lacks_safetensors, "tiny has no safetensors; pickle files are not loaded"),
        (is_cut_off, "the captioning model tiny cannot be loaded"),
        (wants_its_own_code, "tiny cannot be loaded by transformers alone"),
        (is_of_another_kind, "tiny is a model of type bert, which writes no captions"),
        (lambda f: (f / "tokenizer.json").unlink(), "the captioning model tiny cannot be loaded"),
        (lambda f: (f / "config.json").unlink(), "tiny is not a model of transformers: it has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "tiny cannot be loaded by transformers alone"),
    ],
)
def test_folders_that_are_no_captioner(tmp_path, photos, damage, match):
    folder = tiny_captioner(tmp_path / "tiny")
    damage(folder)
    with pytest.raises(ModelError, match=match) as caught:
        captions(open_dataset(str(photos)), folder)
    assert "\n" not in str(caught.value)


def test_a_model_that_fails_is_named(photos, blip2, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no\nway")

    monkeypatch.setattr(model_captioner.CaptionModel, "_inputs", fail)
    with pytest.raises(ModelError, match=r"tiny-blip2 cannot caption pictures: ValueError: no way; take another"):
        captions(open_dataset(str(photos)), blip2)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model_captioner.CaptionModel, "_inputs", full)
    with pytest.raises(MvcError, match="does not suffice for 16 captions at a time: halve --caption-batch-size"):
        captions(open_dataset(str(photos)), blip2)


def test_weights_of_a_variant_alone_are_taken(photos, blip2, tmp_path):
    folder = shutil.copytree(blip2, tmp_path / blip2.name)
    for file in folder.glob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    weights = Weights.locate(str(folder))
    assert weights.variant == "fp16"
    CaptionModel(weights, torch.device("cpu"))
