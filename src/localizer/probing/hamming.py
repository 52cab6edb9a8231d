"""Near pairs of 256-bit hashes: all pairs within a Hamming distance, also with one of the two images mirrored.

Mirroring an image flips the odd bits of its hash. So the distance of two is that of their even bits, plus that of
their odd bits or its complement, whichever is less.

Few hashes are compared pair by pair. Of many, only pairs that nearly agree in one of 16 parts of 16 bits, as all within
the distance do, by the pigeonhole principle (multi-index hashing: Norouzi, Punjani and Fleet 2012). Where so many agree
there, as images of one scene do, that this would take longer, every pair is compared after all: the pairs that are
found are the same.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS, HALF = 256, 128  # of a hash, and of its even bits
PART, PARTS = 16, 16  # bits of a part; the first half of the parts are of the even bits
FEW = 20_000  # hashes, of which to compare every pair takes half a second
CANDIDATE_COST = 6  # of a pair from the parts, relative to one of every pair
ROWS, COLUMNS = 256, 8192  # of a tile of compared pairs: 16 MB a word
AT_ONCE = 1 << 18  # candidate pairs

Words = NDArray[np.uint64]  # [4, N]: two of the even bits, two of the odd
Keys = NDArray[np.uint16]
Numbers = NDArray[np.int64]


class Part(NamedTuple):
    """One part of all hashes as keys [N], and the masks by which the keys of a candidate pair differ."""

    keys: Keys
    masks: list[int]


def near_pairs(bits: NDArray[np.uint8], *, limit: int) -> Iterator[Numbers]:
    """Yield the pairs of hashes, [N, 32] bytes, that differ by `limit` bits or less, some of them several times.

    Each item is [3, M]: the positions of first < second, and twice the distance, plus 1 where only the mirrored
    image is as near.
    """
    words = _mixed(bits)
    every = len(bits) * (len(bits) - 1) // 2
    parts = _parts(words, limit) if len(bits) > FEW else []
    if parts and CANDIDATE_COST * sum(map(_count_candidates, parts)) < every:
        for part in parts:
            yield from _pairs_of_part(part, words, limit)
    else:
        yield from _pairs_of_all(words, limit)


def _mixed(bits: NDArray[np.uint8]) -> Words:
    """Return the hashes with all frequencies mixed in each part, since different images agree in the low ones."""
    index = np.arange(HALF)
    even = 2 * np.argsort((index // 8 + index) % 8, kind="stable")  # the diagonals of 16 rows of 8
    order = np.concatenate([even, even + 1])
    mixed = np.empty_like(bits)
    for start in range(0, len(bits), COLUMNS):
        rows = slice(start, start + COLUMNS)
        mixed[rows] = np.packbits(np.unpackbits(bits[rows], axis=1)[:, order], axis=1)
    return np.ascontiguousarray(mixed.view(np.uint64).T)


def _parts(words: Words, limit: int) -> list[Part]:
    """Return the parts; in at least one of them, two hashes within the limit differ only by a mask.

    If they differed by more in each, the sum would exceed the limit. A part of odd bits also stands for its mirrored
    one: it is inverted where its highest bit is set.
    """
    bits, remainder = divmod(limit, PARTS)
    values = np.arange(1 << PART, dtype=np.uint16)
    ones, low = np.bitwise_count(values), values < 1 << (PART - 1)
    parts = []
    for number in range(PARTS):
        keys = words[number // 4].view(np.uint16)[number % 4 :: 4]
        most = bits if number <= remainder else bits - 1
        if number < PARTS // 2:
            parts.append(Part(keys, values[ones <= most].tolist()))
        else:
            inverted = np.where(keys < 1 << (PART - 1), keys, ~keys)
            parts.append(Part(inverted, values[low & ((ones <= most) | (ones >= PART - most))].tolist()))
    return parts


def _count_candidates(part: Part) -> int:
    """Return the number of candidate pairs of a part, to within one per hash."""
    size, key = np.bincount(part.keys, minlength=1 << PART), np.arange(1 << PART)
    return sum(int(size @ size[key ^ mask]) for mask in part.masks) // 2


def _pairs_of_part(part: Part, words: Words, limit: int) -> Iterator[Numbers]:
    """Yield the near pairs among the candidates of a part."""
    order = np.argsort(part.keys, kind="stable")
    keys, words = part.keys[order].astype(np.int64), words[:, order]
    size = np.bincount(keys, minlength=1 << PART)
    end = np.cumsum(size)
    for mask in part.masks:
        if mask:  # two keys once: from the one without the mask's highest bit
            rows = np.flatnonzero(keys & (1 << (mask.bit_length() - 1)) == 0)
            other = keys[rows] ^ mask
            count = size[other]
            begin = end[other] - count
        else:
            rows = np.arange(len(keys))
            begin, count = rows + 1, end[keys] - rows - 1
        for first, second in _ranges(rows, begin, count):
            near = _near(words, first, second, limit)
            if near.size:
                yield np.concatenate([np.sort(order[near[:2]], axis=0), near[2:]])


def _ranges(rows: Numbers, begin: Numbers, count: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield, about AT_ONCE pairs at a time, each row with the `count` positions from `begin` on."""
    total = np.cumsum(count)
    cuts = np.searchsorted(total, np.arange(0, total[-1] if len(total) else 0, AT_ONCE), side="right")
    for low, high in pairwise([*cuts.tolist(), len(rows)]):
        counts = count[low:high]
        offset = begin[low:high] - (np.cumsum(counts) - counts)
        yield np.repeat(rows[low:high], counts), np.repeat(offset, counts) + np.arange(counts.sum())


def _pairs_of_all(words: Words, limit: int) -> Iterator[Numbers]:
    """Yield the near pairs among all, a tile at a time."""
    hashes = words.shape[1]
    for top in range(0, hashes, ROWS):
        for left in range(top, hashes, COLUMNS):
            rows, columns = words[:, top : top + ROWS, None], words[:, None, left : left + COLUMNS]
            even = _distance(rows[0], columns[0]) + _distance(rows[1], columns[1])
            first, second = (index.astype(np.int64) for index in np.nonzero(even <= limit))
            keep = first + top < second + left
            near = _near(words, first[keep] + top, second[keep] + left, limit)
            if near.size:
                yield near


def _near(words: Words, first: Numbers, second: Numbers, limit: int) -> Numbers:
    """Return the pairs within the limit, [3, M]."""
    # A word at a time: rows of words are gathered at half the speed.
    even = _distance(words[0][first], words[0][second]) + _distance(words[1][first], words[1][second])
    keep = np.flatnonzero(even <= limit)
    first, second = first[keep], second[keep]
    odd = sum(_distance(word[first], word[second]).astype(np.int64) for word in words[2:])
    weight = 2 * even[keep].astype(np.int64) + np.minimum(2 * odd, 2 * (HALF - odd) + 1)
    near = weight <= 2 * limit + 1
    return np.stack([first[near], second[near], weight[near]])


def _distance(word: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.bitwise_count(word ^ other)
