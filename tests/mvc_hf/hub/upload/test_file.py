"""One file of an upload: what it is compared by, and what it is checked against."""

import hashlib
from types import SimpleNamespace

import pytest

from mvc_hf.errors import OutputError
from mvc_hf.hub.upload.file import File

DATA = b"some content"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["bytes", "path"])
def content(request, tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    return DATA if request.param == "bytes" else tmp_path / "x"


def test_hashes_are_those_of_git_and_of_lfs(content):
    file = File("x", content)
    assert (file.size, file.digest) == (len(DATA), SHA256)
    assert file.git_hash == hashlib.sha1(b"blob 12\0" + DATA).hexdigest()


def test_a_file_is_compared_with_what_the_repository_has(content):
    file = File("x", content)
    plain = SimpleNamespace(lfs=None, size=12, blob_id=file.git_hash)
    large = SimpleNamespace(lfs=SimpleNamespace(size=12, sha256=SHA256))
    assert file.is_same_as(plain) and file.is_same_as(large) and not file.is_same_as(None)
    assert not file.is_same_as(SimpleNamespace(lfs=None, size=12, blob_id="0" * 40))
    assert not file.is_same_as(SimpleNamespace(lfs=SimpleNamespace(size=12, sha256="0" * 64)))


def test_another_content_than_the_recorded_one_is_refused(content):
    File("x", content, SHA256).check()
    with pytest.raises(OutputError, match=r"x is not as it was made \(its SHA-256 differs\): make it again"):
        File("x", content, "0" * 64).is_same_as(None)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"none cannot be read \(No such file or directory\)"):
        File("x", tmp_path / "none", SHA256).check()


def test_a_forgotten_operation_is_made_anew_with_the_digest_that_is_known(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    file = File("x", tmp_path / "x")
    first = file.operation
    assert file.operation is first
    file.forget()
    assert file.operation is not first and file.operation.upload_info.sha256 == bytes.fromhex(SHA256)
