"""All near pairs of hashes are found, and no other, by either search."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localizer.probing import hamming
from localizer.probing.hamming import BITS, near_pairs

ODD = int("5" * 64, 16)  # the bits that mirroring turns over
LIMIT = 44

Found = set[tuple[int, int, int]]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for pairs by parts, however few hashes there are."""
    monkeypatch.setattr(hamming, "FEW", 0)
    monkeypatch.setattr(hamming, "CANDIDATE_COST", 0)


def found(hashes: list[int], limit: int = LIMIT) -> Found:
    content = b"".join(one.to_bytes(32, "big") for one in hashes)
    items = near_pairs(np.frombuffer(content, np.uint8).reshape(-1, 32), limit=limit)
    return {tuple(pair) for item in items for pair in item.T.tolist()}


def of_every(hashes: list[int], limit: int = LIMIT) -> Found:
    """Return the pairs by Python's own integers."""
    pairs = set()
    for second, other in enumerate(hashes):
        for first, one in enumerate(hashes[:second]):
            plain, mirrored = (one ^ other).bit_count(), (one ^ other ^ ODD).bit_count()
            if min(plain, mirrored) <= limit:
                pairs.add((first, second, min(2 * plain, 2 * mirrored + 1)))
    return pairs


def changed(draw: st.DrawFn, phash: int) -> int:
    """Return a hash with up to 60 bits turned over, mirrored or not."""
    bits = draw(st.sets(st.integers(0, BITS - 1), max_size=60))
    return phash ^ sum(1 << bit for bit in bits) ^ draw(st.sampled_from([0, ODD]))


@st.composite
def families(draw: st.DrawFn) -> list[int]:
    """Return hashes that are near one or two others."""
    bases = draw(st.lists(st.integers(0, 2**BITS - 1), min_size=1, max_size=2))
    return [changed(draw, draw(st.sampled_from(bases))) for _ in range(draw(st.integers(0, 12)))]


@given(families(), st.integers(0, 47))
@settings(max_examples=50, deadline=None)
def test_parts_lead_to_the_same_pairs_as_comparing_all(hashes: list[int], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "FEW", 0)
        patch.setattr(hamming, "CANDIDATE_COST", 0)
        assert found(hashes, limit) == of_every(hashes, limit)


@given(families(), st.integers(0, 80))
@settings(deadline=None)
def test_of_few_hashes_every_pair_is_compared(hashes: list[int], limit: int) -> None:
    assert found(hashes, limit) == of_every(hashes, limit)


def spread(*, over: int = 0) -> int:
    """Return a hash with 3 bits set in each of 12 parts, 2 in the other 4, and so many `over` in the last."""
    alone = hamming._mixed(np.packbits(np.eye(BITS, dtype=np.uint8), axis=1)).T
    place = np.unpackbits(np.ascontiguousarray(alone).view(np.uint8), axis=1).argmax(axis=1)  # of each bit in the parts
    chosen = {16 * part + bit for part in range(16) for bit in range(3 if part < 12 else 2 + over * (part == 15))}
    return sum(1 << (BITS - 1 - bit) for bit in range(BITS) if place[bit] in chosen)


@pytest.mark.usefixtures("many")
def test_a_pair_is_found_that_differs_as_much_as_can_be_in_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    at, over = spread(), spread(over=1)
    assert at.bit_count() == LIMIT
    assert found([0, at]) == {(0, 1, 2 * LIMIT)}
    assert found([0, over]) == set()
    parts = hamming._parts  # the control: with parts that are made for a bit less it is missed
    monkeypatch.setattr(hamming, "_parts", lambda words, limit: parts(words, limit - 1))
    assert found([0, at]) == set()


@pytest.mark.usefixtures("many")
def test_pairs_are_found_however_many_candidates_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [1 << bit for bit in range(40)]
    for at_once in (1, 7, 1000):
        monkeypatch.setattr(hamming, "AT_ONCE", at_once)
        assert found(hashes) == {(first, second, 4) for second in range(40) for first in range(second)}


def test_parts_are_for_hashes_that_are_many_and_seldom_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "FEW", 200)
    ways: list[str] = []

    def gone(way: str) -> Iterator[object]:
        ways.append(way)
        return iter(())

    monkeypatch.setattr(hamming, "_pairs_of_part", lambda *_: gone("part"))
    monkeypatch.setattr(hamming, "_pairs_of_all", lambda *_: gone("every"))
    rng = np.random.default_rng(0)
    apart, alike, few = ([int.from_bytes(rng.bytes(size)) for _ in range(count)] for size, count in CASES)
    for hashes, way in ((apart, "part"), (alike, "every"), (few, "every")):
        ways.clear()
        found(hashes)
        assert set(ways) == {way}


CASES = ((32, 1000), (1, 1000), (32, 200))
