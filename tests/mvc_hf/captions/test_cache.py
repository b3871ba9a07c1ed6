"""Captions kept piece by piece: what is whole, what is missing, and what is no longer what was written."""

import numpy as np
import pytest

from mvc_hf.captions.cache import PIECE, Pieces


@pytest.mark.parametrize(("rows", "per_image"), [(300, 1), (300, 3), (7, 5), (3, 2 * PIECE)])
def test_pieces_cover_every_row_once_and_keep_to_the_limit(tmp_path, rows, per_image):
    pieces = [Pieces(tmp_path, rows, per_image).read(n) for n in range(Pieces(tmp_path, rows, per_image).count)]
    places = np.concatenate([piece.missing_places() for piece in pieces])
    assert places.tolist() == list(range(rows))
    assert sum(piece.total for piece in pieces) == rows * per_image
    assert all(piece.total <= max(PIECE, per_image) and not piece.is_whole() for piece in pieces)


def test_what_is_written_is_read_and_no_longer_missing(tmp_path):
    pieces = Pieces(tmp_path / "captions", 200, 2)
    piece = pieces.read(1)
    piece.captions, piece.broken = ["a", "b", None], {"65": "b/001.png cannot be read"}
    pieces.write(piece)
    assert pieces.read(1) == piece and pieces.missing() == [0, 1, 2, 3]
    assert pieces.read(1).missing_places().tolist() == list(range(65, 128))  # the second caption of row 65 is not made
    piece.captions += ["c"] * (piece.total - 3)
    pieces.write(piece)
    assert pieces.read(1).is_whole() and pieces.missing() == [0, 2, 3] and len(pieces.read(1).missing_places()) == 0


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"captions": [], "broken": {}}'])
def test_a_damaged_piece_is_told_and_made_again(tmp_path, capsys, content):
    pieces = Pieces(tmp_path, 4, 1)
    (tmp_path / "000000.json").write_bytes(content)
    assert pieces.read(0).captions == [] and pieces.missing() == [0]
    assert capsys.readouterr().err.count("000000.json of the captions in the cache is damaged") == 1
    assert not (tmp_path / "000000.json").exists()


def test_a_piece_of_other_rows_is_not_taken(tmp_path, capsys):
    other = Pieces(tmp_path, 5, 1)
    piece = other.read(0)
    piece.captions = ["x"] * 5
    other.write(piece)
    assert Pieces(tmp_path, 4, 1).read(0).captions == [] and "is damaged" in capsys.readouterr().err
