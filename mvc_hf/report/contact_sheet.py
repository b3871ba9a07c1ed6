"""Contact sheets: images of each class side by side, one column for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

GAP, BETWEEN, HEADER = 4, 24, 40


def contact_sheet(
    columns: Mapping[str, Sequence[Sequence[Image.Image]]], class_names: Sequence[str], *, cell: int = 80
) -> Image.Image:
    """One row for each class, one block of images for each column, in the manner of the paper's Figure 5.

    Args:
        columns: for each title, for each class, its images.
        cell: side of an image on the sheet, in pixels.
    """
    font = ImageFont.load_default(18)
    margin = 24 + max(int(font.getlength(name)) for name in class_names)
    blocks = {title: max(len(images) for images in rows) for title, rows in columns.items()}
    width = margin + sum(count * (cell + GAP) + BETWEEN for count in blocks.values())
    sheet = Image.new("RGB", (width, HEADER + len(class_names) * (cell + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(class_names):
        y = HEADER + row * (cell + GAP) + cell // 2
        draw.text((margin - 12, y), name, "black", font, anchor="rm")
    left = margin
    for title, rows in columns.items():
        draw.text((left, HEADER // 2), title, "black", font, anchor="lm")
        for row, images in enumerate(rows):
            for i, image in enumerate(images):
                sheet.paste(_fitted(image, cell), (left + i * (cell + GAP), HEADER + row * (cell + GAP)))
        left += blocks[title] * (cell + GAP) + BETWEEN
    return sheet


def _fitted(image: Image.Image, cell: int) -> Image.Image:
    """The image in a cell: enlarged in whole steps with its pixels visible, or reduced smoothly."""
    method = Image.Resampling.NEAREST if max(image.size) <= cell // 2 else Image.Resampling.LANCZOS
    scale = cell / max(image.size)
    return image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)), method)
