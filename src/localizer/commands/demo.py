"""`localizer demo`: a web page that shows the box for an image."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from localizer.commands.options import Device, ModelName
from localizer.serving.model_forms import MODEL

if TYPE_CHECKING:
    from localizer.serving.web_app import Example

SPLIT, CONFIG = Path("tables/split.csv"), Path("tables/dataset.yaml")


@dataclass(frozen=True)
class Options:
    model: ModelName = str(MODEL)
    port: Annotated[int, Option(help="0 is any free port")] = 8000
    host: Annotated[str, Option(help="address to serve on; the default is this machine only")] = "127.0.0.1"
    device: Device = "auto"


def run(options: Options) -> int:
    """Serve a page where you drop an image and see its box, its margin and whether the model is confident.

    Example: localizer demo --port 8080
    """
    from localizer.device import choose_device
    from localizer.predictor import Predictor
    from localizer.serving.http_security import exposure_warning, page_url
    from localizer.serving.model_finder import find_model
    from localizer.serving.web_app import DemoServer, listen, make_app

    with suppress(KeyboardInterrupt), listen(options.host, options.port) as listener:
        predictor = Predictor.load(find_model(options.model), device=choose_device(options.device))
        app = make_app(predictor, examples=_examples(), host=options.host)
        if warning := exposure_warning(options.host):
            print(f"localizer demo: warning: {warning}", file=sys.stderr, flush=True)
        url = page_url(options.host, listener.getsockname()[1])
        print(f"Open {url} and drop an image there. Ctrl-C stops the server.", flush=True)
        DemoServer(app).run(sockets=[listener])
    return 0


def _examples() -> "list[Example]":
    """Return the examples of this checkout's data set; none, with a message, if its tables can't be read."""
    from localizer.serving.web_app import load_examples

    try:
        return load_examples(SPLIT, CONFIG)
    except (ValueError, OSError) as error:
        print(f"localizer demo: no examples, can't read {SPLIT} or {CONFIG}: {error}", file=sys.stderr, flush=True)
        return []
