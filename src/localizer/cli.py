"""The command `localizer`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from localizer.boxes import BoxFormat


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 with a message where the input is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError) as error:
        print(f"localizer {options.command}: {error}", file=sys.stderr)
        return 1


def init(options: argparse.Namespace) -> int:
    """Make data/NAME from annotations and images, and put it under DVC's control."""
    from localizer.data.intake import draft_card, make_data_set, track, unused_columns

    columns = {"image": options.image_column, "label": options.label_column, "box": options.box_columns}
    columns |= {"width": options.width_column, "height": options.height_column}
    keys = ("label", "box_format", "box_units", "box_origin", "multiple", "on_bad_row")
    choices = {key: getattr(options, key) for key in keys} | {"columns": columns}
    card = draft_card(options.name, options.annotations, choices)
    folder = make_data_set(options.name, card, annotations=options.annotations, images=options.images)
    track(folder / "raw")
    print(f"{folder}/dataset.yaml: boxes are read as {card.box_format}, in {card.box_units}s, from {card.box_origin}.")
    if unused := unused_columns(card, options.annotations):
        print(f"Columns not used: {', '.join(unused)} (is one an image's --width-column or --height-column?)")
    print("Look it over, commit it, and run the pipeline on it:")
    print(f"  git add {folder} && git commit -m 'Data set {options.name}'")
    print(f"  dvc exp run -S prepare.dataset={options.name}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Print a JSON line for each image: its box, or what is wrong with it."""
    from localizer.data.images import ImageError, open_rgb
    from localizer.device import choose_device
    from localizer.evaluation.gallery import PREDICTED, draw_boxes
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localizer", description="Find the one object in a picture.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_init(commands.add_parser("init", help=init.__doc__, description=init.__doc__))
    _add_predict(commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__))
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=init)
    parser.add_argument("name", metavar="NAME", help="of the data set: its folder is data/NAME")
    parser.add_argument("--annotations", type=Path, required=True, help="a CSV, or a folder of Pascal VOC XML files")
    parser.add_argument("--images", type=Path, required=True, help="the folder that the annotations' images are in")
    parser.add_argument("--image-column", help="column of the image's path, relative to --images")
    parser.add_argument(
        "--box-columns",
        type=lambda text: text.split(","),
        metavar="A,B,C,D",
        help="in the order of --box-format",
    )
    parser.add_argument("--label-column")
    parser.add_argument("--width-column", help="column of the image's width in pixels, to be checked")
    parser.add_argument("--height-column")
    parser.add_argument("--box-format", choices=get_args(BoxFormat))
    parser.add_argument("--box-units", choices=("pixel", "unit"))
    parser.add_argument("--box-origin", type=int, choices=(0, 1), help="1: pixels are counted from 1, as in Pascal VOC")
    parser.add_argument("--label", help="the label of the one object; all labels if not given")
    parser.add_argument("--multiple", choices=("error", "largest", "drop"), help="for images with several boxes")
    parser.add_argument("--on-bad-row", choices=("fail", "quarantine"))


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=predict)
    parser.add_argument("model", type=Path, metavar="MODEL", help="MODEL.safetensors, with MODEL.json beside it")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write each picture with its box to DIR")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


if __name__ == "__main__":
    sys.exit(main())
