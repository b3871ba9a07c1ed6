import re
from pathlib import Path

from mvc_hf.assessment.definitions import CLASS_FIGURES, FIGURES, definitions, main_figures


def test_every_figure_has_a_name_and_a_hint(found):
    known = {name for name, *_ in FIGURES}
    assert set(found.figures["overall"]) <= known
    assert {n for c in found.figures["classes"] for n, v in c.items() if isinstance(v, dict)} <= {
        name for name, *_ in CLASS_FIGURES
    } | {"frechet_distance"}


def test_the_main_figures_as_words(found):
    rows = {row["name"]: row for row in main_figures(found.figures)}
    assert rows["label agreement, %"]["synthetic"].startswith("98.9 (94.0 to 99.8")
    assert rows["look like copies, %"] == {
        "name": "look like copies, %",
        "synthetic": "1.11 (0.196 to 6.03)",
        "reference": "–",
    }


def test_nothing_is_called_what_it_is_not(found):
    """FID and KID are names of distances in Inception's features; and nobody can promise privacy."""
    text = " ".join(t for _, t in definitions(found.figures)) + str(found)
    assert "is not comparable with FID" in text and "would be FID" in text and "is not comparable with KID" in text
    assert "nothing here says that a split is private" in text
    assert found.figures["extractor"] in text and found.figures["judge"] in text


def test_why_there_is_no_frechet_distance(found, monkeypatch):
    import mvc_hf.assessment.fidelity as fidelity

    monkeypatch.setattr(fidelity, "has_torchmetrics", lambda: True)
    assert "it needs more than 96 images" in dict(definitions(found.figures))["Fréchet distance"]
    monkeypatch.setattr(fidelity, "has_torchmetrics", lambda: False)
    assert "pip install 'mvc_hf[report]'" in dict(definitions(found.figures))["Fréchet distance"]


def test_the_docs_name_every_figure_and_every_column():
    from mvc_hf.augment.scores import COLUMNS

    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"`{column}`" in text, column
    for _, title, *_ in FIGURES:
        assert re.sub(r" of the .*|,.*| × .*", "", title) in text, title
