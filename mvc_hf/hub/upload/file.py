"""One file of an upload: its content, its hashes, and how far it has come."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import OutputError


@dataclass
class File:
    """One file of an upload, and how far it has come.

    Args:
        path: in the repository.
        content: a file, which must stay as it is until the commit, or the bytes themselves.
        sha256: what is on record of the file; another content is refused.
    """

    path: str
    content: Path | bytes
    sha256: str | None = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def operation(self) -> Any:
        """What the client takes. It keeps notes in it, so that a commit does not send again what was sent."""
        from huggingface_hub import CommitOperationAdd

        content = str(self.content) if isinstance(self.content, Path) else self.content
        made = CommitOperationAdd(self.path, content)
        if "digest" in vars(self):
            with contextlib.suppress(AttributeError):  # an attribute without a promise: it saves reading a file twice
                made.upload_info.sha256 = bytes.fromhex(self.digest)
        return made

    def forget(self) -> None:
        """Take a new operation: in the old one, the client noted what the branch held when the file was sent, and
        would leave out what was the same then; and a call that never answered may still be at work with it.
        """
        with contextlib.suppress(AttributeError):
            vars(self).setdefault("digest", self.operation.upload_info.sha256.hex())
        del self.operation

    def is_same_as(self, remote: Any) -> bool:
        """Whether the repository's file (None: it has none) has this content.

        Raises:
            OutputError: the file is not what is on record of it.
        """
        self.check()
        if remote is None:
            return False
        if remote.lfs:
            return remote.lfs.size == self.size and remote.lfs.sha256 == self.digest
        return remote.size == self.size and remote.blob_id == self.git_hash

    def check(self) -> None:
        """Raises OutputError: the file is not what is on record of it, or cannot be read."""
        try:
            wrong = self.sha256 and self.digest != self.sha256
        except OSError as error:
            raise OutputError(f"{self._shown} cannot be read ({error.strerror}): mend that, then push") from error
        if wrong:
            raise OutputError(f"{self._shown} is not as it was made (its SHA-256 differs): make it again, then push")

    @property
    def _shown(self) -> str:
        return str(self.content) if isinstance(self.content, Path) else self.path

    @cached_property
    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @cached_property
    def digest(self) -> str:
        return self._hashed(hashlib.sha256())

    @cached_property
    def git_hash(self) -> str:
        return self._hashed(hashlib.sha1(b"blob %d\0" % self.size))

    def _hashed(self, digest: Any) -> str:
        with self.content.open("rb") if isinstance(self.content, Path) else io.BytesIO(self.content) as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()
