"""Pictures that must stay together: copies, near-copies and groups, found by bytes, looks and annotation.

What a picture looks like is told by a perceptual hash: which of its cosine transform's 16 x 16 lowest
frequencies are stronger than their median, bit for bit as imagehash.phash tells it of 64 x 64 grey pixels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from localizer.images.decoding import as_rgb
from localizer.probing.hamming import BITS, near_pairs

# Of 100 copies each from three data sets all were found that were resized to 0.3 to 0.9, recompressed at quality 30
# to 70, brightened or darkened by 30%, turned to grey or mirrored (26 bits at most) or lost 1% at each edge; 94 to
# 98 that lost 2%. Other photographs of two sets are 86 bits away or more. Of 2,000 demo scenes, all cut from two
# photographs, 12 pairs are nearer: the same cut with another digit. Small drawings of one layout are nearer, too.
SAME_PICTURE = 44
KEYS = ["image", "sha256", "phash", "group"]
PLAIN = 2.0  # grey levels: the standard deviation below which a picture has too little detail for a hash
SAMPLED, REDUCED = 192, 64  # pixels a side
HELD = 1 << 21  # pairs: so many are brought down to those that join them at a time
BYTES = BITS // 8  # of a hash

# The 16 lowest frequencies of the cosine transform (DCT-II) of 64 values.
WAVES = np.cos(np.pi * np.outer(np.arange(16), 2 * np.arange(REDUCED) + 1) / (2 * REDUCED))

Numbers = NDArray[np.int64]
Signal = NDArray[np.float64]


class Pair(NamedTuple):
    """Two pictures that look the same, by position, and how many of 256 bits differ (after mirroring one)."""

    first: int
    second: int
    distance: int
    mirrored: bool

    def reason(self) -> str:
        """Return why the two belong together."""
        return f"{'mirrored' if self.mirrored else 'looks the same'} ({self.distance} of {BITS} bits differ)"


class Link(NamedTuple):
    """Two pictures that belong together, by position, and why."""

    first: int
    second: int
    reason: str


class Clusters(NamedTuple):
    """The cluster of each image, by name, and the links that made them."""

    names: "pd.Series[str]"
    links: list[Link]


def perceptual_hash(image: Image.Image) -> str:
    """Return the hash of a decoded upright image as 64 hex digits; empty if it has less detail than PLAIN."""
    grey = _reduced(image)
    if grey.std() < PLAIN:
        return ""
    # Rounded, because what is 0, as in a symmetrical picture, differs from it on each machine.
    strength = (WAVES @ grey @ WAVES.T).round(3)
    below = BITS // 2 - 1  # as many are above the median as above this one of the sorted, which is quicker to find
    return np.packbits(strength > np.partition(strength, below, axis=None)[below]).tobytes().hex()


def near_duplicates(phashes: Iterable[str]) -> list[Pair]:
    """Return pairs of pictures whose hashes differ by SAME_PICTURE bits or less; an empty hash is like no other.

    Of N pictures that are all alike not all pairs are told but the N - 1 closest that still join them all (a
    minimum spanning forest), so that a film does not need N^2 pairs: each picture that has a near-duplicate
    is told with one of its nearest. Sorted by first, second.
    """
    known, content = list[int](), bytearray()
    for position, phash in enumerate(phashes):
        if phash:
            known.append(position)
            content += bytes.fromhex(phash)
    places, forest = np.array(known, dtype=np.int64), _forest(np.frombuffer(content, np.uint8).reshape(-1, BYTES))
    order = np.lexsort((forest[1], forest[0]))
    first, second = places[forest[0, order]], places[forest[1, order]]
    told = zip(first.tolist(), second.tolist(), forest[2, order].tolist(), strict=True)
    return [Pair(one, other, weight // 2, bool(weight % 2)) for one, other, weight in told]


def cluster_images(images: pd.DataFrame) -> Clusters:
    """Return which images must stay together: equal bytes, equal looks, or an equal group that is not empty.

    images: columns image, sha256, phash and group, the latter three of text that may be empty, or missing. A
    cluster is named by its smallest group, else by the smallest sha256 of its members, else by the image: neither
    the order of the rows nor images that join other clusters change it.
    """
    images = pd.DataFrame({name: images.get(name, "") for name in KEYS}, index=images.index, dtype="str")
    links = [*_equal(images["sha256"], "same bytes"), *_alike(images)]
    links += [link._replace(reason=f"same group {link.reason}") for link in _equal(images["group"])]
    return Clusters(_names(images, _components(links, len(images))), links)


def _reduced(image: Image.Image) -> Signal:
    """Return the image as grey, [64, 64].

    A large one is sampled first, 9 pixels for each: to average them all takes a quarter of the time
    of decoding, and found no copy more.
    """
    sampled = (min(SAMPLED, image.width), min(SAMPLED, image.height))
    rgb = as_rgb(image.resize(sampled, Image.Resampling.NEAREST))
    rgb = rgb.reduce((max(1, rgb.width // REDUCED), max(1, rgb.height // REDUCED)))
    return np.asarray(rgb.convert("L").resize((REDUCED, REDUCED), Image.Resampling.LANCZOS), dtype=np.float64)


def _forest(bits: NDArray[np.uint8]) -> Numbers:
    """Return the pairs of `near_duplicates` among hashes, [N, 32] bytes: [3, M] as those of `near_pairs`."""
    _, first, same = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[same] != np.arange(len(bits)))  # each is nearest to the first of its own hash
    once = np.sort(first)
    found, held = [np.stack([first[same[again]], again, np.zeros_like(again)])], 0
    for pairs in near_pairs(bits[once], limit=SAME_PICTURE):
        found.append(np.concatenate([once[pairs[:2]], pairs[2:]]))
        held += pairs.shape[1]
        if held > HELD:
            found, held = [_spanning_forest(np.concatenate(found, axis=1), len(bits))], 0
    return _spanning_forest(np.concatenate(found, axis=1), len(bits))


def _spanning_forest(edges: Numbers, nodes: int) -> Numbers:
    """Return the fewest and lightest edges that join what the given ones join; an edge may be given several times."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    # Weighed by rank, so that of equal ones the first are kept on every machine.
    edges = edges[:, np.lexsort((edges[1], edges[0], edges[2]))]
    edges = edges[:, np.append(True, (edges[:, 1:] != edges[:, :-1]).any(axis=0))[: edges.shape[1]]]
    graph = coo_array((np.arange(1.0, edges.shape[1] + 1), (edges[0], edges[1])), shape=(nodes, nodes))
    kept = minimum_spanning_tree(graph.tocsr()).tocoo().data.astype(np.int64) - 1
    return edges[:, np.sort(kept)]


def _equal(values: "pd.Series[str]", reason: str = "") -> Iterator[Link]:
    """Yield links from the first to each further position of a value that is not empty; the reason, or the value."""
    several = np.flatnonzero(values.duplicated(keep=False) & (values != ""))
    first: dict[str, int] = {}
    for position, value in zip(several.tolist(), values.iloc[several], strict=True):
        if first.setdefault(value, position) != position:
            yield Link(first[value], position, reason or value)


def _alike(images: pd.DataFrame) -> Iterator[Link]:
    """Yield links between images that look the same and differ in bytes."""
    copy = (images["sha256"].duplicated() & (images["sha256"] != "")).to_numpy()
    for pair in near_duplicates(images["phash"].where(~copy, "")):
        yield Link(pair.first, pair.second, pair.reason())


def _components(links: Sequence[Link], nodes: int) -> NDArray[np.int32]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(link.first, link.second) for link in links], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1]


def _names(images: pd.DataFrame, component: NDArray[np.int32]) -> "pd.Series[str]":
    # Sorted, "0 group" comes before "1 sha256" and "2 image".
    name = ("2image:" + images["image"]).where(images["sha256"] == "", "1" + images["sha256"])
    name = name.where(images["group"] == "", "0group:" + images["group"])
    several = (np.bincount(component, minlength=1) > 1)[component]
    name[several] = name[several].groupby(component[several]).transform("min").array
    return name.str[1:].rename("cluster")
