"""`localizer promote`: make a run's model the champion, if it is better than the present one beyond luck.

The exit status is 0 if the model is the champion now, or was before, and 1 if it is refused or can't be compared. The
decision and its reasons are written as JSON, see `Promotion`, and to the version of the registered model.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.comparison.gate import Decision
    from localizer.comparison.groups import Result
    from localizer.tracking.history.evaluations import EvaluationRun
    from localizer.tracking.registry.registry import Registry, Version

REASONS = Path("reports/promote/verdict.json")
CHALLENGER_KEYS = ("run_id", "pipeline_id", "name", "commit", "dirty", "model")


@dataclass(frozen=True)
class Promotion:
    """The decision on a challenger. champion: the version that it was compared with; None if there was no champion."""

    decision: "Decision"
    challenger: "EvaluationRun"
    version: "Version"
    champion: "Version | None"

    @property
    def outcome(self) -> str:
        return "promoted" if self.decision.promoted else "refused"

    def to_json(self) -> str:
        challenger = {key: getattr(self.challenger, key) for key in CHALLENGER_KEYS}
        compared = {"version": self.version.number, "champion": self.champion.number if self.champion else None}
        return json.dumps(asdict(self.decision) | {"challenger": challenger} | compared, indent=2)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "asked",
        metavar="RUN",
        help="the id of a run in MLflow, six characters of it or more, or its name: the pipeline's or a stage's",
    )
    parser.add_argument(
        "--reasons", type=Path, default=REASONS, metavar="FILE", help="JSON file for the reasons: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Make a run's model the champion if it is better beyond luck and on no slice clearly worse; exit with 1 if not."""
    from localizer.files import check_file
    from localizer.tracking.registry.registry import CHAMPION_URI, open_registry

    if options.reasons != REASONS:  # the default's folder is created
        check_file(options.reasons, option="--reasons")
    registry = open_registry()
    challenger = _find_challenger(options.asked, registry)
    with registry.locked():
        champion = registry.champion()
        if champion and champion.model == challenger.model:
            print(f"{challenger.name} is already the champion: {CHAMPION_URI}, version {champion.number}; no change")
            return 0
        decision = _decide(challenger, champion, registry=registry)
        promotion = Promotion(decision, challenger, registry.register(str(challenger.model)), champion)
        promotion, number = _apply(promotion, registry=registry, reasons=options.reasons)
    print(_summary(promotion, number, server=registry.server, reasons=options.reasons))
    return 0 if promotion.decision.promoted else 1


def _find_challenger(name: str, registry: "Registry") -> "EvaluationRun":
    """Return the evaluation of a run's id or name; ValueError if there is none, or several, or it has no model."""
    from localizer.tracking.history.evaluations import list_evaluations
    from localizer.tracking.registry.registry import find_candidates

    found = find_candidates(registry, name)
    if not found:
        stores = f"on the MLflow server {registry.server} or " if registry.server else ""
        raise ValueError(
            f"{name}: no run of that id or name {stores}in this checkout's mlflow.db; an id needs six characters "
            "(`make ui`)"
        )
    if len(found) > 1:
        raise ValueError(f"{name}: {len(found)} evaluations match: {list_evaluations(found)}; give the id of one")
    if found[0].model is None:
        raise ValueError(
            f"{found[0].name}, run {found[0].run_id}: this store has no logged model of its training, or several; "
            "run `dvc repro --force` to train it here"
        )
    return found[0]


def _decide(challenger: "EvaluationRun", champion: "Version | None", *, registry: "Registry") -> "Decision":
    from localizer.comparison.gate import decide, decide_first

    registry.check_model(str(challenger.model))
    result = _result(challenger, registry, name=challenger.name)
    decision = decide(_champion_result(champion, registry), result) if champion else decide_first(result)
    return replace(decision, reasons=(*decision.reasons, *_caveats(challenger)))


def _champion_result(champion: "Version", registry: "Registry") -> "Result":
    """Return the champion's result; ValueError, with the way to promote without it, if it is gone."""
    from localizer.tracking.errors import StoreError

    try:
        evaluation = registry.evaluation(champion)
        return _result(evaluation, registry, name=f"version {champion.number} ({evaluation.name})")
    except StoreError:
        raise
    except ValueError as error:
        raise ValueError(
            f"version {champion.number}, the champion, can't be compared: {error}; or promote by hand: on "
            f"{registry.server or '`make ui`'}, register the model as localizer on its run's page, and give that "
            "version the alias champion"
        ) from None


def _result(evaluation: "EvaluationRun", registry: "Registry", *, name: str) -> "Result":
    from localizer.comparison.groups import Result
    from localizer.comparison.results import read_predictions
    from localizer.tracking.history.evaluations import find_predictions

    where, predictions = f"{name}, evaluation {evaluation.run_id}", find_predictions(registry.history, evaluation)
    if predictions is None:
        raise ValueError(
            f"{where}: its predictions.csv is gone; run `dvc repro --force evaluate` at its commit, and promote that"
        )
    images = read_predictions(predictions, where=where)
    return Result(name, evaluation.params, evaluation.metrics, images, evaluation.commit, evaluation.dirty)


def _caveats(challenger: "EvaluationRun") -> list[str]:
    """Return what to know about a model that no commit reproduces."""
    commit, name = challenger.commit[:8], challenger.name
    if challenger.dirty is None:
        return ["its commit is unknown: the code that made it can't be identified"]
    if not challenger.dirty:
        return []
    if _is_experiment(challenger):
        return [f"made by the experiment {name} on {commit}; `dvc exp branch {name} NAME` keeps it"]
    return [f"made from changes that weren't committed to {commit}: git alone can't reproduce it"]


def _is_experiment(challenger: "EvaluationRun") -> bool:
    """Return whether DVC has the experiment that the run is named after, with the same metrics."""
    from localizer.comparison.results import revision_result, same_metrics
    from localizer.pipeline.revisions import resolve_experiment

    sha = resolve_experiment(challenger.name, base=challenger.commit)
    try:
        return sha is not None and same_metrics(challenger.metrics, revision_result(challenger.name, sha))
    except ValueError:  # it has no results
        return False


def _apply(promotion: Promotion, *, registry: "Registry", reasons: Path) -> tuple[Promotion, int | None]:
    """Save the reasons, then set the alias: no champion without reasons. Return the number of the champion, too.

    A promotion is refused if another clone has changed the champion meanwhile.
    """
    before = promotion.champion.number if promotion.champion else None
    _save(promotion, registry=registry, reasons=reasons)
    if not promotion.decision.promoted:
        return promotion, before
    number = registry.set_champion(promotion.version, instead_of=promotion.champion)
    if number != promotion.version.number:
        new, old = (f"version {one}" if one else "no version" for one in (number, before))
        moved = f"the champion became {new} after the comparison with {old}: promote it again"
        decision = replace(promotion.decision, promoted=False, reasons=(moved, *promotion.decision.reasons))
        promotion = replace(promotion, decision=decision)
        _save(promotion, registry=registry, reasons=reasons)
    return promotion, number


def _save(promotion: Promotion, *, registry: "Registry", reasons: Path) -> None:
    from localizer.files import replace_text
    from localizer.tracking.registry.registry import EVALUATION

    decision, challenger = promotion.decision, promotion.challenger
    tags = {"verdict": promotion.outcome, "reasons": "\n".join(decision.reasons), "gain": f"{decision.gain.value:.6f}"}
    listed = "".join(f"\n- {reason}" for reason in decision.reasons)
    description = f"{promotion.outcome.capitalize()}: {challenger.name}, evaluation {challenger.run_id}\n{listed}\n"
    replace_text(reasons, f"{promotion.to_json()}\n")
    registry.annotate(promotion.version, tags | {EVALUATION: challenger.run_id}, description=description)


def _summary(promotion: Promotion, number: int | None, *, server: str, reasons: Path) -> str:
    from localizer.tracking.registry.registry import CHAMPION_URI, FORMER_CHAMPION_URI

    version = promotion.version.number
    lines = [f"{promotion.outcome}: {promotion.challenger.name}, version {version} of the registered model"]
    lines += [f"  {reason}" for reason in promotion.decision.reasons]
    lines.append(f"{CHAMPION_URI}{f' on {server}' if server else ''} is {f'version {number}' if number else 'not set'}")
    if promotion.decision.promoted and promotion.champion:
        lines.append(f"{FORMER_CHAMPION_URI} is version {promotion.champion.number}")
    return "\n".join([*lines, f"reasons: {reasons}"])
