"""Images that must stay together: copies, near-copies and groups, found by content, perceptual hash and annotation.

The perceptual hash: which of the 16 x 16 lowest DCT coefficients of 64 x 64 gray pixels exceed their median. Of an
image of that size it equals `imagehash.phash(image, hash_size=16)`; a larger one is sampled first.
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
# to 70, brightened or darkened by 30%, converted to gray or mirrored (26 bits at most) or cropped by 1% at each edge;
# 94 to 98 of those cropped by 2%. Other photos of two sets are 86 bits away or more. Of 2,000 demo scenes, all crops of
# two photos, 12 pairs are nearer: the same crop with another digit. Small drawings of one layout are nearer, too.
MAX_DISTANCE = 44
KEYS = ["image", "sha256", "phash", "group"]
MIN_CONTRAST = 2.0  # gray levels: the standard deviation below which an image has too little detail for a hash
SAMPLED, REDUCED = 192, 64  # pixels per side
MAX_EDGES = 1 << 21  # held at once, before they are reduced to a spanning forest
BYTES = BITS // 8  # of a hash

# The 16 lowest frequencies of the cosine transform (DCT-II) of 64 values.
DCT_BASIS = np.cos(np.pi * np.outer(np.arange(16), 2 * np.arange(REDUCED) + 1) / (2 * REDUCED))

Numbers = NDArray[np.int64]
Signal = NDArray[np.float64]


class Pair(NamedTuple):
    """Two near-duplicates, by position, and how many of 256 bits differ (after mirroring one)."""

    first: int
    second: int
    distance: int
    mirrored: bool

    def reason(self) -> str:
        """Return in words why the two belong together."""
        return f"{'mirrored' if self.mirrored else 'looks the same'} ({self.distance} of {BITS} bits differ)"


class Link(NamedTuple):
    """Two images that belong together, by position, and why."""

    first: int
    second: int
    reason: str


class Clusters(NamedTuple):
    """The cluster of each image, by name, and the links that made them."""

    names: "pd.Series[str]"
    links: list[Link]


def perceptual_hash(image: Image.Image) -> str:
    """Return the hash of a decoded upright image as 64 hex digits; empty if its contrast is below MIN_CONTRAST."""
    gray = _reduced(image)
    if gray.std() < MIN_CONTRAST:
        return ""
    # Rounded, because what is 0, as in a symmetrical image, deviates from it differently on each machine.
    coefficients = (DCT_BASIS @ gray @ DCT_BASIS.T).round(3)
    below = BITS // 2 - 1  # as many are above the median as above this one of the sorted, which is faster to find
    return np.packbits(coefficients > np.partition(coefficients, below, axis=None)[below]).tobytes().hex()


def near_duplicates(phashes: Iterable[str]) -> list[Pair]:
    """Return the near-duplicates within MAX_DISTANCE, sorted by first and second; an empty hash has none.

    Of N images that are all alike only the N - 1 closest pairs that connect them are returned (a minimum spanning
    forest), so that a video does not need N^2 pairs. Each image with near-duplicates is paired with one of its nearest.
    """
    positions, content = list[int](), bytearray()
    for position, phash in enumerate(phashes):
        if phash:
            positions.append(position)
            content += bytes.fromhex(phash)
    forest = _forest(np.frombuffer(content, np.uint8).reshape(-1, BYTES))
    ends, weights = np.array(positions, dtype=np.int64)[forest[:2]].T, forest[2]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    rows = zip(ends[order].tolist(), weights[order].tolist(), strict=True)
    return [Pair(first, second, weight // 2, bool(weight % 2)) for (first, second), weight in rows]


def cluster_images(images: pd.DataFrame) -> Clusters:
    """Return which images must stay together: equal bytes, near-duplicates, or an equal group that is not empty.

    images: columns image, sha256, phash and group; the latter three are text that may be empty, or missing. A cluster
    is named by the smallest group, else by the smallest sha256 of its members, else by the image: neither the order of
    the rows nor new images of other clusters change it.
    """
    images = pd.DataFrame({name: images.get(name, "") for name in KEYS}, index=images.index, dtype="str")
    links = [*_equal(images["sha256"], "same bytes"), *_alike(images), *_equal(images["group"], "same group {}")]
    return Clusters(_names(images, _components(links, len(images))), links)


def _reduced(image: Image.Image) -> Signal:
    """Return the image as gray, [64, 64].

    A large one is sampled first, 9 pixels for each: averaging all takes a quarter of the time of decoding, and found no
    more copies.
    """
    sampled = (min(SAMPLED, image.width), min(SAMPLED, image.height))
    rgb = as_rgb(image.resize(sampled, Image.Resampling.NEAREST))
    rgb = rgb.reduce((max(1, rgb.width // REDUCED), max(1, rgb.height // REDUCED)))
    return np.asarray(rgb.convert("L").resize((REDUCED, REDUCED), Image.Resampling.LANCZOS), dtype=np.float64)


def _forest(bits: NDArray[np.uint8]) -> Numbers:
    """Return the pairs of `near_duplicates` among hashes, [N, 32] bytes: [3, M] as those of `near_pairs`."""
    _, first, same = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    repeated = np.flatnonzero(first[same] != np.arange(len(bits)))  # nearest to the first of the same hash
    unique = np.sort(first)
    edges, held = [np.stack([first[same[repeated]], repeated, np.zeros_like(repeated)])], 0
    for pairs in near_pairs(bits[unique], limit=MAX_DISTANCE):
        edges.append(np.concatenate([unique[pairs[:2]], pairs[2:]]))
        held += pairs.shape[1]
        if held > MAX_EDGES:
            edges, held = [_spanning_forest(np.concatenate(edges, axis=1), len(bits))], 0
    return _spanning_forest(np.concatenate(edges, axis=1), len(bits))


def _spanning_forest(edges: Numbers, nodes: int) -> Numbers:
    """Return the minimum spanning forest of edges, [3, M], some of which may be repeated."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    # Weighted by rank, so that of equal edges the first are kept on every machine.
    edges = edges[:, np.lexsort((edges[1], edges[0], edges[2]))]
    edges = edges[:, np.append(True, (edges[:, 1:] != edges[:, :-1]).any(axis=0))[: edges.shape[1]]]
    graph = coo_array((np.arange(1.0, edges.shape[1] + 1), (edges[0], edges[1])), shape=(nodes, nodes))
    kept = minimum_spanning_tree(graph.tocsr()).tocoo().data.astype(np.int64) - 1
    return edges[:, np.sort(kept)]


def _equal(values: "pd.Series[str]", reason: str) -> Iterator[Link]:
    """Yield links from the first to each further position of a value that is not empty. reason: a template of it."""
    repeated = np.flatnonzero(values.duplicated(keep=False) & (values != ""))
    first: dict[str, int] = {}
    for position, value in zip(repeated.tolist(), values.iloc[repeated], strict=True):
        if first.setdefault(value, position) != position:
            yield Link(first[value], position, reason.format(value))


def _alike(images: pd.DataFrame) -> Iterator[Link]:
    """Yield links between near-duplicates that are no copies."""
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
