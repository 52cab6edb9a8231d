"""`localizer demo`: a page where one drops a picture and sees the box."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.serving import find_model

if TYPE_CHECKING:
    from localizer.serving.web_app import Example

SPLIT, CARD = Path("tables/split.csv"), Path("tables/dataset.yaml")


def add_options(parser: argparse.ArgumentParser) -> None:
    find_model.add_model_option(parser)
    parser.add_argument("--port", type=int, default=8000, help="8000 unless told; 0 takes any free one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="which address to answer at: this machine's own, unless told"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(options: argparse.Namespace) -> int:
    """Serve a page where one drops a picture and sees the box, its margin and whether the model is confident."""
    with suppress(KeyboardInterrupt):
        _serve(options)
    return 0


def _serve(options: argparse.Namespace) -> None:
    from localizer.device import choose_device
    from localizer.predictor import Predictor
    from localizer.serving.http_security import address, warning_for
    from localizer.serving.web_app import listen, make_app, server

    with listen(options.host, options.port) as listener:
        predictor = Predictor.load(find_model.find_model(options.model), device=choose_device(options.device))
        app = make_app(predictor, some=_examples(), host=options.host)
        if warning := warning_for(options.host):
            print(f"localizer demo: warning: {warning}", file=sys.stderr, flush=True)
        place = address(options.host, listener.getsockname()[1])
        print(f"Open {place} and drop a picture there. Ctrl-C ends the page.", flush=True)
        server(app).run(sockets=[listener])


def _examples() -> "list[Example]":
    """Return the examples of the data set that lies here; none, and why on stderr, where its tables can't be read."""
    from localizer.serving.web_app import examples

    try:
        return examples(SPLIT, CARD)
    except (ValueError, OSError) as error:
        print(f"localizer demo: no examples, {SPLIT} or {CARD} can't be read: {error}", file=sys.stderr, flush=True)
        return []
