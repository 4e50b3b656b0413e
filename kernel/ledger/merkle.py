"""
The Merkle tree of RFC 6962: hashes, stored tiles, proofs and their verification. Pure.

A *range* (start, end) names the subtree over the leaves start … end - 1. A proof is a list of ranges, so that
whoever stores hashes can say first which tiles they stand in, fetch those, and then take the hashes out.

A *tile* (level, index) holds up to 256 hashes in a row: the roots of the complete subtrees of 256 ** level
leaves, from number 256 * index on. The last tile of a level grows; a hash in it never changes.

Source: RFC 6962, section 2.1; tiles as in the tlog-tiles format. spec.md L-2.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
TILE_HASHES: Final = 1 << TILE_HEIGHT
TILE_BYTES: Final = TILE_HASHES * HASH_BYTES
EMPTY_ROOT: Final = sha256(b"").digest()

Range: TypeAlias = tuple[int, int]
TileId: TypeAlias = tuple[int, int]
Tiles: TypeAlias = Mapping[TileId, bytes]


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of a leaf's bytes."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree of which only the roots of its complete subtrees are kept: the root after every leaf."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # largest subtree first

    def append(self, leaf: bytes) -> None:
        """Add the next leaf's hash."""
        peaks, filled = self._peaks, self.size
        while filled & 1:
            leaf = node_hash(peaks.pop(), leaf)
            filled >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes in order."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """Return the largest power of two below `size` (at least 2)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_ranges(position: int, size: int) -> list[Range]:
    """Return what proves leaf `position` to be in the tree of `size`, nearest the leaf first."""
    assert 0 <= position < size, "a leaf of the tree"
    start, end, ranges = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if position < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """Return what proves the tree of `second` to extend that of `first`, in RFC 6962's order."""
    assert 0 < first <= second, "a tree and an older one that is not empty"
    start, end, ranges = 0, second, []
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def _complete(ranges: Iterable[Range]) -> Iterable[Range]:
    """Cut ranges into complete subtrees, left to right."""
    for start, end in ranges:
        while start < end:
            width = 1 << (end - start).bit_length() - 1
            yield start, start + width
            start += width  # noqa: PLW2901  the rest of the same range


def _place(start: int, width: int) -> tuple[TileId, int, int]:
    """Return the tile of a complete subtree, and the offset and the number of its hashes in that tile."""
    height = width.bit_length() - 1
    level, within = divmod(height, TILE_HEIGHT)
    index, offset = divmod(start >> (TILE_HEIGHT * level), TILE_HASHES)
    return (level, index), offset, 1 << within


def tiles_under(ranges: Iterable[Range]) -> set[TileId]:
    """Return the tiles that hold what `hashes_of` needs for these ranges."""
    return {_place(start, end - start)[0] for start, end in _complete(ranges)}


def hashes_of(ranges: Iterable[Range], tiles: Tiles) -> list[bytes]:
    """
    Return the root of each range.

    Raises:
        KeyError: a tile is missing; its id is the argument.
        ValueError: a tile is shorter than the tree.
    """
    return [_range_hash(each, tiles) for each in ranges]


def _range_hash(whole: Range, tiles: Tiles) -> bytes:
    roots = [_subtree_hash(start, end - start, tiles) for start, end in _complete([whole])]
    if not roots:
        return EMPTY_ROOT
    root = roots.pop()
    while roots:
        root = node_hash(roots.pop(), root)
    return root


def _subtree_hash(start: int, width: int, tiles: Tiles) -> bytes:
    tile, offset, count = _place(start, width)
    hashes = tiles[tile][offset * HASH_BYTES : (offset + count) * HASH_BYTES]
    if len(hashes) != count * HASH_BYTES:
        raise ValueError(f"tile {tile[0]}/{tile[1]} is too short")
    return _fold(hashes)


def _fold(hashes: bytes) -> bytes:
    """Return the root over joined hashes, a power of two of them."""
    row = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def root_at(size: int, tiles: Tiles) -> bytes:
    """Return the root at `size`, from `tiles_under([(0, size)])`; raises as `hashes_of` does."""
    return hashes_of([(0, size)], tiles)[0]


def extend(edge: Tiles, size: int, leaves: Sequence[bytes]) -> dict[TileId, bytes]:
    """
    Return the tiles that change when leaves follow a tree.

    Args:
        edge: `tiles_under([(0, size)])` of the tree as it is.
        size: of the tree as it is.
        leaves: hashes of the leaves that follow.
    """
    changed: dict[TileId, bytes] = {}
    level, fresh = 0, b"".join(leaves)
    while fresh:
        index, filled = divmod(size >> (TILE_HEIGHT * level), TILE_HASHES)
        row = (edge[level, index] if filled else b"") + fresh
        assert len(row) == filled * HASH_BYTES + len(fresh), "the edge is that of the tree"
        pieces = [row[at : at + TILE_BYTES] for at in range(0, len(row), TILE_BYTES)]
        changed |= {(level, index + n): piece for n, piece in enumerate(pieces)}
        fresh = b"".join(_fold(piece) for piece in pieces if len(piece) == TILE_BYTES)
        level += 1
    return changed


def verify_inclusion(leaf: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether the proof shows `leaf` at `position` in the tree of `size` with that root."""
    if not 0 <= position < size:
        return False
    ranges = inclusion_ranges(position, size)
    if len(ranges) != len(proof):
        return False
    for (start, _), sibling in zip(ranges, proof, strict=True):
        leaf = node_hash(sibling, leaf) if start <= position else node_hash(leaf, sibling)
    return leaf == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether the proof shows the tree of `second` to extend the tree of `first`, each with its root."""
    if not 0 <= first <= second:
        return False
    if first in {0, second}:
        return not proof and first_root == (EMPTY_ROOT if first == 0 else second_root)
    ranges = consistency_ranges(first, second)
    if len(ranges) != len(proof):
        return False
    # Where the old tree is one complete subtree of the new one, its root is where both begin.
    begun = ranges[0][1] == first
    old = new = proof[0] if begun else first_root
    for (start, _), sibling in list(zip(ranges, proof, strict=True))[begun:]:
        if start < first:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    return old == first_root and new == second_root
