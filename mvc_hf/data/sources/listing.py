"""What lies in a folder of class folders: the pictures, and what is left out, with a word on it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DataError
from ...storage.layout import MANIFEST, METADATA
from ...utils.progress import say
from ...utils.text import normal_order, one_line, some
from .. import decoding
from ..links import Links

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "avif", "gif", "bmp", "dib", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "tga"),
    )
)
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))

# What file systems, NAS boxes, desktops and tools put into any folder, lower-case. Hidden ones are left out anyway.
SYSTEM_FOLDERS = frozenset((
    "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot", "$recycle.bin",
    "system volume information", "lost+found", "__macosx", "__pycache__", "network trash folder", "temporary items",
))  # fmt: skip
CHECK_DISK = re.compile(r"found\.\d{3}")  # what chkdsk finds
SYSTEM_FILES = frozenset((
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r", "@synoresource",
))  # fmt: skip
RUN = ("checkpoint", "synthetic")  # folders in the output of a run
TRAINING = os.path.join("checkpoints", "run.json")


class Listing:
    """A folder of class folders.

    Args:
        root: the folder.
        links: which ones may be followed.
    """

    def __init__(self, root: Path, links: Links) -> None:
        self.root, self.links = root, links
        self._left_out: dict[str, set[str]] = {}  # why → paths below `root`

    def folders(self) -> list[str]:
        """Names of the folders that may be classes; equal ones come in one order on every machine."""
        entries = _entries(self.root, repr(one_line(self.root.name)))
        return sorted((e.name for e in entries if _is_folder(e) and self._is_wanted(e)), key=normal_order)

    def pictures(self, class_name: str) -> list[str]:
        """Paths of the pictures of a class below `root`, with forward slashes, in the order of their names."""
        return sorted(self._pictures(self.root / class_name, class_name), key=normal_order)

    def has_pictures(self, class_name: str) -> bool:
        return next(self._pictures(self.root / class_name, class_name), None) is not None

    def texts_beside(self, pictures: Sequence[str]) -> dict[str, str]:
        """The .txt beside pictures that are called as they are, by picture. Of what is left out they are no part."""
        texts = {os.path.splitext(p)[0]: p for p in self._left_out.get("file", ()) if p.lower().endswith(".txt")}
        found = {p: texts[stem] for p in pictures if (stem := os.path.splitext(p)[0]) in texts}
        self._left_out.get("file", set()).difference_update(found.values())
        return found

    def say_what_is_left_out(self, name: str) -> None:
        """A line for each kind; nothing of what is in every folder anyway."""
        self._left_out["loose"] = set(self.loose())
        for why, shown in (
            ("folders that hold no classes", self._names_of("system")),
            ("folders that mvc-hf made", self._names_of("ours")),
            ("files that are not read as pictures", self.unread()),
            ("pictures in no class folder", self._paths_of("loose")),
            ("links to folders within classes (--follow-symlinks)", self._paths_of("link")),
            ("pipes, sockets and devices", self._paths_of("irregular")),
        ):
            if shown:
                say(f"note: left out of {name}: {why}: {shown}")

    def unread(self) -> str:
        """Files in class folders that are no pictures, by their endings, the most frequent first; "" for none."""
        endings = Counter(os.path.splitext(path)[1].lower() for path in self._left_out.get("file", ()))
        known = sorted(endings, key=lambda end: (-endings[end], end))
        shown = [f"{endings[end]} {one_line(end) or 'without an ending'}" for end in known[:6]]
        shown += [f"{len(known) - 6} other endings"] if len(known) > 6 else []
        cure = f" ({decoding.HEIF_CURE})" if HEIF_SUFFIXES & set(known) else ""
        return ", ".join(shown) + cure

    def _pictures(self, folder: Path, class_name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        """`above` are the folders that this one lies in: a link to one of them leads in a circle."""
        inner = []
        for entry in _entries(folder, f"of the class {class_name!r}"):
            path = Path(entry.path).relative_to(self.root).as_posix()
            if _is_folder(entry):
                if self._is_wanted(entry, within_class=True):
                    inner.append(Path(entry.path))
            elif entry.name.startswith(".") or _is_clutter(entry.name):
                continue
            elif not _is_picture(entry.name):
                self._leave_out("file", path)
            elif not _is_regular(entry):
                self._leave_out("irregular", path)
            else:
                if entry.is_symlink():
                    self.links.check(entry.path)
                yield path
        above = above or (os.path.realpath(self.root), os.path.realpath(folder))
        for subfolder in inner:
            real = os.path.realpath(subfolder)
            if real not in above:
                yield from self._pictures(subfolder, class_name, (*above, real))

    def _is_wanted(self, entry: os.DirEntry, within_class: bool = False) -> bool:
        """Whether a folder is a class, or holds pictures of one."""
        path = Path(entry.path).relative_to(self.root).as_posix()
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FOLDERS or CHECK_DISK.fullmatch(entry.name):
            return self._leave_out("system", path)
        if entry.is_symlink() and within_class and not self.links.follow:
            return self._leave_out("link", path)
        if entry.is_symlink():
            self.links.check(entry.path)
        if is_ours(Path(entry.path)):
            return self._leave_out("ours", path)
        return True

    def _leave_out(self, why: str, path: str) -> bool:
        self._left_out.setdefault(why, set()).add(path)
        return False

    def loose(self) -> list[str]:
        """Names of pictures that lie beside the class folders."""
        entries = _entries(self.root, repr(one_line(self.root.name)))
        return sorted(e.name for e in entries if _is_picture(e.name) and not _is_folder(e))

    def _paths_of(self, why: str) -> str:
        return some(map(one_line, sorted(self._left_out.get(why, ()))), 3)

    def _names_of(self, why: str) -> str:
        """Last parts of the paths, each once, with how often it is met."""
        names = Counter(one_line(path.rpartition("/")[2]) for path in sorted(self._left_out.get(why, ())))
        return ", ".join(repr(name) + (f" ({count} times)" if count > 1 else "") for name, count in names.items())


def is_ours(folder: Path) -> bool:
    """Whether `finetune`, `generate` or `run` made a folder, or is making it."""
    made = (folder, *(folder / part for part in RUN))
    return any(
        os.path.isfile(place / METADATA) or os.path.isfile(place / TRAINING) or _is_split(place) for place in made
    )


def _is_split(folder: Path) -> bool:
    """A manifest of that name may be anybody's."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "made_from" in manifest and "fingerprint" in manifest


def _entries(folder: Path, what: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"cannot list the folder {what}: {error.strerror}") from error


def _is_picture(name: str) -> bool:
    end = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and (end in IMAGE_SUFFIXES or (end in HEIF_SUFFIXES and decoding.reads_heif()))


def _is_clutter(name: str) -> bool:
    """Made by desktops beside the files of people; streams of Windows are files to other systems."""
    return name.lower() in SYSTEM_FILES or name.endswith((":Zone.Identifier", "~"))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links, or a link to what may not be seen
        return False


def _is_regular(entry: os.DirEntry) -> bool:
    """A link that leads nowhere counts as a file, which cannot be read."""
    try:
        return entry.is_file(follow_symlinks=False) or stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
