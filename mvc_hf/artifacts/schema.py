"""The columns of a synthetic data set."""

from __future__ import annotations

import io
import json
from typing import Any

ROW_GROUP = 100  # rows that a writer holds in memory, and that a streaming reader fetches at a time


def features(class_names: tuple[str, ...], grouped: bool = False) -> Any:
    """The columns of a synthetic data set, as `datasets.Features`; with the group of the condition where asked for."""
    from datasets import ClassLabel, Features, Image, List, Value

    span = {"source": Value("int64")}
    group = {"group": Value("string")} if grouped else {}
    return Features(
        {
            "image": Image(),
            "label": ClassLabel(names=list(class_names)),
            "prompt": Value("string"),
            "method": Value("string"),
            "index": Value("int64"),
            "seed": Value("int64"),
            "condition": Value("int64"),
            "mix": {
                "base": Value("int64"),
                "coarse": List({**span, "r": Value("int64"), "s": Value("int64")}),
                "fine": List({**span, "w": Value("int64"), "u": Value("int64"), "v": Value("int64")}),
            },
            **group,
        }
    )


def schema_of(columns: Any) -> Any:
    """The Arrow schema of some `datasets.Features`, with them in its metadata as versions of `datasets` before 4, too,
    read them: a list is written as [feature], since those know no type of the name List.
    """

    def known_to_all(feature: Any) -> Any:
        if not isinstance(feature, dict):
            return feature
        if feature.get("_type") == "List" and feature.get("length", -1) == -1:
            return [known_to_all(feature["feature"])]
        return {name: known_to_all(inner) for name, inner in feature.items()}

    about = {"info": {"features": known_to_all(columns.to_dict())}}
    return columns.arrow_schema.with_metadata({"huggingface": json.dumps(about)})


def is_grouped(identity: dict[str, Any]) -> bool:
    """Whether a data set of this identity has a column of groups."""
    return bool(identity.get("group_column"))


def png(image: Any) -> dict[str, Any]:
    """A PIL image as the value of an Image column."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}
