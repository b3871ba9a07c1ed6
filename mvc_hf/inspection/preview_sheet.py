"""The contact sheet of a preview: one row for each address, the mix growing from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..captions.table import PREFIXED, with_prefix
from ..report.text_layout import set_in, wrapped
from .mix_summary import Mixture
from .preview import Preview, Row

BLACK, GREY, RULE, MARK, TINT = "#111111", "#6b6b6b", "#d9d9d9", "#1f5fbf", "#eef4fc"
MARGIN, GAP, PAD = 20, 22, 14  # around the sheet, between columns, above and below a row
TITLE, NAME, BODY, SMALL = 20, 17, 14, 12  # sizes of the font
SPACING = 1.3  # of lines
CAPTION_WIDTH, PARTS_WIDTH = 230, 270
CAPTION_LINES, PART_LINES, PARTS = 9, 3, 3  # what does not fit is cut with an ellipsis, or counted
ENLARGED, REDUCED = 168, 256  # small images grow up to the one, in whole steps; large ones shrink to the other


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    size: int = BODY
    colour: str = BLACK
    above: int = 0  # pixels left free

    @property
    def height(self) -> int:
        return self.above + round(self.size * SPACING)


@dataclass(frozen=True)
class Cell:
    """A picture with lines below it; either may be missing."""

    lines: tuple[Line, ...] = ()
    picture: Image.Image | None = None

    @property
    def height(self) -> int:
        picture = self.picture.height + 4 if self.picture else 0
        return picture + sum(line.height for line in self.lines)


@dataclass(frozen=True)
class Column:
    """A heading of two lines over one cell for each row; `marked` stands out."""

    width: int
    heading: str
    below: str
    cells: tuple[Cell, ...]
    marked: bool = False


def draw(preview: Preview) -> Image.Image:
    """The sheet, in RGB."""
    columns = _columns(preview)
    inner = sum(column.width for column in columns) + GAP * (len(columns) - 1)
    head = [*_lines([preview.model], TITLE, inner), *_lines(_facts(preview), SMALL, inner, GREY)]
    foot = _lines(_legend(preview), SMALL, inner, GREY)
    heading = round((BODY + SMALL) * SPACING) + 16
    heights = [max(column.cells[i].height for column in columns) + 2 * PAD for i in range(len(preview.rows))]
    top = MARGIN + sum(line.height for line in head) + 10
    size = (inner + 2 * MARGIN, top + heading + sum(heights) + PAD + sum(line.height for line in foot) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    _write(pen, head, MARGIN, MARGIN)
    left = MARGIN
    for column in columns:
        if column.marked:
            pen.rectangle((left - 9, top, left + column.width + 8, top + heading + sum(heights)), TINT)
        colour = MARK if column.marked else BLACK
        _write(pen, (Line(column.heading, BODY, colour), Line(column.below, SMALL, colour)), left, top + 5)
        y = top + heading
        for cell, height in zip(column.cells, heights):
            _place(sheet, pen, cell, left, y + PAD)
            y += height
        left += column.width + GAP
    y = top + heading
    for height in (*heights, 0):
        pen.line((MARGIN, y, size[0] - MARGIN, y), RULE)
        y += height
    _write(pen, foot, MARGIN, y + PAD)
    return sheet


def _columns(preview: Preview) -> list[Column]:
    rows = preview.rows
    side = max(max(_shown(image).size) for row in rows for image in row.images)
    width = max(side, 112)
    shown_mix = _shown_mix(preview)
    columns = [Column(CAPTION_WIDTH, "class and base caption", "where the mix starts", tuple(map(_about, rows)))]
    if any(row.condition for row in rows):
        cells = tuple(Cell((), None if row.condition is None else _fitted(row.condition, side)) for row in rows)
        columns.append(Column(width, "condition x'", "a real image", cells))
    if shown_mix is not None:
        p, q = preview.settings[shown_mix]
        cells = tuple(_parts(row.mixtures[shown_mix], row, preview) for row in rows)
        columns.append(Column(PARTS_WIDTH, "captions mixed in", f"at P = {p}, Q = {q}", cells))
    for i, (p, q) in enumerate(preview.settings):
        below = "what generate makes" if i == preview.own else "not mixed" if p == q == 0 else ""
        if preview.mixes:
            heading, shares = f"P = {p}, Q = {q}", [_share(row.mixtures[i]) for row in rows]
        else:
            heading, below, shares = preview.recipe.method, "what generate makes", [()] * len(rows)
        cells = tuple(Cell(share, _fitted(row.images[i], side)) for share, row in zip(shares, rows))
        columns.append(Column(width, heading, below, cells, marked=i == preview.own))
    if any(row.pretrained for row in rows):
        cells = tuple(Cell((), None if row.pretrained is None else _fitted(row.pretrained, side)) for row in rows)
        columns.append(Column(width, "pretrained base", "base caption alone", cells))
    return columns


def _shown_mix(preview: Preview) -> int | None:
    """The setting whose mixes are listed: the recipe's own, or the first that mixes anything."""
    mixing = [i for i, pair in enumerate(preview.settings) if any(pair)]
    return preview.own if preview.own in mixing else next(iter(mixing), None)


def _about(row: Row) -> Cell:
    name = [Line(text, NAME) for text in wrapped(row.class_name, NAME, CAPTION_WIDTH, 2)]
    address = Line(f"class {row.label}, index {row.index}", SMALL, GREY)
    caption = [Line(text) for text in wrapped(row.caption, BODY, CAPTION_WIDTH, CAPTION_LINES)]
    return Cell((*name, address, Line(caption[0].text, above=5), *caption[1:]))


def _parts(mixture: Mixture, row: Row, preview: Preview) -> Cell:
    if not mixture.parts:
        return Cell((Line("nothing: there is no other caption", SMALL, GREY),))
    lines: list[Line] = []
    prefix = _prefix(row)
    for part in mixture.parts[:PARTS]:
        amounts = [_number(n, what) for n, what in ((part.rows, "row"), (part.elements, "element")) if n]
        lines.append(Line(" and ".join(amounts), SMALL, MARK, above=4 if lines else 0))
        caption = str(part.caption)
        own = caption.removeprefix(prefix).strip() or caption  # the prefix is that of the base caption
        lines += [Line(text) for text in wrapped(own, BODY, PARTS_WIDTH, PART_LINES)]
    if rest := mixture.parts[PARTS:]:
        elements = sum(part.rows * preview.width + part.elements for part in rest)
        share = elements / (preview.tokens * preview.width)
        lines.append(Line(f"and {_number(len(rest), 'caption')} more: {_percent(share)}", SMALL, GREY, above=4))
    return Cell(tuple(lines))


def _prefix(row: Row) -> str:
    """That of the base caption, whatever the class is called in it."""
    plain = with_prefix(row.class_name, "")
    if row.caption.startswith(plain) or not PREFIXED.match(row.caption):
        return plain
    return row.caption.partition(". ")[0].removesuffix(".") + "."


def _share(mixture: Mixture) -> tuple[Line, ...]:
    return (Line(f"{_percent(mixture.share)} mixed in", SMALL, GREY),)


def _percent(share: float) -> str:
    return "below 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _facts(preview: Preview) -> list[str]:
    recipe = preview.recipe
    guidance = f"guidance {recipe.guidance_scale:g}"
    if recipe.image_guidance_scale is not None:
        guidance += f", of the image {recipe.image_guidance_scale:g}"
    if (recipe.guidance_start, recipe.guidance_stop) != (0.0, 1.0):
        guidance += f" from {recipe.guidance_start:g} to {recipe.guidance_stop:g} of the steps"
    facts = (f"condition images from {preview.dataset}", f"seed {recipe.seed}", f"{recipe.num_inference_steps} steps")
    return [" · ".join((*facts, guidance, recipe.scheduler))]


def _legend(preview: Preview) -> list[str]:
    if not preview.mixes:
        return []
    return [
        "The images of a row share base caption, condition image and starting noise: only the mix differs. P coarse "
        f"copies put rows of other captions' embeddings ({preview.tokens} rows of {preview.width} elements) into that "
        "of the base caption, Q fine copies elements of single rows."
    ]


def _lines(texts: Sequence[str], size: int, width: int, colour: str = BLACK) -> list[Line]:
    return [Line(line, size, colour) for text in texts for line in wrapped(text, size, width, 4)]


def _write(pen: ImageDraw.ImageDraw, lines: Sequence[Line], x: int, y: int) -> None:
    for line in lines:
        text, used = set_in(line.text, line.size)
        pen.text((x, y + line.above + round(line.size * (SPACING - 1) / 2) + line.size), text, line.colour, used, "ls")
        y += line.height


def _place(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    if cell.picture:
        sheet.paste(cell.picture, (x, y))
        y += cell.picture.height + 4
    _write(pen, cell.lines, x, y)


def _shown(image: Image.Image) -> Image.Image:
    """A result in the size of the sheet."""
    return _fitted(image, REDUCED if max(image.size) > ENLARGED else ENLARGED)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The image within side × side: enlarged in whole steps, its pixels visible, or reduced smoothly."""
    longest = max(image.size)
    image = image.convert("RGB")
    if longest <= side:
        scale = side // longest
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    width, height = (max(1, round(n * side / longest)) for n in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
