"""`localizer promote`: a run's model becomes the champion, if it is better than the present one beyond luck.

The exit status is 0 where the model is the champion now, or was before, and 1 where it is refused or can't be judged.
Where it was judged, the reasons are written as JSON, as `Promotion`, and to its version of the registered model.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localizer.comparison.gate import Verdict
    from localizer.comparison.groups import Result
    from localizer.tracking.history.evaluations import Evaluated
    from localizer.tracking.registry.registry import Registry, Version

REASONS = Path("reports/promote/verdict.json")
BY_HAND = "register the model as localizer on its run's page, and give that version the alias champion"


@dataclass(frozen=True)
class Promotion:
    """What was decided on a challenger.

    champion: the number of the version that it was compared with; None if there was no champion. holder: of the
    version that has the alias at the end.
    """

    verdict: "Verdict"
    challenger: "Evaluated"
    version: int
    champion: int | None
    holder: int | None

    def told(self) -> dict[str, Any]:
        """Return it as JSON holds it; the challenger without its params, metrics and predictions."""
        told = ("run_id", "pipeline_id", "name", "commit", "dirty", "model")
        challenger = {name: getattr(self.challenger, name) for name in told}
        compared = {"version": self.version, "champion": self.champion}
        return self.verdict.told() | {"challenger": challenger} | compared


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "asked",
        metavar="RUN",
        help="the id of a run in MLflow, six characters of it or more, or its name: the pipeline's or a stage's",
    )
    parser.add_argument(
        "--reasons", type=Path, default=REASONS, metavar="FILE", help="where the reasons go, as JSON: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Make a run's model the champion if it is better beyond luck and nowhere clearly worse; the exit status tells."""
    from localizer.files import check_file
    from localizer.tracking.registry.registry import ADDRESS, open_registry

    if options.reasons != REASONS:  # whose folder is ours to make
        check_file(options.reasons, option="--reasons")
    registry = open_registry()
    challenger = _one(options.asked, registry)
    with registry.locked():
        champion = registry.champion()
        if champion and champion.model == challenger.model:
            print(f"{challenger.name} is the champion already: {ADDRESS}, version {champion.number}; nothing changed")
            return 0
        verdict = _judge(challenger, champion, registry=registry)
        promotion = _settle(verdict, challenger, champion, registry=registry, reasons=options.reasons)
    print(_text(promotion, server=registry.server, reasons=options.reasons))
    return 0 if promotion.verdict.promoted else 1


def _one(asked: str, registry: "Registry") -> "Evaluated":
    """Return the one evaluation that is meant, with a model; ValueError if there is none, or several."""
    from localizer.tracking.history.evaluations import listed
    from localizer.tracking.registry.candidates import challengers

    found = challengers(registry, asked)
    if not found:
        stores = f"on the MLflow server {registry.server} or " if registry.server else ""
        raise ValueError(
            f"{asked}: no run of that id or name {stores}in this checkout's mlflow.db; an id needs six characters "
            "(`make ui`)"
        )
    if len(found) > 1:
        raise ValueError(f"{asked}: {len(found)} evaluations are meant by this: {listed(found)}; name one by its id")
    if found[0].model is None:
        raise ValueError(
            f"{found[0].name}, run {found[0].run_id}: this store has no logged model of its training, or several; "
            "run `dvc repro --force` to train it here"
        )
    return found[0]


def _judge(challenger: "Evaluated", champion: "Version | None", *, registry: "Registry") -> "Verdict":
    from localizer.comparison.gate import decide, first

    registry.check(str(challenger.model))
    result = _result(challenger, name=challenger.name)
    verdict = decide(_champions(champion, registry), result) if champion else first(result)
    return replace(verdict, reasons=(*verdict.reasons, *_caveats(challenger)))


def _champions(champion: "Version", registry: "Registry") -> "Result":
    """Return the champion's result; ValueError, with the way around it, where it can't be had."""
    from localizer.tracking.store import StoreError

    place, by_hand = f"version {champion.number}", f"{registry.server or '`make ui`'}, {BY_HAND}"
    try:
        evaluation = registry.evaluation(champion)
        if evaluation.predictions is None:
            raise ValueError(f"predictions.csv of {evaluation.run_id}, its evaluation, is gone")
    except StoreError:
        raise
    except ValueError as error:
        raise ValueError(f"{place}, the champion, can't be compared with: {error}; to promote: {by_hand}") from None
    try:
        return _result(evaluation, name=f"{place} ({evaluation.name})")
    except ValueError as error:
        raise ValueError(f"the champion can't be compared with: {error}; or to promote: {by_hand}") from None


def _result(evaluation: "Evaluated", *, name: str) -> "Result":
    from localizer.comparison.groups import Result
    from localizer.comparison.results import read_predictions

    where = f"{name}, evaluation {evaluation.run_id}"
    if evaluation.predictions is None:
        raise ValueError(
            f"{where}: its predictions.csv is gone; run `dvc repro --force evaluate` at its commit, and promote that"
        )
    images = read_predictions(evaluation.predictions, where=where)
    return Result(name, evaluation.params, evaluation.metrics, images, evaluation.commit, evaluation.dirty)


def _caveats(challenger: "Evaluated") -> list[str]:
    if challenger.dirty is None:
        return ["its commit is unknown: nobody can tell which code made it"]
    if challenger.dirty and _is_experiment(challenger):
        kept = f"`dvc exp branch {challenger.name} NAME` keeps it for good"
        return [f"made by the experiment {challenger.name} on {challenger.commit[:8]}; {kept}"]
    if challenger.dirty:
        return [f"made from changes that weren't committed to {challenger.commit[:8]}: git alone can't make it again"]
    return []


def _is_experiment(challenger: "Evaluated") -> bool:
    """Return whether DVC has the experiment that the run is named after, with the same metrics."""
    from localizer.comparison.results import agree, of_revision
    from localizer.pipeline.revisions import experiment

    sha = experiment(challenger.name, challenger.commit)
    try:
        return sha is not None and agree(challenger.metrics, of_revision(challenger.name, sha))
    except ValueError:  # it has no results
        return False


def _settle(
    verdict: "Verdict", challenger: "Evaluated", champion: "Version | None", *, registry: "Registry", reasons: Path
) -> Promotion:
    """Keep the verdict, and then do what it says: a champion without its reasons is none."""
    version = registry.register(str(challenger.model))
    old = champion.number if champion else None
    promotion = Promotion(verdict, challenger, version.number, champion=old, holder=old)
    _keep(promotion, version, registry=registry, reasons=reasons)
    if not verdict.promoted:
        return promotion
    holder = registry.crown(version, instead_of=champion)
    if holder == version.number:
        return replace(promotion, holder=holder)
    promotion = _refused(promotion, holder)
    _keep(promotion, version, registry=registry, reasons=reasons)
    return promotion


def _keep(promotion: Promotion, version: "Version", *, registry: "Registry", reasons: Path) -> None:
    from localizer.files import replace_text
    from localizer.tracking.registry.registry import EVALUATION

    verdict, challenger = promotion.verdict, promotion.challenger
    tags = {"verdict": _word(verdict), "reasons": "\n".join(verdict.reasons), "gain": f"{verdict.gain.value:.6f}"}
    told = "".join(f"\n- {reason}" for reason in verdict.reasons)
    description = f"{_word(verdict).capitalize()}: {challenger.name}, evaluation {challenger.run_id}\n{told}\n"
    replace_text(reasons, json.dumps(promotion.told(), indent=2) + "\n")
    registry.note(version, tags | {EVALUATION: challenger.run_id}, description=description)


def _refused(promotion: Promotion, holder: int | None) -> Promotion:
    """Return the refusal of what was judged against one that is no longer the champion."""
    new, old = (f"version {number}" if number else "no one" for number in (holder, promotion.champion))
    moved = f"the champion became {new} while this was judged against {old}: promote it again"
    verdict = replace(promotion.verdict, promoted=False, reasons=(moved, *promotion.verdict.reasons))
    return replace(promotion, verdict=verdict, holder=holder)


def _word(verdict: "Verdict") -> str:
    return "promoted" if verdict.promoted else "refused"


def _text(promotion: Promotion, *, server: str, reasons: Path) -> str:
    from localizer.tracking.registry.registry import ADDRESS, FORMER_ADDRESS

    verdict, champion = promotion.verdict, promotion.champion
    whose = f"version {promotion.holder}" if promotion.holder else "no one"
    lines = [f"{_word(verdict)}: {promotion.challenger.name}, version {promotion.version} of the registered model"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines.append(f"{ADDRESS}{f' on {server}' if server else ''} is {whose}")
    if verdict.promoted and champion:
        lines.append(f"{FORMER_ADDRESS} is version {champion}")
    return "\n".join([*lines, f"reasons: {reasons}"])
