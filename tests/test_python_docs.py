"""docs/python.md: its snippets run as they stand, on a small folder and a tiny base."""

import re
from pathlib import Path

import pytest
import yaml
from hub_server import connect

TEXT = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SMALL = "train_batch_size=4, max_train_steps=2, num_inference_steps=2, shard_size=4"


def small(snippet: str, base: Path) -> str:
    """The snippet with a base that is there, and numbers that take no time."""
    smaller = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": str(base),
        'mixed_precision="fp16"': SMALL,
        "images_per_class=500": "images_per_class=2",
        'captions="blip2"': 'captions="template"',
        "AssessSettings(folds=5)": 'AssessSettings(features="classifier", folds=2, classifier_steps=2)',
        'Recipe(dataset="photos")': 'Recipe(dataset="photos", num_inference_steps=2)',
    }
    for large, little in smaller.items():
        snippet = snippet.replace(large, little)
    return snippet


def test_every_public_function_has_a_snippet():
    import mvc_hf

    for name in mvc_hf.__all__:
        assert re.search(rf"\b{name}\b", TEXT), f"docs/python.md says nothing of {name}"


def test_snippets_run_one_after_the_other(tmp_path, photos, tiny_base, local_hub, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "flowers.yaml").write_text(
        yaml.safe_dump(
            {"dataset": "photos", "base": str(tiny_base), "output": "flowers", "images_per_class": 1}
            | {"train_batch_size": 4, "max_train_steps": 1, "num_inference_steps": 1}
        )
    )
    connect(local_hub, tmp_path / "home", monkeypatch)
    assert len(SNIPPETS) == 9
    for snippet in SNIPPETS:
        snippet = small(snippet, tiny_base).replace("my-name/", "ann/")
        exec(compile(snippet, "docs/python.md", "exec"), {})
    said = capsys.readouterr().out
    assert "captions" in said and "flowers/synthetic: 3 images" in said and "ann/photos-synthetic" in said
    assert (tmp_path / "without-mixing.png").exists()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_each_snippet_imports_what_it_uses(snippet):
    compile(snippet, "docs/python.md", "exec")
    assert "import" in snippet
