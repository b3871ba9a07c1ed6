"""Our sampler and surgery against diffusers' own pipeline."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from mvc_hf.diffusion.model import load_base
from mvc_hf.diffusion.sampling import Guidance, make_scheduler, sample
from mvc_hf.diffusion.saving import save_pipeline
from mvc_hf.diffusion.unet import check_trainable, widen_unet
from mvc_hf.errors import ModelError, RecipeError
from mvc_hf.hub.ids import is_hub_id


@pytest.fixture(scope="module")
def pix2pix(tmp_path_factory):
    """An 8-channel pipeline whose weights all matter: random also where a fresh one has zeros."""
    folder = tiny.tiny_base(tmp_path_factory.mktemp("pix2pix") / "base", in_channels=8, seed=1)
    base = load_base(str(folder))
    return folder, base


def inputs(batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    return random(batch, 4, 8, 8), random(batch, 77, 32), random(77, 32), random(batch, 4, 8, 8)


def ours(base, scheduler, guidance, steps=5, generators=None):
    latents, text, null, image = inputs()
    z = sample(
        base.unet, scheduler, latents, text, null, image, guidance, num_inference_steps=steps, generators=generators
    )
    return base.decode_latents(z).numpy()


def theirs(folder, scheduler, text_scale, image_scale, steps=5):
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.scheduler = scheduler
    pipeline.set_progress_bar_config(disable=True)
    latents, text, null, image = inputs()
    images = pipeline(
        image=image, latents=latents, prompt_embeds=text, negative_prompt_embeds=null.expand_as(text),
        num_inference_steps=steps, guidance_scale=text_scale, image_guidance_scale=image_scale, output_type="np",
    ).images  # fmt: skip
    return (images * 255).round().astype(np.uint8)


def assert_same(a, b):
    assert a.std() > 10  # a real picture, not a constant one
    assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
@pytest.mark.parametrize("scales", [(7.5, None), (7.5, 7.5), (7.5, 1.5), (3.0, 2.0), (1.0, 1.0), (1.0, None)])
def test_same_image_as_the_diffusers_pipeline(pix2pix, name, scales):
    folder, base = pix2pix
    text, image = scales
    scheduler = lambda: make_scheduler(name, base.scheduler.config)  # noqa: E731
    assert_same(
        ours(base, scheduler(), Guidance(text, image)),
        theirs(folder, scheduler(), text, image if image is not None else text),
    )


def test_guidance_takes_no_more_passes_than_the_scales_need():
    assert len(Guidance(7.5).passes) == 2
    assert len(Guidance(7.5, 1.5).passes) == 3
    assert len(Guidance(7.5, 7.5).passes) == 2  # the three-way rule with equal scales is Eq. 6
    assert len(Guidance(1.0).passes) == len(Guidance(1.0, 1.0).passes) == 1


def test_three_way_rule_with_equal_scales_is_eq_6():
    u, i, c = torch.randn(3, 2, 4, 8, 8, dtype=torch.float64)
    w = 7.5
    three_way = u + w * (i - u) + w * (c - i)
    torch.testing.assert_close(Guidance(w).combine((u, c)), three_way)
    torch.testing.assert_close(Guidance(w, 1.5).combine((u, i, c)), u + 1.5 * (i - u) + w * (c - i))


def test_rows_of_a_batch_do_not_see_each_other(pix2pix):
    _, base = pix2pix
    scheduler = make_scheduler("DPMSolverMultistepScheduler", base.scheduler.config)
    latents, text, null, image = inputs()
    run = lambda rows: sample(  # noqa: E731
        base.unet, scheduler, latents[rows], text[rows], null, image[rows], Guidance(3.0), num_inference_steps=4
    )
    torch.testing.assert_close(run([0, 1, 2])[1:2], run([1]), atol=1e-4, rtol=1e-4)


def test_schedulers_that_add_noise_take_a_generator_for_each_row(pix2pix):
    _, base = pix2pix
    scheduler = make_scheduler("EulerAncestralDiscreteScheduler", base.scheduler.config)
    seeds = lambda: [torch.Generator().manual_seed(i) for i in range(3)]  # noqa: E731
    first, second = (ours(base, scheduler, Guidance(2.0), generators=seeds()) for _ in range(2))
    assert (first == second).all()


def test_widened_unet_starts_as_the_original(tiny_base):
    base = load_base(str(tiny_base))
    z, text, _, image = inputs()
    t = torch.tensor([5, 500, 999])
    before = base.unet(z, t, text).sample
    wide = widen_unet(base.unet)
    assert wide.config.in_channels == wide.conv_in.in_channels == 8
    after = wide(torch.cat([z, 100 * image], 1), t, text).sample
    torch.testing.assert_close(after, before)
    assert (wide.conv_in.weight[:, 4:] == 0).all()


def test_eight_channel_base_keeps_its_channels(pix2pix):
    _, base = pix2pix
    before = base.unet.conv_in.weight.clone()
    assert widen_unet(base.unet) is base.unet
    assert (base.unet.conv_in.weight == before).all()
    assert before[:, 4:].abs().sum() > 0


def test_saved_pipeline_is_loaded_by_plain_diffusers_and_makes_the_same_image(tiny_base, tmp_path):
    base = load_base(str(tiny_base))
    torch.manual_seed(0)
    widen_unet(base.unet)
    torch.nn.init.normal_(base.unet.conv_in.weight)
    save_pipeline(base, base.unet, tmp_path / "saved")
    scheduler = lambda: make_scheduler("DPMSolverMultistepScheduler", base.scheduler.config)  # noqa: E731
    assert_same(ours(base, scheduler(), Guidance(7.5, 1.5)), theirs(tmp_path / "saved", scheduler(), 7.5, 1.5))


@pytest.mark.parametrize(("channels", "widened"), [(12, 24), (24, 24)])
def test_latents_of_any_number_of_channels(tmp_path, channels, widened):
    """Nothing but the autoencoder says how many: from the latents of an image to a pipeline of plain diffusers."""
    folder = tiny.tiny_base(tmp_path / "base", in_channels=channels, latent_channels=12)
    base = load_base(str(folder))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    saved = load_base(str(tmp_path / "saved"))
    assert saved.unet.config.in_channels == widened
    mean, _ = saved.encode_images(torch.zeros(1, 3, 16, 16))
    assert mean.shape == (1, 12, 8, 8)
    text = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 12, 8, 8, generator=torch.Generator().manual_seed(1))
    scheduler = make_scheduler("DDIMScheduler", saved.scheduler.config)
    found = sample(saved.unet, scheduler, latents, text, text[0], mean, Guidance(1.0), num_inference_steps=2)
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "saved")
    pipeline.scheduler = make_scheduler("DDIMScheduler", saved.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        image=torch.full((1, 3, 16, 16), 0.5), latents=latents, prompt_embeds=text, num_inference_steps=2,
        guidance_scale=1.0, image_guidance_scale=1.0, output_type="latent",
    ).images  # fmt: skip
    assert torch.allclose(found, theirs, atol=1e-4)


def test_saved_pipeline_has_no_pickle_and_no_local_path(tiny_base, tmp_path):
    base = load_base(str(tiny_base))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    files = [p for p in (tmp_path / "saved").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".safetensors"}
    for path in files:
        assert str(tiny_base.parent).encode() not in path.read_bytes(), path
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionInstructPix2PixPipeline"
    assert index["scheduler"][1] == "PNDMScheduler"  # the base's own


def test_a_base_that_predicts_something_else_is_refused():
    scheduler = diffusers.DDPMScheduler(prediction_type="sample")
    with pytest.raises(ModelError, match="'sample'"):
        check_trainable(scheduler)


def test_latents_are_never_clipped():
    config = diffusers.DDIMScheduler(clip_sample=True).config
    assert not make_scheduler("DDIMScheduler", config).config.clip_sample


@pytest.mark.parametrize("resolution", [30, 15, 2])
def test_resolution_that_cannot_be_halved(tiny_base, resolution):
    base = load_base(str(tiny_base))
    assert base.resolution == 16
    with pytest.raises(RecipeError, match=rf"--resolution {resolution} .* multiple of 4"):
        base.check_resolution(resolution)


def test_unknown_scheduler():
    with pytest.raises(RecipeError, match="'Sampler9000'"):
        make_scheduler("Sampler9000", {})


def broken(tiny_base, folder, change):
    shutil.copytree(tiny_base, folder)
    change(folder)
    return str(folder)


def change_index(folder):
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))


def pickle_only(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def cut_short(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "model_index.json").unlink(), "no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{"), "not valid JSON"),
        (change_index, "is a FluxPipeline"),
        (pickle_only, "no safetensors in unet/; pickle files are not loaded"),
        (cut_short, "cannot load"),
    ],
)
def test_what_is_not_stable_diffusion(tiny_base, tmp_path, change, says):
    with pytest.raises(ModelError, match=says) as error:
        load_base(broken(tiny_base, tmp_path / "model", change))
    assert "\n" not in str(error.value)


def test_model_that_is_not_there():
    with pytest.raises(ModelError, match=r"no model at '\./nowhere'"):
        load_base("./nowhere")
    with pytest.raises(ModelError, match="cannot get no/where from the Hub"):
        load_base("no/where")


def test_hub_ids():
    assert is_hub_id("org/name") and is_hub_id("org/name@main")
    assert not any(map(is_hub_id, ["name", "./name", "../name", "a/b/c", "/a", "org/"]))


def as_variant(folder, variant, *parts, keep=False):
    """The weights of some parts (of all, if none is named) under the name of a variant."""
    for part in parts or ("text_encoder", "vae", "unet"):
        for file in (folder / part).glob("*el.safetensors"):
            (shutil.copy if keep else shutil.move)(file, file.with_suffix(f".{variant}.safetensors"))


@pytest.mark.parametrize("parts", [(), ("unet",), ("text_encoder", "vae")])
def test_weights_of_a_variant_alone_are_taken(tiny_base, tmp_path, parts):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "fp16", *parts)
    base, plain = load_base(str(folder)), load_base(str(tiny_base))
    assert torch.equal(base.unet.conv_in.weight, plain.unet.conv_in.weight)
    assert base.encoder_fingerprint("vae") == plain.encoder_fingerprint("vae")
    assert load_base(str(folder), "fp16").fingerprint() == base.fingerprint()
    with pytest.raises(ModelError, match="--variant bf16"):
        load_base(str(folder), "bf16")


def test_weights_in_pieces_are_taken_of_a_variant_too(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    for part in ("unet", "text_encoder"):
        (next((folder / part).glob("*.safetensors"))).unlink()
    base = load_base(str(tiny_base))
    base.unet.save_pretrained(folder / "unet", variant="fp16", max_shard_size="100KB")
    base.text_encoder.save_pretrained(folder / "text_encoder", variant="fp16", max_shard_size="1MB")
    assert len(list((folder / "unet").glob("*fp16*.safetensors"))) > 1
    assert torch.equal(load_base(str(folder)).unet.conv_in.weight, base.unet.conv_in.weight)


def test_the_fingerprint_is_of_the_weights_that_are_loaded(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "ema", "unet", keep=True)
    file = folder / "unet" / "diffusion_pytorch_model.ema.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)
    plain, ema = load_base(str(folder)), load_base(str(folder), "ema")
    assert torch.equal(ema.unet.conv_in.weight, plain.unet.conv_in.weight + 1)
    assert plain.fingerprint() == load_base(str(tiny_base)).fingerprint() != ema.fingerprint()


def test_several_variants_have_to_be_chosen_from(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "bf16", "unet", keep=True)
    as_variant(folder, "fp16", "unet")
    with pytest.raises(ModelError, match=r"several variants in unet/ \(bf16, fp16\): choose one with --variant"):
        load_base(str(folder))
    load_base(str(folder), "bf16")


def test_a_single_file_is_told_how_to_become_a_folder(tmp_path):
    (tmp_path / "dreamy v2.safetensors").write_bytes(b"x")
    with pytest.raises(
        ModelError, match=r"is a single file: .*from_single_file\('.*dreamy v2.safetensors'\)"
    ) as caught:
        load_base(str(tmp_path / "dreamy v2.safetensors"))
    assert "\n" not in str(caught.value)
    (tmp_path / "old.ckpt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"is a file, not a model in diffusers' layout.*pickles are not loaded"):
        load_base(str(tmp_path / "old.ckpt"))


def test_a_base_whose_scheduler_cannot_be_made_here_is_saved_with_another(tiny_base, tmp_path, monkeypatch):
    """LMS without scipy: found after all training, once."""
    from diffusers.utils.dummy_torch_and_scipy_objects import LMSDiscreteScheduler as stand_in

    folder = shutil.copytree(tiny_base, tmp_path / "base")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": "LMSDiscreteScheduler"}))
    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", stand_in)
    base = load_base(str(folder))
    save_pipeline(base, widen_unet(base.unet), tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "model_index.json").read_text())["scheduler"][1] == "DDIMScheduler"
