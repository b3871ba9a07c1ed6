"""Push: what the commands call.

Nothing here sees a token: the Hub's clients find it (`hf auth login`, HF_TOKEN) and send it to the Hub alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..artifacts.steps import checkpoint_folder, is_step
from ..errors import OutputError
from ..hub.access import check_push
from ..hub.ids import DATASET, word
from ..hub.upload.file import File
from ..hub.upload.refs import branch_of, checked_name
from ..hub.upload.uploader import Published, Upload, open_upload
from .contents import README, Finished, finished, own_file, pictures, reported, told

if TYPE_CHECKING:
    from ..artifacts.shards import ShardedDatasetWriter

__all__ = [
    "Published", "ShardUploader", "Upload", "check_push", "open_upload", "push"
]  # fmt: skip


def push(
    folder: str | Path,
    repo_id: str | None,
    kind: str | None = None,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    prepare: Callable[[Path], object] | None = None,
) -> Published:
    """Publish an earlier run: a folder made by `finetune` or by `generate`, or a training checkpoint of the former.

    What is published is the contract of a checkpoint or a data set (see `contents`); training state, spools,
    `manifest.json` and whatever else lies in the folder stay where they are.

    Args:
        repo_id: None for the user's name and the folder's.
        kind: where given, the folder must be of it.
        private: for a repository that has to be made; a public one that is there already is refused, not changed.
        revision: a branch, made if it is not there, or "refs/pr/N" for a pull request that is.
        tag: for the commit that holds it all.
        prepare: called with the folder when it is whole and the Hub takes it, before its pictures are looked for.

    Raises:
        OutputError: the folder is not finished, holds something that is not ours to publish, or the Hub does not take
            it. Nothing has been sent then.
    """
    asked, revision = Path(folder), branch_of(revision)
    place = (checkpoint_folder(asked) if is_step(asked) else None) or asked
    if tag is not None:
        checked_name("--tag", tag, "a tag")
    found = finished(place)
    if kind not in (None, found.kind):
        raise OutputError(f"{place} is a {word(found.kind)}, not a {word(kind)}")
    keeps = " ".join(["`mvc-hf push", str(asked), *filter(None, [repo_id])]) + "` goes on"
    repo_id = check_push(repo_id, found.kind, folder=place, private=private, keeps=keeps)
    if prepare:
        prepare(place)
    files = _files(found, repo_id)
    with open_upload(repo_id, found.kind, private=private, revision=revision, tag=tag, folder=place) as upload:
        return _push(found, files, upload, tag)


class ShardUploader:
    """Publishes a data set while it is made: give `look` to `generate`, and call `finish` at the end.

    A context manager: leaving it ends the sending. What was sent is kept by the Hub, unseen, for the next try.
    """

    def __init__(self, repo_id: str, folder: str | Path, *, private: bool = False):
        self.repo_id, self.folder, self.private = repo_id, Path(folder), private
        self._upload: Upload | None = None

    def __enter__(self) -> ShardUploader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._upload is not None:
            self._upload.__exit__()

    def look(self, split: ShardedDatasetWriter) -> None:
        """Send the shards that have become whole; whichever process made them."""
        whole = [path for path in map(split.path, range(split.count)) if path.exists()]
        names = [path.relative_to(split.folder).as_posix() for path in whole]
        files = {name: own_file(split.folder, name) for name in names}
        for name, path in files.items():
            self._opened().add(name, path)

    def finish(self) -> Published:
        found = finished(self.folder)
        return _push(found, _files(found, self.repo_id), self._opened(), None)

    def _opened(self) -> Upload:
        if self._upload is None:
            self._upload = open_upload(self.repo_id, DATASET, private=self.private, folder=self.folder)
        return self._upload


def _files(found: Finished, repo_id: str) -> list[File]:
    """Everything that is published, each file as it is on record."""
    files = [File(path, content, found.sha256.get(path)) for path, content in found.files.items()]
    for file in files:
        file.check()  # before a picture is drawn from one of them
    shown: dict[str, Path | bytes] = {**pictures(found), **reported(found), **told(found), README: found.card(repo_id)}
    return files + [File(path, content) for path, content in shown.items()]


def _push(found: Finished, files: list[File], upload: Upload, tag: str | None) -> Published:
    for file in files:
        upload.put(file)
    what = "synthetic data set" if found.kind == DATASET else "fine-tuned checkpoint"
    return upload.commit(f"Upload {what} made by mvc-hf", tag=tag)
