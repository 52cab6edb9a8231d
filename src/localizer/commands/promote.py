"""`localizer promote`: make a run's model the champion, if it is better than the present one beyond luck.

The exit status is 0 if the model is the champion now, or was before, and 1 if it is refused or can't be compared. The
decision and its reasons are written as JSON, see `Promotion.to_json`, and to the version of the registered model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from localizer.comparison.promotion import Promotion

REASONS = Path("reports/promote/verdict.json")


ASKED = "the id of a run in MLflow, six characters of it or more, or its name: the pipeline's or a stage's"


@dataclass(frozen=True)
class Options:
    asked: Annotated[str, Argument(metavar="RUN", help=ASKED)]
    reasons: Annotated[Path, Option(metavar="FILE", help="JSON file for the reasons")] = REASONS


def run(options: Options) -> int:
    """Make a run's model the champion if it is better beyond luck and on no slice clearly worse; exit with 1 if not.

    Example: localizer promote longer
    """
    from localizer.comparison.promotion import find_challenger, promote
    from localizer.files import check_file
    from localizer.tracking.registry.registry import CHAMPION_URI, open_registry

    if options.reasons != REASONS:  # the default's folder is created
        check_file(options.reasons, option="--reasons")
    registry = open_registry()
    challenger = find_challenger(options.asked, registry)
    with registry.locked():
        champion = registry.champion()
        if champion and champion.model == challenger.model:
            print(f"{challenger.name} is already the champion: {CHAMPION_URI}, version {champion.number}; no change")
            return 0
        promotion = promote(challenger, champion, registry=registry, reasons=options.reasons)
    print(_summary(promotion, server=registry.server, reasons=options.reasons))
    return 0 if promotion.decision.promoted else 1


def _summary(promotion: "Promotion", *, server: str, reasons: Path) -> str:
    from localizer.tracking.registry.registry import CHAMPION_URI, FORMER_CHAMPION_URI

    holder = f"version {promotion.holder}" if promotion.holder else "not set"
    version = promotion.version.number
    lines = [f"{promotion.outcome}: {promotion.challenger.name}, version {version} of the registered model"]
    lines += [f"  {reason}" for reason in promotion.decision.reasons]
    lines.append(f"{CHAMPION_URI}{f' on {server}' if server else ''} is {holder}")
    if promotion.decision.promoted and promotion.champion:
        lines.append(f"{FORMER_CHAMPION_URI} is version {promotion.champion.number}")
    return "\n".join([*lines, f"reasons: {reasons}"])
