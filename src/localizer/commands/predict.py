"""`localizer predict`: boxes for images."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="MODEL.safetensors, with MODEL.json beside it")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write each picture with its box to DIR")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(options: argparse.Namespace) -> int:
    """Print a JSON line for each image: its box, or what is wrong with it."""
    from localizer.data.drawing import PREDICTED, draw_boxes
    from localizer.data.images import ImageError, open_rgb
    from localizer.device import choose_device
    from localizer.predictor import Predictor

    predictor = Predictor.load(options.model, device=choose_device(options.device))
    drawings = _drawings(options.images, options.draw) if options.draw else {}
    failed = 0
    for path in options.images:
        try:
            found = predictor.predict(path)
        except ImageError as error:
            failed += 1
            print(json.dumps({"image": str(path), "error": error.reason}), flush=True)
            continue
        print(json.dumps(vars(found)), flush=True)
        if path in drawings:
            draw_boxes(open_rgb(path), {PREDICTED: found.box_xyxy_px}).save(drawings[path])
    return 1 if failed else 0


def _drawings(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return where each image is drawn, making the folder; ValueError where it would be over another picture."""
    places = {path: folder / f"{path.stem}.png" for path in images}
    if len(set(places.values())) < len(places):
        raise ValueError(f"--draw {folder}: two images of the same name; draw them into two folders")
    if own := {place.resolve() for place in places.values()} & {path.resolve() for path in images}:
        raise ValueError(f"--draw {folder}: {min(own)} is one of the images; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return places
