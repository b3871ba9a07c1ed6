"""One page of HTML that stands by itself: pictures and styles are in it, nothing is loaded and no script runs.

Whatever text goes in is escaped; what does not show is shown escaped, too.
"""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import Any

from markupsafe import Markup, escape
from PIL import Image

from ..utils.text import one_line, shortened

CELL = 112  # longest side of a picture on the page, in pixels of the file


def render(template: str, **values: Any) -> str:
    """Fill a template of this package, a file of Jinja2, all of whose values are escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = shown
    text = (resources.files(__package__) / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**values)


def shown(text: object) -> str:
    """A word from outside: on one line, with nothing in it that does not show, and not too long."""
    return shortened(one_line(str(text)), 200)


def picture(image: Image.Image, description: str) -> Markup:
    """A picture as an element that holds its own bytes: small ones as they are, larger ones reduced, as JPEG."""
    image = image.convert("RGB")
    data, small = io.BytesIO(), max(image.size) <= CELL
    if not small:
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    image.save(data, "PNG" if small else "JPEG", **({"optimize": True} if small else {"quality": 85}))
    kind = "png" if small else "jpeg"
    text = base64.b64encode(data.getvalue()).decode("ascii")
    told = escape(shown(description))
    drawn = "pixels" if max(image.size) <= CELL // 2 else "smooth"
    return Markup(f'<img class="{drawn}" alt="{told}" title="{told}" src="data:image/{kind};base64,{text}">')
