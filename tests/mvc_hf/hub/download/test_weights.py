import pytest

from mvc_hf.errors import ModelError
from mvc_hf.hub.download.weights import choose, patterns, variant_of, variants_of

STEM = "diffusion_pytorch_model"


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        (f"{STEM}.safetensors", ""),
        (f"{STEM}-00001-of-00002.safetensors", ""),
        (f"{STEM}.fp16.safetensors", "fp16"),
        (f"{STEM}.fp16-00001-of-00002.safetensors", "fp16"),
        (f"{STEM}-00001-of-00002.fp16.safetensors", "fp16"),
        (f"{STEM}.non_ema.safetensors", "non_ema"),
        (f"{STEM}.bin", None),
        (f"{STEM}.fp16.bin", None),
        (f"{STEM}.safetensors.index.json", None),
        ("model.safetensors", None),
        (f"my_{STEM}.safetensors", None),
    ],
)
def test_what_counts_as_weights(name, variant):
    assert variant_of(name, STEM) == variant


@pytest.mark.parametrize(
    ("files", "asked", "chosen"),
    [
        (["m.safetensors", "m.fp16.safetensors"], None, None),
        (["m.safetensors", "m.fp16.safetensors"], "fp16", "fp16"),
        (["m.fp16.safetensors", "m.bin"], None, "fp16"),
        (["m.safetensors"], "fp16", None),
        (["m.bf16.safetensors", "m.fp16.safetensors"], "bf16", "bf16"),
    ],
)
def test_the_variant_that_is_there(files, asked, chosen):
    assert choose(files, "m", "org/name", "unet", asked) == chosen


@pytest.mark.parametrize(
    ("files", "asked", "says"),
    [
        ([], None, "org/name has no safetensors in unet/; pickle files are not loaded"),
        (["m.bin"], None, "org/name has no safetensors in unet/; pickle files are not loaded"),
        (["other.safetensors"], None, "org/name has 'other.safetensors' in unet/, but no m.safetensors"),
        (["m.fp16.safetensors"], "bf16", "no weights of --variant bf16 in unet/; it has fp16"),
        (
            ["m.a.safetensors", "m.b.safetensors"],
            None,
            r"several variants in unet/ \(a, b\): choose one with --variant",
        ),
    ],
)
def test_weights_that_cannot_be_chosen(files, asked, says):
    with pytest.raises(ModelError, match=says):
        choose(files, "m", "org/name", "unet", asked)


def test_a_variant_that_no_part_has():
    names = ["text_encoder/model.safetensors", f"vae/{STEM}.safetensors", f"unet/{STEM}.safetensors"]
    assert variants_of(names, "org/name") == {"text_encoder": None, "vae": None, "unet": None}
    with pytest.raises(ModelError, match="org/name has no weights of --variant fp16: leave it out"):
        variants_of(names, "org/name", "fp16")


def test_patterns_match_their_own_variant_alone():
    from fnmatch import fnmatch

    names = [f"{STEM}{v}{end}.safetensors" for v in ("", ".fp16") for end in ("", "-00001-of-00002")]
    names.append(f"{STEM}-00001-of-00002.fp16.safetensors")
    for variant in (None, "fp16"):
        matching = [name for name in names if any(fnmatch(name, pattern) for pattern in patterns(STEM, variant))]
        assert matching == [name for name in names if variant_of(name, STEM) == (variant or "")]
