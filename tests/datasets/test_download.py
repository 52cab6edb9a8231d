"""Known data sets: the pinned files, from a mirror or from git, and nothing else.

Where LOCALIZER_MIRROR names a mirror, the two real sets are read, too, and what is known of them is checked.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localizer.boxes import Array, to_fractions
from localizer.dataset import DatasetConfig, GitSource, read_config
from localizer.datasets.annotations import read_boxes
from localizer.datasets.coordinates import parse_coordinates, with_edges
from localizer.datasets.download import MIRROR, download, list_digest, main, repository_name
from localizer.evaluation.metrics import constant_iou, mean_box
from localizer.probing.duplicates import cluster_images
from localizer.probing.metadata import probe_images
from localizer.splitting.assignment import split_by_hash
from localizer.tables import EDGES, SPLITS

DATA = Path(__file__).parents[2] / "data"
EXPECTED = {"labels/all.csv": "a\n", "images/1.jpg": "one", "images/sub/2.jpg": "two"}
UNWANTED = {"README.md": "read me", "labels/other.csv": "b\n"}
# found with: sha256sum images/1.jpg images/sub/2.jpg labels/all.csv | sha256sum
DIGEST = "5de5a961c2a15934b3cd7fb7a6d69f3b8337adab7e333916f5699346f5158149"


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """Make the folder OWNER/REPO of a mirror."""
    repository = tmp_path / "mirror" / "owner" / "repo"
    for path, text in (EXPECTED | UNWANTED).items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    return repository


@pytest.fixture
def source(upstream: Path) -> GitSource:
    return GitSource(repository=str(upstream), commit="0" * 40, paths=["labels/all.csv", "images"], digest=DIGEST)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_mirror_gives_the_named_files_and_no_others(source: GitSource, tmp_path: Path) -> None:
    download(source, tmp_path / "raw", mirror=str(tmp_path / "mirror"))
    assert contents(tmp_path / "raw") == EXPECTED


def test_git_gives_the_same_files_at_the_pinned_commit(source: GitSource, upstream: Path, tmp_path: Path) -> None:
    git(upstream, "init", "--quiet")
    git(upstream, "add", ".")
    git(upstream, "commit", "--quiet", "--message", "first")
    commit = git(upstream, "rev-parse", "HEAD")
    (upstream / "images" / "1.jpg").write_text("newer")
    git(upstream, "commit", "--quiet", "--all", "--message", "second")

    download(source.model_copy(update={"commit": commit}), tmp_path / "raw", mirror=None)

    assert contents(tmp_path / "raw") == EXPECTED


def test_an_unknown_commit_is_named_and_the_mirror_proposed(source: GitSource, upstream: Path, tmp_path: Path) -> None:
    git(upstream, "init", "--quiet")
    git(upstream, "commit", "--quiet", "--allow-empty", "--message", "first")
    with pytest.raises(ValueError, match=rf"owner/repo at 0000000: .*let {MIRROR} name a folder .* owner/repo"):
        download(source, tmp_path / "raw", mirror=None)


def test_a_repository_that_is_not_there_is_named(source: GitSource, tmp_path: Path) -> None:
    nowhere = source.model_copy(update={"repository": str(tmp_path / "owner" / "nowhere")})
    with pytest.raises(ValueError, match=r"owner/nowhere at 0000000: "):
        download(nowhere, tmp_path / "raw", mirror=None)


def test_what_was_in_the_folder_before_is_gone(source: GitSource, tmp_path: Path) -> None:
    (tmp_path / "raw" / "images").mkdir(parents=True)
    (tmp_path / "raw" / "images" / "stray.jpg").write_text("stray")
    download(source, tmp_path / "raw", mirror=str(tmp_path / "mirror"))
    assert contents(tmp_path / "raw") == EXPECTED


def test_other_files_than_those_pinned_are_refused_with_both_digests(
    source: GitSource, upstream: Path, tmp_path: Path
) -> None:
    (upstream / "images" / "1.jpg").write_text("another")
    with pytest.raises(ValueError, match=rf"raw: expected files with the pinned digest {DIGEST}, got [0-9a-f]{{64}}"):
        download(source, tmp_path / "raw", mirror=str(tmp_path / "mirror"))


def test_a_path_that_is_missing_in_the_mirror_is_named(source: GitSource, upstream: Path, tmp_path: Path) -> None:
    (upstream / "labels" / "all.csv").unlink()
    with pytest.raises(ValueError, match=rf"owner/repo/labels/all\.csv: no such file or folder; {MIRROR} must contain"):
        download(source, tmp_path / "raw", mirror=str(tmp_path / "mirror"))


@pytest.mark.parametrize(
    "change",
    [{"images/1.jpg": "uno"}, {"images/3.jpg": "one"}, {"labels/all.csv": "one", "images/1.jpg": "a\n"}],
    ids=["content", "new-file", "swapped"],
)
def test_the_digest_changes_with_a_content_a_name_or_a_swap(tmp_path: Path, change: dict[str, str]) -> None:
    digests = set()
    for name, files in (("before", EXPECTED), ("after", EXPECTED | change)):
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        digests.add(list_digest(tmp_path / name))
    assert len(digests) == 2


@pytest.mark.parametrize(
    "address",
    [
        *("https://github.com/owner/repo", "https://github.com/owner/repo.git", "https://github.com/owner/repo/"),
        *("ssh://git@github.com:22/owner/repo", "/srv/git/owner/repo"),
    ],
)
def test_owner_and_repository_are_the_end_of_the_address(source: GitSource, address: str) -> None:
    assert repository_name(source.model_copy(update={"repository": address})) == "owner/repo"


def write_config(root: Path, **source: object) -> None:
    (root / "data" / "toy").mkdir(parents=True)
    config = DatasetConfig.model_validate(
        {"title": "toy", "format": "voc", "annotations": "xml", "images": "images"} | source
    )
    (root / "data" / "toy" / "dataset.yaml").write_text(config.model_dump_json(exclude_none=True))


def test_the_stage_fetches_into_the_sets_raw_folder(
    source: GitSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, source=source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    monkeypatch.setattr("sys.argv", ["sources", "toy"])
    main()
    assert contents(tmp_path / "data" / "toy" / "raw") == EXPECTED


@pytest.mark.parametrize("changed", [{}, {"source": "made by hand"}])
def test_the_stage_refuses_a_config_without_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    write_config(tmp_path, **changed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sources", "toy"])
    with pytest.raises(SystemExit, match="names no git repository"):
        main()


# The real sets. The numbers were found without this package, by csv, ElementTree and torchvision's box_iou;
# origin 1 is what the cards declare, origin 0 what reading Pascal VOC's numbers as edges would give.

real = pytest.mark.skipif(MIRROR not in os.environ, reason=f"{MIRROR} names no mirror of the real sets")


class RealSet:
    """A known data set, fetched from the mirror."""

    def __init__(self, name: str, raw: Path) -> None:
        self.config = read_config(name, root=DATA)
        assert isinstance(self.config.source, GitSource)
        download(self.config.source, raw, mirror=os.environ[MIRROR])
        self.raw = raw
        self.annotations = read_boxes(self.config, raw / self.config.annotations, images=raw / self.config.images)
        self.metadata = probe_images(raw / self.config.images, self.annotations["image"])

    def boxes(self, **changed: object) -> pd.DataFrame:
        """Return the boxes of the config's label, with their edges."""
        boxes = self.annotations
        return with_edges(
            boxes[boxes["label"] == self.config.label], self.metadata, self.config.model_copy(update=changed)
        )

    def shares_of_one_box_images(self, **changed: object) -> Array:
        """Return the boxes [N, 4] in [0, 1] of the images that have just one."""
        boxes = self.boxes(**changed)
        boxes = boxes[~boxes["image"].duplicated(keep=False)]
        size = self.metadata.set_index("image").loc[boxes["image"], ["width", "height"]].to_numpy(dtype=np.float64)
        return to_fractions(boxes[EDGES].to_numpy(), size[:, 0], size[:, 1])


@pytest.fixture(scope="module")
def raccoon(tmp_path_factory: pytest.TempPathFactory) -> RealSet:
    return RealSet("raccoon", tmp_path_factory.mktemp("raccoon") / "raw")


@pytest.fixture(scope="module")
def bccd(tmp_path_factory: pytest.TempPathFactory) -> RealSet:
    return RealSet("bccd", tmp_path_factory.mktemp("bccd") / "raw")


@real
def test_raccoon_has_217_boxes_on_200_images(raccoon: RealSet) -> None:
    assert len(raccoon.boxes()) == 217
    assert len(raccoon.annotations["image"].unique()) == 200
    assert raccoon.metadata["decodes"].all()


@real
def test_bccd_has_372_white_cells_on_364_images(bccd: RealSet) -> None:
    assert len(bccd.boxes()) == 372
    assert len(bccd.annotations["image"].unique()) == 364
    assert bccd.metadata["decodes"].all()


@real
@pytest.mark.parametrize(("origin", "mean_iou"), [(1, 0.584), (0, 0.583)])
def test_a_mean_box_scores_0_584_on_raccoon(raccoon: RealSet, origin: int, mean_iou: float) -> None:
    boxes = raccoon.shares_of_one_box_images(box_origin=origin)
    assert len(boxes) == 184
    assert round(constant_iou(mean_box(boxes), boxes).mean(), 3) == mean_iou


@real
@pytest.mark.parametrize(("origin", "mean_iou"), [(1, 0.185), (0, 0.183)])
def test_a_mean_box_scores_0_185_on_bccd(bccd: RealSet, origin: int, mean_iou: float) -> None:
    boxes = bccd.shares_of_one_box_images(box_origin=origin)
    assert len(boxes) == 344
    assert round(constant_iou(mean_box(boxes), boxes).mean(), 3) == mean_iou


@real
def test_three_raccoons_are_grey(raccoon: RealSet) -> None:
    gray = raccoon.metadata[raccoon.metadata["mode"] == "L"]
    assert len(gray) == 3
    for path in gray["path"]:
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "L")


@real
def test_raccoon_coordinates_are_counted_from_1(raccoon: RealSet) -> None:
    assert parse_coordinates(raccoon.annotations).min() == 1
    assert raccoon.boxes()[EDGES].to_numpy().min() == 0


@real
def test_the_six_known_groups_of_raccoons_are_found_and_no_split_parts_them(raccoon: RealSet) -> None:
    metadata = raccoon.metadata.assign(cluster=cluster_images(raccoon.metadata.assign(group="")).names)
    groups = [sorted(names) for _, names in metadata.groupby("cluster")["image"] if len(names) > 1]
    known = ((11, 116), (83, 120), (65, 98), (50, 52, 74), (21, 45), (51, 85))
    assert sorted(groups) == sorted(sorted(f"raccoon-{number}.jpg" for number in group) for group in known)
    fractions = dict(zip(SPLITS, (0.7, 0.1, 0.1, 0.1), strict=True))
    for seed in range(10):
        side = split_by_hash(metadata["cluster"], fractions=fractions, seed=seed)
        assert side.groupby(metadata["cluster"]).nunique().max() == 1
        assert side.nunique() == 4


@real
def test_two_boxes_of_bccd_have_no_area(bccd: RealSet) -> None:
    numbers = parse_coordinates(bccd.annotations)
    assert int(((numbers[:, 2] <= numbers[:, 0]) | (numbers[:, 3] <= numbers[:, 1])).sum()) == 2
