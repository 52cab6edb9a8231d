"""Which hashes of 256 bits are near: all pairs within a distance, also with one of the two pictures mirrored.

Mirroring a picture turns over the odd bits of its hash and leaves the even ones. So the distance of two is that of
their even bits, and that of their odd bits or what it lacks of all, whichever is less.

Of few hashes every pair is compared. Of many, only pairs that nearly agree in one of 16 parts of 16 bits, as all within
the distance do, by the pigeonhole principle (multi-index hashing: Norouzi, Punjani and Fleet 2012). Where so many agree
there, as pictures of one scene do, that this would take longer, every pair is compared after all: the pairs that are
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
DEARER = 6  # times a pair that a part leads to takes what one of every pair takes
ROWS, COLUMNS = 256, 8192  # pairs that are compared at a time: 16 MB a word
AT_ONCE = 1 << 18  # pairs that a part leads to

Words = NDArray[np.uint64]  # [4, N]: two of the even bits, two of the odd
Keys = NDArray[np.uint16]
Numbers = NDArray[np.int64]


class Part(NamedTuple):
    """One part of all hashes as keys [N], and what two of them may differ by to be in question."""

    keys: Keys
    masks: list[int]


def near_pairs(bits: NDArray[np.uint8], *, limit: int) -> Iterator[Numbers]:
    """Yield the pairs of hashes, [N, 32] bytes, that differ by `limit` bits or less, some of them several times.

    Each item is [3, M]: the positions of first < second, and twice the distance, and one more where only the mirrored
    picture is as near.
    """
    words = _mixed(bits)
    every = len(bits) * (len(bits) - 1) // 2
    parts = _parts(words, limit) if len(bits) > FEW else []
    if parts and DEARER * sum(map(_in_question, parts)) < every:
        for part in parts:
            yield from _of_part(part, words, limit)
    else:
        yield from _of_every(words, limit)


def _mixed(bits: NDArray[np.uint8]) -> Words:
    """Return the hashes with all frequencies mixed in each part, since pictures that differ agree in the low ones."""
    place = np.arange(HALF)
    even = 2 * np.argsort((place // 8 + place) % 8, kind="stable")  # the diagonals of 16 rows of 8
    order = np.concatenate([even, even + 1])
    mixed = np.empty_like(bits)
    for start in range(0, len(bits), COLUMNS):
        some = slice(start, start + COLUMNS)
        mixed[some] = np.packbits(np.unpackbits(bits[some], axis=1)[:, order], axis=1)
    return np.ascontiguousarray(mixed.view(np.uint64).T)


def _parts(words: Words, limit: int) -> list[Part]:
    """Return the parts, in at least one of which two hashes within the limit differ by no more than a mask.

    Did they differ by more in each, it would be more than the limit in all. An odd part stands for its mirrored one,
    too: it is turned over where its highest bit is set.
    """
    nearly, more = divmod(limit, PARTS)
    values = np.arange(1 << PART, dtype=np.uint16)
    ones, lower = np.bitwise_count(values), values < 1 << (PART - 1)
    parts = []
    for number in range(PARTS):
        keys = words[number // 4].view(np.uint16)[number % 4 :: 4]
        most = nearly if number <= more else nearly - 1
        if number < PARTS // 2:
            parts.append(Part(keys, values[ones <= most].tolist()))
        else:
            turned = np.where(keys < 1 << (PART - 1), keys, ~keys)
            parts.append(Part(turned, values[lower & ((ones <= most) | (ones >= PART - most))].tolist()))
    return parts


def _in_question(part: Part) -> int:
    """Return how many pairs the part leads to, give or take one a hash."""
    size, key = np.bincount(part.keys, minlength=1 << PART), np.arange(1 << PART)
    return sum(int(size @ size[key ^ mask]) for mask in part.masks) // 2


def _of_part(part: Part, words: Words, limit: int) -> Iterator[Numbers]:
    """Yield the near pairs that the part leads to."""
    order = np.argsort(part.keys, kind="stable")
    keys, words = part.keys[order].astype(np.int64), words[:, order]
    size = np.bincount(keys, minlength=1 << PART)
    end = np.cumsum(size)
    for mask in part.masks:
        if mask:  # two keys once: from the one that lacks the mask's highest bit
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
        some = count[low:high]
        offset = begin[low:high] - (np.cumsum(some) - some)
        yield np.repeat(rows[low:high], some), np.repeat(offset, some) + np.arange(some.sum())


def _of_every(words: Words, limit: int) -> Iterator[Numbers]:
    """Yield the near pairs of all, a tile at a time."""
    hashes = words.shape[1]
    for top in range(0, hashes, ROWS):
        for left in range(top, hashes, COLUMNS):
            rows, columns = words[:, top : top + ROWS, None], words[:, None, left : left + COLUMNS]
            even = _differing(rows[0], columns[0]) + _differing(rows[1], columns[1])
            first, second = (index.astype(np.int64) for index in np.nonzero(even <= limit))
            keep = first + top < second + left
            near = _near(words, first[keep] + top, second[keep] + left, limit)
            if near.size:
                yield near


def _near(words: Words, first: Numbers, second: Numbers, limit: int) -> Numbers:
    """Return which of the pairs are near, [3, M]."""
    # A word at a time: rows of words are gathered at half the speed.
    even = _differing(words[0][first], words[0][second]) + _differing(words[1][first], words[1][second])
    keep = np.flatnonzero(even <= limit)
    first, second = first[keep], second[keep]
    odd = sum(_differing(word[first], word[second]).astype(np.int64) for word in words[2:])
    weight = 2 * even[keep].astype(np.int64) + np.minimum(2 * odd, 2 * (HALF - odd) + 1)
    near = weight <= 2 * limit + 1
    return np.stack([first[near], second[near], weight[near]])


def _differing(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.bitwise_count(one ^ other)
