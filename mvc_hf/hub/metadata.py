"""What the Hub's cards say of models and data sets, as far as the local cache has them."""

from __future__ import annotations

from typing import Any

import yaml

from .ids import hub_id


def licence_of(name: str | None, revision: str | None, kind: str) -> dict[str, Any]:
    """What is known of the licence of a model or data set of the Hub, to be recorded with its name; {} for others."""
    found = hub_id(name)
    metadata = cached_metadata(found, revision, kind) if found and revision else {}
    return {key: metadata[key] for key in ("license", "license_name", "license_link") if metadata.get(key)}


def cached_metadata(repo_id: str, revision: str, repo_type: str) -> dict[str, Any]:
    """The metadata of a repository's card as it lies in the local cache; empty where there is none."""
    from huggingface_hub import metadata_load, try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, "README.md", revision=revision, repo_type=repo_type)
    try:
        return metadata_load(found) or {} if isinstance(found, str) else {}
    except (OSError, ValueError, yaml.YAMLError):  # somebody else's card: not ours to mend
        return {}
