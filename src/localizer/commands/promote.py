"""`localizer promote`: a run's model becomes the champion, if it is better than the present one beyond luck.

The exit status is 0 where the model is the champion now, or was before, and 1 where it is refused or can't be judged.
Where it was judged, the reasons are written as JSON, as `Promotion`, and to its version of the registered model.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localizer.evaluation.comparison import Result
    from localizer.evaluation.gate import Verdict
    from localizer.tracking.registry import Registry, Version
    from localizer.tracking.results import Evaluated
    from localizer.tracking.tracing import History

REASONS = Path("reports/promote/verdict.json")
BY_HAND = "`make ui`, register the model as localizer on its run's page, and give that version the alias champion"


@dataclass(frozen=True)
class Promotion:
    """What was decided on a challenger.

    champion: the number of the version that it was compared with; None if there was no champion.
    """

    verdict: "Verdict"
    challenger: "Evaluated"
    version: int
    champion: int | None

    def told(self) -> dict[str, Any]:
        """Return it as JSON holds it; the challenger without its params, metrics and the place of its predictions."""
        left_out = ("params", "metrics", "predictions")
        challenger = {name: value for name, value in asdict(self.challenger).items() if name not in left_out}
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
    from localizer.tracking.registry import ADDRESS, open_registry

    registry = open_registry()
    challenger = _one(options.asked, registry.history)
    with registry.locked():
        champion = registry.champion()
        if champion and champion.model == challenger.model:
            print(f"{challenger.name} is the champion already: {ADDRESS}, version {champion.number}; nothing changed")
            return 0
        verdict = _judge(challenger, champion, registry=registry)
        promotion = _settle(verdict, challenger, champion, registry=registry, reasons=options.reasons)
    print(_text(promotion, reasons=options.reasons))
    return 0 if verdict.promoted else 1


def _one(asked: str, history: "History") -> "Evaluated":
    """Return the one evaluation that is meant, with a model; ValueError if there is none, or several."""
    from localizer.tracking.results import evaluated, listed

    found = evaluated(history, asked)
    if not found:
        raise ValueError(
            f"{asked}: no run of that id or name in this checkout's mlflow.db; an id needs six characters (`make ui`)"
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
    from localizer.evaluation.gate import decide, first

    registry.check(str(challenger.model))
    result = _result(challenger, name=challenger.name)
    verdict = decide(_champions(champion), result) if champion else first(result)
    return replace(verdict, reasons=(*verdict.reasons, *_caveats(challenger)))


def _champions(champion: "Version") -> "Result":
    """Return the champion's result; ValueError, with the way around it, where it can't be had."""
    evaluation, place = champion.evaluation, f"version {champion.number}"
    if evaluation is None or evaluation.predictions is None:
        problem = f"predictions.csv of {evaluation.run_id}, its evaluation, is gone" if evaluation else champion.problem
        raise ValueError(f"{place}, the champion, can't be compared with: {problem}; to promote: {BY_HAND}")
    try:
        return _result(evaluation, name=f"{place} ({evaluation.name})")
    except ValueError as error:
        raise ValueError(f"the champion can't be compared with: {error}; or to promote: {BY_HAND}") from None


def _result(evaluation: "Evaluated", *, name: str) -> "Result":
    from localizer.commands.results import read_predictions
    from localizer.evaluation.comparison import Result

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
    if challenger.dirty:
        return [f"made from changes that weren't committed to {challenger.commit[:8]}: git alone can't make it again"]
    return []


def _settle(
    verdict: "Verdict", challenger: "Evaluated", champion: "Version | None", *, registry: "Registry", reasons: Path
) -> Promotion:
    """Keep the verdict, and then do what it says: a champion without its reasons is none."""
    from localizer.files import replace_text
    from localizer.tracking.registry import EVALUATION

    version = registry.register(str(challenger.model))
    promotion = Promotion(verdict, challenger, version.number, champion.number if champion else None)
    tags = {"verdict": _word(verdict), "reasons": "\n".join(verdict.reasons), "gain": f"{verdict.gain.value:.6f}"}
    told = "".join(f"\n- {reason}" for reason in verdict.reasons)
    description = f"{_word(verdict).capitalize()}: {challenger.name}, evaluation {challenger.run_id}\n{told}\n"
    replace_text(reasons, json.dumps(promotion.told(), indent=2) + "\n")
    registry.note(version, tags | {EVALUATION: challenger.run_id}, description=description)
    if verdict.promoted:
        registry.crown(version)
    return promotion


def _word(verdict: "Verdict") -> str:
    return "promoted" if verdict.promoted else "refused"


def _text(promotion: Promotion, *, reasons: Path) -> str:
    from localizer.tracking.registry import ADDRESS, FORMER_ADDRESS

    verdict, champion = promotion.verdict, promotion.champion
    whose = f"version {promotion.version}" if verdict.promoted else f"version {champion}" if champion else "no one"
    lines = [f"{_word(verdict)}: {promotion.challenger.name}, version {promotion.version} of the registered model"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines.append(f"{ADDRESS} is {whose}")
    if verdict.promoted and champion:
        lines.append(f"{FORMER_ADDRESS} is version {champion}")
    return "\n".join([*lines, f"reasons: {reasons}"])
