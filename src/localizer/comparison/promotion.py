"""Promotion to champion: the decision on a challenger, its record, and the alias."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from localizer.comparison.gate import Decision, decide, decide_first
from localizer.comparison.groups import Result
from localizer.comparison.results import read_predictions, revision_result, same_metrics
from localizer.evaluation.pooled_record import find_pooled
from localizer.files import replace_text
from localizer.pipeline.revisions import FOLDS, resolve_experiment
from localizer.tracking.errors import StoreError
from localizer.tracking.history.evaluations import EvaluationRun, find_predictions, list_evaluations
from localizer.tracking.registry.registry import EVALUATION, Registry, Version, find_candidates

CHALLENGER_KEYS = ("run_id", "pipeline_id", "name", "commit", "dirty", "model")
BY_HAND = "register the model as localizer on its run's page, and give that version the alias champion"


@dataclass(frozen=True)
class Promotion:
    """The decision on a challenger.

    version: its own. champion: the version that it was compared with, None if there was no champion. holder: number of
    the version that is the champion in the end.
    """

    decision: Decision
    challenger: EvaluationRun
    version: Version
    champion: Version | None
    holder: int | None

    @property
    def outcome(self) -> str:
        return "promoted" if self.decision.promoted else "refused"

    def to_json(self) -> str:
        challenger = {key: getattr(self.challenger, key) for key in CHALLENGER_KEYS}
        compared = {"version": self.version.number, "champion": self.champion.number if self.champion else None}
        return json.dumps(asdict(self.decision) | {"challenger": challenger} | compared, indent=2)


def find_challenger(name: str, registry: Registry) -> EvaluationRun:
    """Return the evaluation of a run's id or name; ValueError if there is none, or several, or it has no model."""
    folder = find_pooled(name.removeprefix(FOLDS))
    found = find_candidates(registry, name) if folder is None else []
    if folder or any(run.folds for run in found):
        raise ValueError(
            f"{name}: pooled folds, whose models are not meant for use; train the recipe once on the normal split "
            "(`dvc exp run` with its parameters), and promote that run: the folds estimate its IoU"
        )
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


def promote(challenger: EvaluationRun, champion: Version | None, *, registry: Registry, reasons: Path) -> Promotion:
    """Decide on a challenger, save the reasons, and then set the alias: no champion without reasons.

    Refuses if another clone has changed the champion meanwhile. ValueError if the two can't be compared.
    """
    decision = _decide(challenger, champion, registry=registry)
    version, before = registry.register(str(challenger.model)), champion.number if champion else None
    promotion = Promotion(decision, challenger, version, champion, holder=before)
    _save(promotion, registry=registry, reasons=reasons)
    if not decision.promoted:
        return promotion
    promotion = replace(promotion, holder=registry.set_champion(version, instead_of=champion))
    if promotion.holder != version.number:
        new, old = (f"version {number}" if number else "no version" for number in (promotion.holder, before))
        moved = f"the champion changed from {old} to {new} during the comparison; run `localizer promote` again"
        refusal = replace(decision, promoted=False, reasons=(moved, *decision.reasons))
        promotion = replace(promotion, decision=refusal)
        _save(promotion, registry=registry, reasons=reasons)
    return promotion


def _decide(challenger: EvaluationRun, champion: Version | None, *, registry: Registry) -> Decision:
    registry.check_model(str(challenger.model))
    result = _result(challenger, registry, name=challenger.name)
    decision = decide(_champion_result(champion, registry), result) if champion else decide_first(result)
    return replace(decision, reasons=(*decision.reasons, *_caveats(challenger)))


def _champion_result(champion: Version, registry: Registry) -> Result:
    """Return the champion's result; ValueError, with the way to promote without it, if it is gone."""
    try:
        evaluation = registry.evaluation(champion)
        return _result(evaluation, registry, name=f"version {champion.number} ({evaluation.name})")
    except StoreError:
        raise
    except ValueError as error:
        place = f"version {champion.number}, the champion"
        raise ValueError(
            f"{place}, can't be compared: {error}; or promote by hand: on {registry.server or '`make ui`'}, {BY_HAND}"
        ) from None


def _result(evaluation: EvaluationRun, registry: Registry, *, name: str) -> Result:
    where, predictions = f"{name}, evaluation {evaluation.run_id}", find_predictions(registry.history, evaluation)
    if predictions is None:
        raise ValueError(
            f"{where}: its predictions.csv is gone; run `dvc repro --force evaluate` at its commit, and promote that"
        )
    images = read_predictions(predictions, where=where)
    return Result(name, evaluation.params, evaluation.metrics, images, evaluation.commit, evaluation.dirty)


def _caveats(challenger: EvaluationRun) -> list[str]:
    """Return what to know about a model that no commit reproduces."""
    commit, name = challenger.commit[:8], challenger.name
    if challenger.dirty is None:
        return ["its commit is unknown: the code that made it can't be identified"]
    if not challenger.dirty:
        return []
    if _is_experiment(challenger):
        return [f"made by the experiment {name} on {commit}; `dvc exp branch {name} NAME` keeps it"]
    return [f"made from changes that weren't committed to {commit}: git alone can't reproduce it"]


def _is_experiment(challenger: EvaluationRun) -> bool:
    """Return whether DVC has the experiment that the run is named after, with the same metrics."""
    sha = resolve_experiment(challenger.name, base=challenger.commit)
    try:
        return sha is not None and same_metrics(challenger.metrics, revision_result(challenger.name, sha))
    except ValueError:  # it has no results
        return False


def _save(promotion: Promotion, *, registry: Registry, reasons: Path) -> None:
    """Write the decision to the file and to the version of the registered model."""
    decision, challenger = promotion.decision, promotion.challenger
    tags = {"verdict": promotion.outcome, "reasons": "\n".join(decision.reasons), "gain": f"{decision.gain.value:.6f}"}
    listed = "".join(f"\n- {reason}" for reason in decision.reasons)
    description = f"{promotion.outcome.capitalize()}: {challenger.name}, evaluation {challenger.run_id}\n{listed}\n"
    replace_text(reasons, f"{promotion.to_json()}\n")
    registry.annotate(promotion.version, tags | {EVALUATION: challenger.run_id}, description=description)
