import json
import math
import shutil

import datasets
import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from sources import hub_parquet

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.diffusion.model import StableDiffusion
from mvc_hf.errors import DataError, DivergedError, ModelError, NotEnoughMemory, OutputError, RecipeError
from mvc_hf.generation import generate as module
from mvc_hf.generation.counts import addresses
from mvc_hf.generation.generate import generate
from mvc_hf.generation.inputs import source_of
from mvc_hf.generation.selection import ShardRange
from mvc_hf.inspection.estimate import plan
from mvc_hf.inspection.preview import preview
from mvc_hf.scaling.join import join
from mvc_hf.training.finetune import finetune


@pytest.fixture
def recipe(photos):
    return Recipe(dataset=str(photos), images_per_class=4, num_inference_steps=3, batch_size=4, shard_size=5)


def change(recipe, **settings):
    return Recipe(**(recipe.to_dict() | settings))


def rows(folder):
    found = datasets.load_dataset(str(folder), split="train").cast_column("image", datasets.Image(decode=False))
    return [{**row, "image": row["image"]["bytes"]} for row in found]


def images(folder):
    found = datasets.load_dataset(str(folder), split="train")
    return np.stack([np.asarray(image, np.int64) for image in found["image"]])


def test_rows_say_how_they_were_made(recipe, checkpoint, photos, tmp_path):
    generate(recipe, checkpoint, tmp_path / "out")
    found = rows(tmp_path / "out")
    captions = load_captions(checkpoint, ("apple", "pear", "plum"))
    paths = sorted(p for p in photos.rglob("*.png"))
    assert [(row["label"], row["index"]) for row in found] == [(i % 3, i // 3) for i in range(12)]
    for row in found:
        assert row["prompt"] == captions.captions[row["mix"]["base"]]
        assert captions.labels[row["mix"]["base"]] == row["label"]
        sources = [c["source"] for c in row["mix"]["coarse"] + row["mix"]["fine"]]
        assert len(sources) == 10 and row["mix"]["base"] not in sources
        assert (captions.labels[sources] == row["label"]).all()
        assert paths[row["condition"]].parent.name == ("apple", "pear", "plum")[row["label"]]
        assert row["method"] == "mvc" and row["seed"] == 0
    assert images(tmp_path / "out").shape == (12, 16, 16, 3)


def test_killed_run_ends_with_the_same_data_set(recipe, checkpoint, tmp_path, monkeypatch):
    generate(recipe, checkpoint, tmp_path / "whole")
    make, calls = module.Generator.rows, []

    def dies(self, *address):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return make(self, *address)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Generator, "rows", dies)
        generate(recipe, checkpoint, tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "data").glob("train-*"))) == 1
    again = []
    monkeypatch.setattr(module.Generator, "rows", lambda self, *a: again.append(len(a[0])) or make(self, *a))
    generate(recipe, checkpoint, tmp_path / "killed")
    assert sum(again) == 3  # the first shard was whole, and the batch of four of the second one is kept, too
    assert rows(tmp_path / "whole") == rows(tmp_path / "killed")  # bit for bit


def test_a_row_depends_on_its_address_alone(recipe, checkpoint, tmp_path):
    """Other batches and shards, more images a class: the same rows, up to rounding in the pixels."""
    generate(recipe, checkpoint, tmp_path / "a")
    generate(change(recipe, batch_size=7, shard_size=100, images_per_class=6), checkpoint, tmp_path / "b")
    for a, b in zip(rows(tmp_path / "a"), rows(tmp_path / "b")):
        assert {k: v for k, v in a.items() if k != "image"} == {k: v for k, v in b.items() if k != "image"}
    assert np.abs(images(tmp_path / "a") - images(tmp_path / "b")[:12]).max() <= 1


def test_other_seed_other_images(recipe, checkpoint, tmp_path):
    generate(recipe, checkpoint, tmp_path / "a")
    generate(change(recipe, seed=1), checkpoint, tmp_path / "b")
    assert not {r["image"] for r in rows(tmp_path / "a")} & {r["image"] for r in rows(tmp_path / "b")}
    assert [r["mix"] for r in rows(tmp_path / "a")] != [r["mix"] for r in rows(tmp_path / "b")]


def test_every_shard_holds_every_class():
    labels, k = addresses(np.full(4, 3))
    assert labels.tolist() == [0, 1, 2, 3] * 3
    assert k.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_the_pretrained_base_is_prompted_with_unmixed_captions(recipe, checkpoint, tiny_base, tmp_path):
    settings = {"method": "pretrained", "base": str(tiny_base)}
    generate(change(recipe, **settings), checkpoint, tmp_path / "out")
    for row in rows(tmp_path / "out"):
        assert row["condition"] is None and row["mix"]["coarse"] == row["mix"]["fine"] == []
        assert row["method"] == "pretrained" and row["prompt"].startswith("This is an image of")


def test_the_untouched_base_is_what_diffusers_text_to_image_gives(recipe, checkpoint, tiny_base, tmp_path):
    import diffusers
    import torch

    from mvc_hf.utils.rng import Stream, normal

    settings = {"method": "pretrained", "base": str(tiny_base), "images_per_class": 1, "num_inference_steps": 5}
    generate(change(recipe, **settings), checkpoint, tmp_path / "out")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tiny_base, dtype=torch.float32)
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        [row["prompt"] for row in rows(tmp_path / "out")], num_inference_steps=5, guidance_scale=7.5,
        latents=torch.from_numpy(normal(0, Stream.NOISE, np.arange(3), np.zeros(3, int), (4, 8, 8))),
        output_type="np",
    ).images  # fmt: skip
    # Ours are mixed and stored as float16 embeddings: a rounding apart.
    assert np.abs(images(tmp_path / "out") - (theirs * 255).round()).mean() < 1


@pytest.mark.parametrize(
    "settings",
    [{"image_size": 24}, {"image_guidance_scale": 1.5}, {"guidance_scale": 1.0}, {"guidance_stop": 0.5}],
)
def test_settings_that_change_the_images(recipe, checkpoint, tmp_path, settings):
    generate(recipe, checkpoint, tmp_path / "a")
    generate(change(recipe, **settings), checkpoint, tmp_path / "b")
    a, b = images(tmp_path / "a"), images(tmp_path / "b")
    assert b.shape[1] == settings.get("image_size", 16)
    assert a.shape != b.shape or np.abs(a - b).max() > 1


def test_the_interval_of_guidance_is_on_record_where_it_is_not_the_whole(recipe, checkpoint, tmp_path):
    generate(recipe, checkpoint, tmp_path / "whole")
    generate(change(recipe, guidance_start=0.4), checkpoint, tmp_path / "part")
    of = {out: json.loads((tmp_path / out / "manifest.json").read_text())["made_from"] for out in ("whole", "part")}
    assert "guidance_start" not in of["whole"] and of["part"] == of["whole"] | {"guidance_start": 0.4}
    with pytest.raises(OutputError, match=r"these differ: guidance_start \(None → 0.4\)"):
        generate(change(recipe, guidance_start=0.4), checkpoint, tmp_path / "whole")


@pytest.mark.parametrize("size", [1, 3, 100])
def test_decoding_in_a_batch_size_of_its_own(recipe, checkpoint, tmp_path, monkeypatch, size):
    generate(recipe, checkpoint, tmp_path / "a")
    decode, sizes = StableDiffusion.decode_latents, []
    monkeypatch.setattr("mvc_hf.diffusion.model.try_out", lambda *_: None)
    monkeypatch.setattr(StableDiffusion, "decode_latents", lambda self, z: sizes.append(len(z)) or decode(self, z))
    generate(change(recipe, decode_batch_size=size), checkpoint, tmp_path / "b")
    assert max(sizes) == min(size, 4) and sum(sizes) == 12
    assert np.abs(images(tmp_path / "a") - images(tmp_path / "b")).max() <= 1
    generate(change(recipe, decode_batch_size=2), checkpoint, tmp_path / "a")  # it is no other data set


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"])
def test_any_scheduler_and_the_same_images_again(recipe, checkpoint, tmp_path, name):
    for out in ("a", "b"):
        generate(change(recipe, scheduler=name), checkpoint, tmp_path / out)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_half_precision_gives_nearly_the_same_images(recipe, checkpoint, tmp_path):
    generate(recipe, checkpoint, tmp_path / "a")
    generate(change(recipe, mixed_precision="bf16"), checkpoint, tmp_path / "b")
    difference = np.abs(images(tmp_path / "a") - images(tmp_path / "b"))
    assert 0 < difference.mean() < 5


def test_grey_sources_give_grey_images_of_their_size(tiny_base, tmp_path):
    photos = tiny.image_folder(tmp_path / "grey", {"a": 5, "b": 5}, size=20, grey=True)
    settings = {"train_batch_size": 4, "max_train_steps": 1}
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recipe = Recipe(dataset=str(photos), images_per_class=2, num_inference_steps=2)
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert {(image.mode, image.size) for image in found["image"]} == {("L", (20, 20))}


def test_folder_of_another_recipe_is_refused_by_field(recipe, checkpoint, tmp_path):
    generate(recipe, checkpoint, tmp_path / "out")
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 5\)"):
        generate(change(recipe, fine=5), checkpoint, tmp_path / "out")
    with pytest.raises(OutputError, match=r"of 4 images of 'apple', and this asks for 3: .* never taken away"):
        generate(change(recipe, images_per_class=3), checkpoint, tmp_path / "out")


@pytest.mark.parametrize("more", [{"images_per_class": 7}, {"images_per_class": None, "per_image": 1}])
def test_more_images_are_added_and_what_is_there_keeps_its_bytes(recipe, checkpoint, tmp_path, more, monkeypatch):
    """Also where the addition is killed; the photos are 12, 12 and 3, so that there are 3 or more of each class."""
    recipe = change(recipe, images_per_class=3)
    generate(recipe, checkpoint, tmp_path / "out")
    before, first = rows(tmp_path / "out"), (tmp_path / "out/data/train-00000-of-00002.parquet").read_bytes()
    make, calls = module.Generator.rows, []

    def dies(self, *address):
        calls.append(len(address[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(self, *address)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Generator, "rows", dies)
        generate(change(recipe, **more), checkpoint, tmp_path / "out")
    done, found = sum(calls[:2]), []
    monkeypatch.setattr(module.Generator, "rows", lambda self, *a: found.append(len(a[0])) or make(self, *a))
    generate(change(recipe, **more), checkpoint, tmp_path / "out")
    after = rows(tmp_path / "out")
    assert after[:9] == before  # bit for bit, and none of them was made again
    assert sum(found) == len(after) - 9 - done
    wanted = [7, 7, 7] if "per_image" not in more else [12, 12, 3]
    assert sorted((r["label"], r["index"]) for r in after) == [(y, k) for y, n in enumerate(wanted) for k in range(n)]
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert [f.name for f in files] == [
        f"train-{i:05d}-of-{len(files):05d}.parquet" for i in range(-(-len(after) // 5))
    ]
    assert files[0].read_bytes() == first
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["complete"] and manifest["rows"] == len(after) and manifest["images_of_class"] == wanted
    if "per_image" not in more:  # equal counts: the order of a data set made at once, too
        generate(change(recipe, **more), checkpoint, tmp_path / "whole")
        plain = [[{k: v for k, v in r.items() if k != "image"} for r in rows(tmp_path / o)] for o in ("out", "whole")]
        assert plain[0] == plain[1]
        assert np.abs(images(tmp_path / "out") - images(tmp_path / "whole")).max() <= 1


def test_a_checkpoint_knows_its_classes_by_either_spelling(recipe, tiny_base, tmp_path):
    """It was trained on a Mac, and its images were copied to a server."""
    composed, apart = (
        tiny.image_folder(tmp_path / n, {c: 2, "tea": 2}) for n, c in (("a", "caf\u00e9"), ("b", "cafe\u0301"))
    )
    finetune(change(recipe, dataset=str(apart), base=str(tiny_base), max_train_steps=1), tmp_path / "checkpoint")
    made = generate(
        change(recipe, dataset=str(composed), images_per_class=1), tmp_path / "checkpoint", tmp_path / "out"
    )
    assert made.class_names == ("cafe\u0301", "tea")  # as it was trained
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert found.features["label"].names == ["cafe\u0301", "tea"]
    notes = CheckpointMetadata.load(tmp_path / "checkpoint")
    with pytest.raises(DataError, match="it has 'coffee' besides and it lacks 'caf\u00e9'"):
        source_of(change(recipe, dataset=str(tiny.image_folder(tmp_path / "c", {"coffee": 1, "tea": 1}))), notes)
    with pytest.raises(DataError, match="in another order, 'tea' is where the checkpoint has 'caf\u00e9'"):
        source_of(
            change(recipe, dataset=str(hub_parquet(tmp_path / "x.parquet", [0, 1], ["tea", "caf\u00e9"]))), notes
        )


def test_names_without_images_stay_without(recipe, tiny_base, tmp_path, capsys):
    """From captions to pictures, for a slice of a sorted set: nothing asks for what is not there."""
    names = ["a", "b", "c", "d"]
    data = str(hub_parquet(tmp_path / "x.parquet", [1, 1, 1, 3, 3, 0], names))
    few = change(recipe, dataset=data, split="train[:5]", base=str(tiny_base), max_train_steps=1, image_size=16)
    finetune(few, tmp_path / "checkpoint")
    assert "2 of 4 classes without any image: 'a', 'c'; they get none" in capsys.readouterr().err
    notes = CheckpointMetadata.load(tmp_path / "checkpoint")
    assert notes.class_names == tuple(names) and notes.images_of_class == (0, 3, 0, 2)
    assert (load_captions(tmp_path / "checkpoint", notes.class_names).pool_size > 0).tolist() == [False, True] * 2
    for i, (settings, counts) in enumerate([
        ({"images_per_class": 2}, [0, 2, 0, 2]),
        ({"images_per_class": None, "total": 5, "balance": True}, [0, 2, 0, 3]),
        ({"images_per_class": None, "per_image": 1}, [0, 3, 0, 2]),
        ({"method": "pretrained", "images_per_class": 1}, [0, 1, 0, 1]),
    ]):  # fmt: skip
        made = generate(change(few, **settings), tmp_path / "checkpoint", tmp_path / f"out{i}")
        assert made.images_of_class == counts
        assert "2 of 4 classes get no synthetic image: 'a', 'c'" in capsys.readouterr().err
        assert generate(change(few, **settings), tmp_path / "checkpoint", tmp_path / f"out{i}").missing() == []
    found = datasets.load_dataset(str(tmp_path / "out0"), split="train")
    assert sorted(found["label"]) == [1, 1, 3, 3] and found.features["label"].names == names
    looked = preview(few, tmp_path / "checkpoint", classes=("4",), rows=1, pretrained=False)
    assert [row.class_name for row in looked.rows] == ["b", "d"]
    assert "4 images (mvc)" in str(plan(RunRecipe(change(few, images_per_class=2), str(tmp_path / "planned"))))


def test_folder_without_notes(recipe, tiny_base, tmp_path):
    with pytest.raises(ModelError, match=r"has no mvc\.json"):
        generate(recipe, tiny_base, tmp_path / "out")


def test_nothing_of_this_machine_is_written(recipe, checkpoint, photos, tmp_path):
    generate(recipe, checkpoint, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            for secret in (photos, checkpoint, tmp_path):
                assert str(secret).encode() not in path.read_bytes(), path


def test_what_fine_tuning_encoded_is_not_encoded_again(photos, tiny_base, tmp_path, monkeypatch):
    """The checkpoint holds the encoders of its base, in files that differ."""
    checkpoint = tmp_path / "checkpoint"
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=1), checkpoint)
    base = (tiny_base / "vae" / "config.json").read_bytes()
    assert base != (checkpoint / "vae" / "config.json").read_bytes()

    def again(self, *args):
        raise AssertionError("encoded again")

    monkeypatch.setattr("mvc_hf.diffusion.model.try_out", lambda *_: None)  # it encodes a little of its own
    monkeypatch.setattr(StableDiffusion, "encode_images", again)
    monkeypatch.setattr(StableDiffusion, "encode_text", again)
    recipe = Recipe(dataset=str(photos), images_per_class=1, num_inference_steps=1)
    assert generate(recipe, checkpoint, tmp_path / "made").rows == 3


# --- numbers that are not finite, and more than there is room for


def without_digests(folder):
    """As a version that recorded none left it, or whoever changed the checkpoint on purpose."""
    notes = json.loads((folder / "mvc.json").read_text())
    (folder / "mvc.json").write_text(json.dumps({k: v for k, v in notes.items() if k not in ("sha256", "seal")}))
    return folder


def diverging(checkpoint, folder):
    """A sound checkpoint with a noise schedule that ends without any signal, where ε says nothing of the picture."""
    shutil.copytree(checkpoint, folder)
    file = folder / "scheduler" / "scheduler_config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}))
    return without_digests(folder)


def test_a_scheduler_that_diverges_writes_no_black_rows(recipe, checkpoint, tmp_path, monkeypatch):
    folder, recipe = diverging(checkpoint, tmp_path / "checkpoint"), change(recipe, scheduler="DDIMScheduler")
    with pytest.raises(
        RecipeError, match=r"not finite from denoising step 1 of 3 on.*change --scheduler DDIMScheduler"
    ):
        generate(recipe, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("mvc_hf.diffusion.sampling._walk_through", lambda *_: None)  # as where only the model shows it
    with pytest.raises(DivergedError, match=r"not finite from denoising step 1 of 3 on.*no such row is written"):
        generate(recipe, folder, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))
    assert generate(change(recipe, scheduler="EulerDiscreteScheduler"), folder, tmp_path / "other").rows == 12


def test_a_model_that_breaks_on_the_way_is_named_with_its_step(recipe, checkpoint, tmp_path, monkeypatch):
    calls = []

    def breaks(self, sample, t, *args, forward=UNet2DConditionModel.forward, **options):
        calls.append(t)
        found = forward(self, sample, t, *args, **options)
        return (found[0] * (math.nan if len(calls) == 5 else 1),)  # the first call is the try-out of the base

    monkeypatch.setattr(UNet2DConditionModel, "forward", breaks)
    with pytest.raises(DivergedError, match=r"from denoising step 1 of 3 on.*or --guidance-scale 7.5"):
        generate(recipe, checkpoint, tmp_path / "out")  # the second batch
    assert not list((tmp_path / "out").rglob("*.parquet"))
    monkeypatch.undo()
    assert generate(recipe, checkpoint, tmp_path / "out").rows == 12  # what was sound is kept, and gone on from


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_pixels_that_are_not_finite_are_no_row(recipe, checkpoint, tmp_path, monkeypatch, precision):
    calls = []

    def breaks(self, *args, decode=AutoencoderKL.decode, **options):
        calls.append(1)
        found = decode(self, *args, **options)
        found.sample[0, 0, 0, 0] = math.nan if len(calls) > 1 else 0
        return found

    monkeypatch.setattr(AutoencoderKL, "decode", breaks)
    says = "weights are damaged" if precision == "no" else "does not bear bfloat16: take --mixed-precision no"
    with pytest.raises(DivergedError, match=f"pixels that are not finite: no such row is written; .*{says}"):
        generate(change(recipe, mixed_precision=precision), checkpoint, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_weights_that_are_not_finite_generate_nothing(recipe, checkpoint, tmp_path):
    """A checkpoint of a version that did not look."""
    folder = without_digests(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"][0, 0, 0, 0] = math.nan
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"1 weights of .*unet are not finite"):
        generate(recipe, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_does_not_say_its_length(recipe, checkpoint, tmp_path):
    folder = without_digests(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    file = folder / "tokenizer" / "tokenizer_config.json"
    values = json.loads(file.read_text())
    values.pop("model_max_length")
    file.write_text(json.dumps(values))
    generate(recipe, folder, tmp_path / "out")
    generate(recipe, checkpoint, tmp_path / "other")
    assert rows(tmp_path / "out") == rows(tmp_path / "other")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 8192}, "--batch-size 8192 at a resolution of 16 takes at least"),
        ({"image_size": 8192}, r"--batch-size 4 of pictures of 8192×8192 \(--image-size\) takes at least"),
    ],
)
def test_what_no_memory_holds_is_refused_before_anything_is_encoded(
    recipe, checkpoint, tmp_path, monkeypatch, settings, says
):
    monkeypatch.setattr("mvc_hf.utils.memory._there_is", lambda device: 100 * 2**20)
    with pytest.raises(NotEnoughMemory, match=says):
        generate(change(recipe, **settings), checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_that_does_not_suffice_is_one_line(recipe, checkpoint, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("mvc_hf.generation.generator.sample", full)
    with pytest.raises(NotEnoughMemory, match=r"memory does not suffice to generate.*--batch-size"):
        generate(recipe, checkpoint, tmp_path / "out")


def files(folder):
    """Everything in a folder by name; the card names it, and so is left out."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if name != "README.md"}


def test_machines_that_share_nothing_make_a_range_each(recipe, checkpoint, tmp_path, monkeypatch):
    generate(recipe, checkpoint, tmp_path / "whole")
    for machine, shards in (("b", "1:"), ("a", "0")):
        monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "homes" / machine))
        generate(recipe, checkpoint, tmp_path / machine, shards=ShardRange(shards))
        assert not json.loads((tmp_path / machine / "manifest.json").read_text())["complete"]
    join([tmp_path / "b", tmp_path / "a"], tmp_path / "joined")
    assert files(tmp_path / "joined") == files(tmp_path / "whole")


def test_ranges_in_one_folder_in_any_order(recipe, checkpoint, tmp_path, capsys):
    generate(recipe, checkpoint, tmp_path / "whole")
    for shards in ("2", "0", "1"):
        assert not (tmp_path / "out" / "README.md").exists()
        generate(recipe, checkpoint, tmp_path / "out", shards=ShardRange(shards))
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert "2 of 3 shards are in" in capsys.readouterr().err
    (tmp_path / "out" / "data" / "train-00001-of-00003.parquet").unlink()
    generate(recipe, checkpoint, tmp_path / "out", shards=ShardRange("0,2"))
    assert not json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]
    generate(recipe, checkpoint, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_ranges_extend_a_finished_data_set(recipe, checkpoint, tmp_path):
    more = change(recipe, images_per_class=6)
    for out in ("at-once", "by-range"):
        generate(recipe, checkpoint, tmp_path / out)
    generate(more, checkpoint, tmp_path / "at-once")
    generate(more, checkpoint, tmp_path / "by-range", shards=ShardRange("3"))
    generate(more, checkpoint, tmp_path / "by-range", shards=ShardRange(":3"))
    assert files(tmp_path / "by-range") == files(tmp_path / "at-once")


def test_nobody_extends_what_others_write(recipe, checkpoint, tmp_path):
    def grows(split):
        with pytest.raises(OutputError, match="is being written by"):
            generate(change(recipe, images_per_class=6), checkpoint, tmp_path / "out", shards=ShardRange("3"))

    generate(recipe, checkpoint, tmp_path / "whole")
    generate(recipe, checkpoint, tmp_path / "out", shards=ShardRange("0"), watch=grows)
    generate(recipe, checkpoint, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_range_outside_of_the_shards(recipe, checkpoint, tmp_path):
    with pytest.raises(RecipeError, match="--shards is '2:4', and the data set has 3 shards: 0 to 2"):
        generate(recipe, checkpoint, tmp_path / "out", shards=ShardRange("2:4"))
    assert not (tmp_path / "out").exists()
