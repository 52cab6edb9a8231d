"""`localizer predict`: boxes for images.

The exit status is 0 where every image got its box, and 1 where one did not; the others are answered all the same.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from localizer.serving import find_model
from localizer.serving.prediction_text import FORMATS, Format, encoded

if TYPE_CHECKING:
    from localizer.predictor import FailedImage, Prediction, Predictor
    from localizer.serving.image_inputs import Named


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a file; a folder, with those below it; a glob in quotes, ** too; or -: a path a line on standard input",
    )
    find_model.add_model_option(parser)
    parser.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="%(default)s if not given")
    parser.add_argument("--output", type=_path, metavar="FILE", help="write there, all at the end, and print nothing")
    parser.add_argument("--batch", type=_count, metavar="N", help="how many images are held, and computed together")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--draw", type=_path, metavar="DIR", help="write each picture with its box to DIR, as a PNG")
    parser.add_argument("--margin", action="store_true", help="with --draw: draw the box with its margin, too")


def run(options: argparse.Namespace) -> int:
    """Print the box of each image, or what is wrong with it, as a line of JSON or CSV."""
    from localizer.device import choose_device
    from localizer.predictor import BATCH, Predictor
    from localizer.serving.image_inputs import expand
    from localizer.serving.prediction_drawing import is_drawing

    _check(options)
    images = [*expand(options.images, listed=_lines(), but=is_drawing)]
    drawing = _drawing(images, options)
    output = _output(images, options.output) if options.output else None
    weights = find_model.find_model(options.model)
    if weights != Path(options.model):
        print(f"localizer predict: {options.model} is {weights}", file=sys.stderr)
    predictor = Predictor.load(weights, device=choose_device(options.device))
    answers = _answers(images, predictor, batch_size=options.batch or BATCH)
    with _sink(output) as sink:
        failed = _write(answers, images, sink, how=FORMATS[options.format], drawing=drawing)
        seen = sink.isatty()
    if failed and not seen:
        told = f"{failed} of {len(images)} images got no box; `error` in the answers says why"
        print(f"localizer predict: {told}", file=sys.stderr)
    return 1 if failed else 0


@dataclass(frozen=True)
class _Drawing:
    """Where each image is drawn, and whether its margin is."""

    places: Mapping[Path, Path]
    margin: bool

    def draw(self, answer: "Prediction", path: Path) -> None:
        from localizer.serving.prediction_drawing import draw

        if path in self.places:
            draw(answer, path, self.places[path], wider_px=answer.margin_px if self.margin else None)


def _check(options: argparse.Namespace) -> None:
    if given := [image for image in options.images if image.endswith(find_model.SUFFIX)]:
        rest = shlex.join(image for image in options.images if image not in given) or "IMAGE"
        raise ValueError(
            f"{given[0]}: a model, where an image was expected; write: "
            f"localizer predict {rest} --model {shlex.quote(given[0])}"
        )
    if options.margin and not options.draw:
        raise ValueError("--margin is drawn with the box: add --draw DIR; every answer tells it as margin_px anyway")
    if not options.output and sys.stdout is None:
        raise ValueError("standard output is closed; write the answers to a file: --output FILE")


def _lines() -> Iterator[bytes]:
    """Yield the lines of standard input, which is looked for only when the first is expected: it may be closed."""
    if sys.stdin is None:
        raise ValueError("-: standard input is closed; give the paths there, or as arguments")
    yield from sys.stdin.buffer


def _drawing(images: "Sequence[Named]", options: argparse.Namespace) -> _Drawing:
    from localizer.files import check_writable
    from localizer.serving.prediction_drawing import places

    if not options.draw:
        return _Drawing({}, options.margin)
    if options.draw.exists() and not options.draw.is_dir():
        raise ValueError(f"--draw {options.draw}: not a folder; name another")
    found = places(images, options.draw)
    check_writable(options.draw)
    return _Drawing(found, options.margin)


def _output(images: "Sequence[Named]", output: Path) -> Path:
    """Return the file to write, where a link leads; ValueError where that would lose something else."""
    from localizer.files import check_writable
    from localizer.serving.prediction_drawing import identities

    if output.exists() and not output.is_file():
        raise ValueError(f"--output {output}: not a regular file; leave --output out to print")
    if output.suffix == find_model.SUFFIX or identities([output]) & identities(one.path for one in images):
        raise ValueError(f"--output {output}: a model, or one of the images; name another file")
    place = Path(os.path.realpath(output))
    if place.is_symlink():
        raise ValueError(f"--output {output}: a loop of links; name another file")
    check_writable(place.parent)
    return place


def _answers(
    images: "Sequence[Named]", predictor: "Predictor", *, batch_size: int
) -> "Iterator[Prediction | FailedImage]":
    """Yield an answer for each, in their order."""
    from localizer.device import describe, is_out_of_memory
    from localizer.predictor import FailedImage, ImageSource

    sources = (ImageSource(one.name, one.path) for one in images if not one.error)
    found = predictor.predict_all(sources, batch_size=batch_size)
    try:
        yield from (FailedImage(one.name, one.error) if one.error else next(found) for one in images)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where = describe(predictor.device)
        raise ValueError(f"--batch {batch_size}: too much for the memory of {where}; give a smaller one") from None


def _write(
    answers: "Iterator[Prediction | FailedImage]",
    images: "Sequence[Named]",
    sink: BinaryIO,
    *,
    how: Format,
    drawing: _Drawing,
) -> int:
    """Write all answers, each at once, and return how many images failed; a bar tells how far it is."""
    from tqdm import tqdm

    from localizer.predictor import FailedImage

    # Where the answers themselves are seen to come, a bar would only stand between them.
    hidden = True if sink.isatty() else None
    failed = 0
    sink.write(encoded(how.head))
    with tqdm(total=len(images), unit=" images", disable=hidden) as bar:
        for image, answer in zip(images, answers, strict=True):
            told = answer if isinstance(answer, FailedImage) else _drawn(answer, image.path, drawing)
            failed += isinstance(told, FailedImage)
            sink.write(encoded(how.line(told)))
            sink.flush()
            bar.update()
    return failed


def _drawn(answer: "Prediction", path: Path, drawing: _Drawing) -> "Prediction | FailedImage":
    """Return the answer once it is drawn; a failure where the image can't be read any more, or its picture written."""
    from localizer.images.decoding import ImageError
    from localizer.predictor import FailedImage

    try:
        drawing.draw(answer, path)
    except ImageError as error:
        return FailedImage(answer.image, f"can't be drawn: {error.reason}")
    except OSError as error:
        return FailedImage(answer.image, f"can't be drawn: {error.strerror or error}")
    return answer


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    from localizer.files import replacing

    if output is None:
        yield sys.stdout.buffer
    else:
        with replacing(output) as file:
            yield file


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,4}", text):
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 to 99999 was expected")
    return int(text)


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return Path(text)
