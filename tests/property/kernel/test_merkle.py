"""Tiles and proofs against RFC 6962's own recursive definitions (spec.md L-2)."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import verify_export
from kernel.ledger.merkle import (
    EMPTY_ROOT,
    TILE_BYTES,
    Frontier,
    Tiles,
    consistency_ranges,
    extend,
    hashes_of,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root_at,
    tiles_under,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)]
SMALL = 300  # every size up to here is tried


def reference_root(leaves: list[bytes]) -> bytes:
    """Return MTH(D[n]) as section 2.1 writes it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(reference_root(leaves[:half]), reference_root(leaves[half:]))


def tiles_of(size: int) -> Tiles:
    return extend({}, 0, LEAVES[:size])


ALL = tiles_of(70_000)
ROOTS = [reference_root(LEAVES[:size]) for size in range(SMALL + 1)]


def test_roots_from_tiles_and_from_the_frontier_are_the_defined_ones_at_every_size() -> None:
    frontier = Frontier()
    for size in range(SMALL + 1):
        assert root_at(size, ALL) == frontier.root() == ROOTS[size]
        frontier.append(LEAVES[size])


@given(st.lists(st.integers(0, 700), max_size=8))
def test_a_tree_grown_in_any_steps_has_the_tiles_of_the_one_grown_at_once(steps: list[int]) -> None:
    size, tiles = 0, dict[tuple[int, int], bytes]()
    for step in steps:
        edge = {each: tiles[each] for each in tiles_under([(0, size)])}
        tiles |= extend(edge, size, LEAVES[size : size + step])
        size += step

    assert tiles == tiles_of(size)
    assert all(0 < len(hashes) <= TILE_BYTES for hashes in tiles.values())


def test_every_leaf_of_every_small_tree_has_a_proof_that_holds_for_it_alone() -> None:
    for size in [*range(1, 70), 127, 128, 129, 255, 256, 257, SMALL]:
        for position in range(size):
            proof = hashes_of(inclusion_ranges(position, size), ALL)
            assert verify_inclusion(LEAVES[position], position, size, proof, ROOTS[size])
            assert not verify_inclusion(LEAVES[position + 1], position, size, proof, ROOTS[size])


def test_every_small_tree_is_shown_to_extend_every_smaller_one() -> None:
    for second in [*range(1, 70), 127, 128, 129, 255, 256, 257, SMALL]:
        for first in range(1, second + 1):
            proof = hashes_of(consistency_ranges(first, second), ALL)
            assert verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)
            assert not verify_consistency(first, second, EMPTY_ROOT, ROOTS[second], proof)


def test_the_stand_alone_verifier_follows_the_same_proofs_by_another_algorithm() -> None:
    for size in [*range(1, 70), 127, 128, 129, 255, 256, 257, SMALL]:
        for position in range(size):
            proof = hashes_of(inclusion_ranges(position, size), ALL)
            assert verify_export.root_of_proof(LEAVES[position], position, size, proof) == ROOTS[size]
            for wrong in (proof[:-1], [*proof, EMPTY_ROOT]) if proof else ([EMPTY_ROOT],):
                with pytest.raises(verify_export.WrongError):
                    verify_export.root_of_proof(LEAVES[position], position, size, wrong)


@given(st.data())
def test_proofs_of_large_trees_need_few_tiles_and_break_with_any_bit(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70_000))
    position = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size - 1))
    ranges, older = inclusion_ranges(position, size), consistency_ranges(first, size)
    needed = tiles_under([*ranges, *older])
    tiles = {each: ALL[each] for each in needed}
    root, old_root = root_at(size, ALL), root_at(first, ALL)
    proof, extension = hashes_of(ranges, tiles), hashes_of(older, tiles)

    assert len(needed) <= 12
    assert verify_inclusion(LEAVES[position], position, size, proof, root)
    assert verify_consistency(first, size, old_root, root, extension)
    broken = data.draw(st.integers(0, len(proof) - 1))
    proof[broken] = bytes([proof[broken][0] ^ 1]) + proof[broken][1:]
    assert not verify_inclusion(LEAVES[position], position, size, proof, root)
    broken = data.draw(st.integers(0, len(extension) - 1))
    extension[broken] = extension[broken][:-1] + bytes([extension[broken][-1] ^ 128])
    assert not verify_consistency(first, size, old_root, root, extension)
