"""Grey pictures of more than 8 bits: their values through a window, and grey all the way."""

import io
import json

import datasets
import numpy as np
import pytest
import tiny
from deep import deep_folder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mvc_hf.config.recipe import Recipe
from mvc_hf.data.decoding import decode, is_grey, to_rgb
from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.data.window import IntensityWindow
from mvc_hf.errors import DataError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune


def through_a_file(array, suffix="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, suffix)
    return decode(buffer.getvalue(), "a file")


def values(image):
    assert image.mode == "L"
    return np.asarray(image).tolist()


def test_values_are_mapped_linearly_and_clipped():
    image = through_a_file(np.array([[0, 1000, 2000, 3000, 65535]], np.uint16))
    assert values(IntensityWindow(1000, 3000).seen(image)) == [[0, 0, 128, 255, 255]]


def test_signed_values_of_a_ct():
    for suffix in ("TIFF", "PNG"):
        array = np.array([[-1000, -160, 40, 240, 3000]], np.int32)
        # PNG has no sign; the mode has.
        image = Image.fromarray(array) if suffix == "PNG" else through_a_file(array, suffix)
        assert image.mode == "I"
        assert values(IntensityWindow(-160, 240).seen(image)) == [[0, 0, 128, 255, 255]]
        with pytest.raises(DataError, match=r"outside 0\.\.65535: give --window LOW,HIGH"):
            to_rgb(image)


def test_signed_16_bit_tiff():
    """Pillow does not write it: the tag that tells the sign is set by hand."""
    array = np.array([[-160, 240]], np.int16)
    buffer = io.BytesIO()
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[339] = 2
    Image.fromarray(array.view(np.uint16)).save(buffer, "TIFF", tiffinfo=tags)
    image = decode(buffer.getvalue(), "a file")
    assert np.asarray(image).min() == -160
    assert values(IntensityWindow(-160, 240).seen(image)) == [[0, 255]]


def test_floats():
    image = through_a_file(np.array([[-5.0, 0.5, 7.5, np.inf]], np.float32), "TIFF")
    assert values(IntensityWindow(0.5, 7.5).seen(image)) == [[0, 0, 255, 255]]
    with pytest.raises(DataError, match="no numbers"):
        IntensityWindow(0, 1).seen(Image.fromarray(np.array([[np.nan]], np.float32)))
    with pytest.raises(DataError, match="give --window LOW,HIGH"):
        to_rgb(image)


def test_the_full_window_is_the_default():
    image = Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    assert (np.asarray(IntensityWindow(0, 65535).seen(image)) == np.asarray(to_rgb(image))[..., 0]).all()


def test_8_bits_and_colour_stay_as_they_are():
    for mode in ("L", "RGB", "LA", "1", "P"):
        image = Image.new(mode, (2, 2))
        assert IntensityWindow(10, 20).seen(image) is image


def test_a_transparent_value_is_white_and_the_picture_still_grey():
    image = Image.fromarray(np.array([[5, 100]], np.uint16))
    image.info["transparency"] = 5
    seen = IntensityWindow(0, 100).seen(image)
    assert values(seen) == [[255, 255]] and is_grey(seen)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_window_is_recorded_exactly(low, width):
    window = IntensityWindow(low, low + width)
    if window.low < window.high:
        assert IntensityWindow.parse(str(window)) == window


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "5,5", "9,1", "nan,1", "0,inf", "AUTO"])
def test_what_is_no_window(text, tmp_path):
    with pytest.raises(RecipeError, match="--window is"):
        open_dataset(str(tmp_path / "no such data"), view=ViewConfig(window=text))


def test_automatic(tmp_path):
    folder = deep_folder(tmp_path / "ct", {"a": 20, "b": 20}, low=-1000, high=3000, dtype="int32", suffix="tiff")
    source = open_dataset(str(folder), view=ViewConfig(window="auto"))
    assert -1000 <= source.window.low < -900 and 2900 < source.window.high <= 3000
    again = open_dataset(str(folder), view=ViewConfig(window=str(source.window)))
    assert again.window == source.window and again.fingerprint == source.fingerprint
    assert source.image(0).mode == "L" and is_grey(source.image(0))
    assert open_dataset(str(folder)).fingerprint != source.fingerprint


def test_a_window_for_pictures_of_8_bits_is_told(photos, tmp_path, capsys):
    open_dataset(str(photos), view=ViewConfig(window="0,100"))
    assert "note: --window 0,100 is for grey pictures of more than 8 bits" in capsys.readouterr().err
    deep = deep_folder(tmp_path / "deep", {"a": 2}, low=0, high=99)
    open_dataset(str(deep), view=ViewConfig(window="0,100"))
    assert not capsys.readouterr().err


def test_automatic_needs_deep_pictures(photos, tmp_path):
    with pytest.raises(DataError, match="a sample of 27 has none: leave it out"):
        open_dataset(str(photos), view=ViewConfig(window="auto"))
    flat = deep_folder(tmp_path / "flat", {"a": 2}, low=7, high=7)
    with pytest.raises(DataError, match=r"all values are about 7: give --window"):
        open_dataset(str(flat), view=ViewConfig(window="auto"))


@pytest.mark.parametrize("window", ["0,4095", "auto"])
def test_a_16_bit_folder_from_end_to_end(tiny_base, tmp_path, window):
    """12 bits in 16: without a window all of it would be nearly black."""
    folder = deep_folder(tmp_path / "xray", {"ill": 12, "well": 12}, low=0, high=4095, size=(20, 20))
    settings = {"train_batch_size": 4, "max_train_steps": 2, "window": window}
    notes = finetune(Recipe(dataset=str(folder), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recorded = json.loads((tmp_path / "checkpoint" / "mvc.json").read_text())["recipe"]["window"]
    assert notes.grey and IntensityWindow.parse(recorded).high > 3900
    assert window == "auto" or recorded == "0,4095"
    recipe = Recipe(dataset=str(folder), images_per_class=2, num_inference_steps=2)
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert {(image.mode, image.size) for image in found["image"]} == {("L", (20, 20))}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["made_from"]["window"] == recorded == manifest["provenance"]["finetune"]["window"]


def test_the_window_reaches_the_latents(tiny_base, tmp_path):
    """A picture through a window is the 8-bit picture that it comes to."""
    from mvc_hf.diffusion.banks.latents import LatentBank
    from mvc_hf.diffusion.model import load_base

    deep = deep_folder(tmp_path / "deep", {"a": 3}, low=1000, high=1255)
    (tmp_path / "flat" / "a").mkdir(parents=True)
    for path in (deep / "a").iterdir():
        grey = Image.fromarray((np.asarray(Image.open(path)).astype(int) - 1000).astype(np.uint8))
        grey.save(tmp_path / "flat" / "a" / path.name)
    base = load_base(str(tiny_base))
    found = [
        LatentBank.build(open_dataset(str(folder), view=view), base, resolution=16, max_broken=0)
        for folder, view in ((deep, ViewConfig(window="1000,1255")), (tmp_path / "flat", None), (deep, None))
    ]
    assert (found[0].moments == found[1].moments).all() and not (found[0].moments == found[2].moments).all()


def test_a_picture_out_of_range_is_named(tiny_base, tmp_path):
    from mvc_hf.diffusion.banks.latents import LatentBank
    from mvc_hf.diffusion.model import load_base

    folder = deep_folder(tmp_path / "ct", {"a": 2}, low=-1000, high=3000, dtype="int32", suffix="tiff")
    with pytest.raises(DataError, match=r"a/000\.tiff: a picture of mode I has values -1000\.\.3000.*give --window"):
        LatentBank.build(open_dataset(str(folder)), load_base(str(tiny_base)), resolution=16, max_broken=0)
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "a" / "001.tiff")
    with pytest.raises(DataError, match=r"^a/001\.tiff: .*no numbers"):
        open_dataset(str(folder), view=ViewConfig(window="0,1")).image(1)


def test_the_captioner_sees_through_the_window(tmp_path, monkeypatch):
    import tiny_blip

    from mvc_hf.captions.loading import caption_source

    model = tiny_blip.tiny_captioner(tmp_path / "blip2")
    deep = deep_folder(tmp_path / "deep", {"a": 4}, low=0, high=255)
    recipe = Recipe(captions="blip2", caption_model=str(model), caption_max_new_tokens=4)
    captioner = caption_source("blip2", recipe=recipe, keep_duplicates=True)
    black = captioner.table(open_dataset(str(deep)))
    seen = captioner.table(open_dataset(str(deep), view=ViewConfig(window="0,255")))
    assert len(set(black.captions)) == 1  # 255 of 65535 is black
    assert seen.captions != black.captions


def test_grey_stays_grey_for_any_decoder(tiny_base, tmp_path):
    """The decoder's three channels differ; what is stored has one."""
    folder = tiny.image_folder(tmp_path / "grey", {"a": 3, "b": 3}, grey=True)
    finetune(
        Recipe(dataset=str(folder), base=str(tiny_base), train_batch_size=2, max_train_steps=1),
        tmp_path / "checkpoint",
    )
    generate(Recipe(dataset=str(folder), images_per_class=1), tmp_path / "checkpoint", tmp_path / "out")
    for image in datasets.load_dataset(str(tmp_path / "out"), split="train")["image"]:
        red, green, blue = to_rgb(image).split()
        assert image.mode == "L" and red.tobytes() == green.tobytes() == blue.tobytes()
