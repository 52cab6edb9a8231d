"""`localizer predict`: boxes for images.

The exit status is 0 if every image got its box, and 1 if any did not; the rest are predicted all the same.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

from typer import Argument, BadParameter, Option

from localizer.commands.options import Device, ModelName
from localizer.serving.model_forms import MODEL, SUFFIX

if TYPE_CHECKING:
    from localizer.predictor import FailedImage, Prediction, Predictor
    from localizer.serving.image_inputs import ImageInput
    from localizer.serving.prediction_formats import OutputFormat


def _path(text: str) -> Path:
    if not text:
        raise BadParameter("an empty name")
    return Path(text)


IMAGES = "a file; a folder, searched recursively; a quoted glob, also with **; or - for one path per line on stdin"


@dataclass(frozen=True)
class Options:
    images: Annotated[list[str], Argument(metavar="IMAGE", help=IMAGES)]
    model: ModelName = str(MODEL)
    format: Annotated[Literal["jsonl", "csv"], Option(help="of the output")] = "jsonl"
    output: Annotated[
        Path | None, Option(parser=_path, metavar="FILE", help="write to FILE, all at the end, not to stdout")
    ] = None
    batch: Annotated[
        int | None, Option(metavar="N", min=1, max=99_999, help="batch size: images held in memory at once")
    ] = None
    device: Device = "auto"
    draw: Annotated[
        Path | None, Option(parser=_path, metavar="DIR", help="write each image with its box to DIR, as a PNG")
    ] = None
    margin: Annotated[bool, Option("--margin", help="with --draw: also draw the box enlarged by its margin")] = False


def run(options: Options) -> int:
    """Print the box of each image, or why it has none, as JSON lines or CSV.

    Example: localizer predict photos/ --draw drawn/ --margin
    """
    from localizer.device import choose_device
    from localizer.files import replacing
    from localizer.predictor import BATCH, Predictor
    from localizer.serving.image_inputs import expand_inputs
    from localizer.serving.model_finder import find_model
    from localizer.serving.prediction_drawing import draw_all, drawing_paths
    from localizer.serving.prediction_formats import FORMATS

    _check(options)
    images = [*expand_inputs(options.images, stdin_lines=_stdin_lines())]
    drawings = drawing_paths(images, options.draw) if options.draw else {}
    output = _writable(options.output, images) if options.output else None
    weights = find_model(options.model)
    if weights != Path(options.model):
        print(f"localizer predict: {options.model} is {weights}", file=sys.stderr)
    predictor = Predictor.load(weights, device=choose_device(options.device))
    predictions = _predict(images, predictor, batch_size=options.batch or BATCH)
    if drawings:
        predictions = draw_all(predictions, images, drawings, with_margin=options.margin)
    on_terminal = not output and sys.stdout.isatty()
    with replacing(output) if output else nullcontext(sys.stdout.buffer) as file:
        failed = _write(predictions, file, FORMATS[options.format], total=len(images), progress=not on_terminal)
    if failed and not on_terminal:
        print(f"localizer predict: {failed} of {len(images)} images failed; see `error` in the output", file=sys.stderr)
    return 1 if failed else 0


def _check(options: Options) -> None:
    if models := [image for image in options.images if image.endswith(SUFFIX)]:
        images = shlex.join(image for image in options.images if image not in models) or "IMAGE"
        raise ValueError(
            f"{models[0]}: expected an image, got a model; write: "
            f"localizer predict {images} --model {shlex.quote(models[0])}"
        )
    if options.margin and not options.draw:
        raise ValueError("--margin: nothing is drawn; add --draw DIR (the output has margin_px anyway)")
    if not options.output and sys.stdout is None:
        raise ValueError("standard output is closed; write to a file: --output FILE")


def _stdin_lines() -> Iterator[bytes]:
    """Yield the lines of standard input, which may be closed where no argument is `-`."""
    if sys.stdin is None:
        raise ValueError("-: standard input is closed; give the paths there, or as arguments")
    yield from sys.stdin.buffer


def _writable(output: Path, images: "Sequence[ImageInput]") -> Path:
    """Return the file to write, links resolved; ValueError if it can't be written or is a model or an image."""
    from localizer.files import check_writable
    from localizer.serving.prediction_drawing import file_ids

    if output.exists() and not output.is_file():
        raise ValueError(f"--output {output}: not a regular file; leave --output out to print")
    if output.suffix == SUFFIX or file_ids([output]) & file_ids(image.path for image in images):
        raise ValueError(f"--output {output}: a model, or one of the images; name another file")
    resolved = Path(os.path.realpath(output))
    if resolved.is_symlink():
        raise ValueError(f"--output {output}: a loop of links; name another file")
    check_writable(resolved.parent)
    return resolved


def _predict(
    images: "Sequence[ImageInput]", predictor: "Predictor", *, batch_size: int
) -> "Iterator[Prediction | FailedImage]":
    """Yield the prediction or failure of each image, in order."""
    from localizer.device import describe, explain_oom
    from localizer.predictor import FailedImage, ImageSource

    sources = (ImageSource(image.name, image.path) for image in images if not image.error)
    predictions = predictor.predict_all(sources, batch_size=batch_size)
    with explain_oom(f"--batch {batch_size} on {describe(predictor.device)}; lower it"):
        for image in images:
            yield FailedImage(image.name, image.error) if image.error else next(predictions)


def _write(
    predictions: "Iterable[Prediction | FailedImage]",
    file: BinaryIO,
    how: "OutputFormat",
    *,
    total: int,
    progress: bool,
) -> int:
    """Write each prediction as soon as it is there; return how many images failed."""
    from localizer.predictor import FailedImage
    from localizer.progress import with_progress

    failed = 0
    file.write(how.header)
    for prediction in with_progress(predictions, total=total, description="images") if progress else predictions:
        failed += isinstance(prediction, FailedImage)
        file.write(how.encode(prediction))
        file.flush()
    return failed
