"""The page: everything in it, nothing from outside, names harmless; opened in a real browser where one is there."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import judged
import numpy as np
import pytest
from PIL import Image

from mvc_hf.assessment.assess import assess
from mvc_hf.assessment.page import draw_sheet, page

HOSTILE = '<script>alert("x")</script>\u202e & "quoted"'
BROWSER = os.environ.get("MVC_HF_TEST_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "google-chrome"))), ""
)
needs_browser = pytest.mark.skipif(
    not BROWSER, reason="no chromium here: install it, or name it by MVC_HF_TEST_BROWSER"
)


class Reader(HTMLParser):
    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.unclosed = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unclosed.append(tag)

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def text(found):
    return page(found)


def test_it_is_well_formed_and_has_all_that_was_found(text, found):
    read = Reader(text)
    assert read.open == [] and read.unclosed == []
    words = " ".join(read.text)
    for finding in found.figures["findings"]:
        assert finding["text"] in words
    assert "1 that look like copies" in words and "row 5 (apple) and real row 12" in words
    assert re.search(r"row 7: labelled apple \(0\.00\), read as pear", words)
    assert all(f">{name}</h3>" in text for name in judged.NAMES)
    assert read.tags.count("table") == 4 and read.tags.count("svg") == 4
    assert read.tags.count("img") == len(
        [1 for tag, name, value in read.attributes if (tag, name) == ("img", "alt") and value]
    )
    assert 'class="flag"' in text


def test_nothing_is_loaded_and_no_script_runs(text):
    read = Reader(text)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(read.tags)
    for tag, name, value in read.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href"):
            assert value.startswith(("data:image/", "#")), value[:80]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in style and "width=device-width" in text


def test_names_from_outside_are_shown_and_do_nothing(tmp_path, settings):
    made, real = tmp_path / "<img src=x onerror=alert(1)>", tmp_path / "real"
    for place, seed in ((made, 1), (real, 2)):
        for label, name in enumerate((HOSTILE.replace("/", "|"), "{{ 7 * 7 }}")):
            (place / name).mkdir(parents=True)
            for i, image in enumerate(judged.pictures([label] * 9, seed)):
                Image.fromarray(image).save(place / name / f"{i}.png")
    text = page(assess(str(made), str(real), settings=settings))
    read = Reader(text)
    assert "script" not in read.tags and "\u202e" not in text and r"\u202e" in text
    assert "49" not in " ".join(t for t in read.text if "7 * 7" in t) and "{{ 7 * 7 }}" in text
    assert not [a for a in read.attributes if a[1].startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_pictures_of_large_images_are_small(found, text, tmp_path, settings):
    rng = np.random.default_rng(0)
    for place in ("made", "real"):
        (tmp_path / place / "apple").mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(
                tmp_path / place / "apple" / f"{i}.png"
            )
    large = page(assess(str(tmp_path / "made"), str(tmp_path / "real"), settings=settings))
    assert "data:image/jpeg" in large and len(large) < 1 << 20


def test_the_sheet_for_a_card_shows_synthetic_images_alone(found, monkeypatch):
    seen = []
    source = found.sets.real.source
    monkeypatch.setattr(type(source), "image", lambda self, row: seen.append(row))
    sheet = draw_sheet(found, classes=2, images=3)
    assert sheet.size[0] > 6 * 80 and seen == []


PROBE = """<script>addEventListener("load", () => {
  const page = document.documentElement, images = [...document.images];
  page.dataset.found = JSON.stringify({wide: page.scrollWidth, window: innerWidth, high: page.scrollHeight,
    broken: images.filter(image => !image.naturalWidth).length, images: images.length})})</script>"""


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_opens_it(text, tmp_path, width, scheme):
    """It draws, nothing is wider than the screen, all pictures decode, and it is as dark as it was asked to be."""
    probed = text.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    (tmp_path / "page.html").write_text(probed.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    picture = tmp_path / "shot.png"
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1200", f"--blink-settings=preferredColorScheme={1 if scheme == 'light' else 0}",
        f"--screenshot={picture}", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [BROWSER, *options, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    told = re.search(r'data-found="(\{.*?\})"', done.stdout)
    assert told, done.stderr[-2000:]
    found = json.loads(told[1].replace("&quot;", '"'))
    assert found["broken"] == 0 and found["images"] > 60 and found["high"] > 2000
    assert found["wide"] <= found["window"] <= max(width, 500)
    corner = Image.open(picture).convert("L").getpixel((3, 3))
    assert corner > 240 if scheme == "light" else corner < 40
