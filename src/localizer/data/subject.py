"""What annotations are about: a card, the file or folder of annotations, and the images."""

from dataclasses import dataclass
from pathlib import Path

from localizer.data.card import Card, read_card


@dataclass(frozen=True)
class Subject:
    """Annotations, the card by which they are read, and the folder of their images, None where nobody has them.

    card_path: the file that holds the card, if one does.
    """

    card: Card
    annotations: Path
    images: Path | None
    card_path: Path | None = None


def subject_of(folder: Path) -> Subject:
    """Return what data/NAME holds; ValueError names each wrong key of its card."""
    card = read_card(folder.name, root=folder.parent)
    images = folder / "raw" / card.images
    return Subject(
        card, folder / "raw" / card.annotations, images if images.is_dir() else None, folder / "dataset.yaml"
    )
