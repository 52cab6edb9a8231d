"""The registered model `localizer`: its versions, and which of them is the champion.

It is on the server that MLFLOW_TRACKING_URI names, for all who use that server, else in the checkout's store.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from localizer.tracking.errors import StoreError, explain
from localizer.tracking.history.evaluations import EvaluationRun, find_evaluations
from localizer.tracking.history.records import run_record
from localizer.tracking.history.runs import History
from localizer.tracking.replication.background_sync import FilesGoneError, sync
from localizer.tracking.replication.replicator import ORIGIN
from localizer.tracking.store import Store, all_pages, main_checkout, open_existing, open_own, open_shared

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME, CHAMPION, FORMER = "localizer", "champion", "former-champion"
CHAMPION_URI, FORMER_CHAMPION_URI = f"models:/{NAME}@{CHAMPION}", f"models:/{NAME}@{FORMER}"
EVALUATION = "evaluation"  # tag of a version: the evaluation run that its promotion was decided by
VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))/?")


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    source: what it was registered from. model: URI of the logged model, `models:/m-…`, None if the store has none.
    run_id: of the evaluation that decided on its promotion, else of the run that logged it; empty if neither is known.
    """

    number: int
    source: str
    model: str | None
    run_id: str


class Registry:
    """The registered models in a store; `history` has the runs of that store.

    server: the server's address without credentials; empty for the checkout's own store.
    """

    def __init__(self, store: Store) -> None:
        from mlflow import MlflowClient

        uri = store.client.tracking_uri
        self._client = MlflowClient(uri, registry_uri=uri)  # whatever MLFLOW_REGISTRY_URI is
        self._address = store.address
        self.history = History([store])
        self.server = "" if uri.startswith("sqlite") else store.address

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this checkout from changing the registry; for other clones see `set_champion`.

        StoreError if the store fails: what was done before that stays, and the same promotion again completes it.
        """
        from filelock import FileLock
        from mlflow import MlflowException

        with FileLock(main_checkout() / ".localizer" / "registry.lock"):
            try:
                yield
            except MlflowException as error:
                raise StoreError(f"{self._address}: {explain(error)}; run it again") from None

    def champion(self) -> Version | None:
        """Return the version that has the alias."""
        number = self._aliases().get(CHAMPION)
        return None if number is None else self._version(self._client.get_model_version(NAME, str(number)))

    def version_at(self, uri: str) -> Version:
        """Return the version of `models:/NAME/NUMBER` or `models:/NAME@ALIAS`; ValueError if there is none."""
        from mlflow import MlflowException

        match = VERSION_URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"expected {CHAMPION_URI} or models:/{NAME}/3")
        try:
            if match["alias"]:
                return self._version(self._client.get_model_version_by_alias(match["name"], match["alias"]))
            return self._version(self._client.get_model_version(match["name"], match["number"]))
        except MlflowException as error:
            where = f", on the MLflow server {self.server}" if self.server else ""
            raise ValueError(f"{explain(error)}{where}; `localizer promote RUN` sets a champion") from None

    def evaluation(self, version: Version) -> EvaluationRun:
        """Return the one evaluation of a version; ValueError if there is none, or several."""
        found = find_evaluations(self.history, version.run_id)
        if len(found) != 1:
            raise ValueError(f"this store has {len(found)} evaluations of its run {version.run_id or 'unknown'}")
        return found[0]

    def check_model(self, model: str) -> None:
        """Raise ValueError if a logged model, or its files, are gone or incomplete."""
        from mlflow import MlflowException

        model_id = model.removeprefix("models:/")
        try:
            status = str(self._client.get_logged_model(model_id).status)
            files = {file.path for file in self._client.list_logged_model_artifacts(model_id)}
        except (MlflowException, OSError) as error:
            raise ValueError(f"{model}: the logged model is gone: {explain(error)}; train again") from None
        if status != "READY" or "MLmodel" not in files:
            state = "present" if "MLmodel" in files else "gone"
            raise ValueError(f"{model}: the logged model is {status}, and its files are {state}; train again")

    def register(self, model: str) -> Version:
        """Return the version of a logged model, `models:/m-…`, created unless there is one."""
        if not self._client.search_registered_models(f"name = '{NAME}'"):
            self._client.create_registered_model(NAME)
        for found in all_pages(partial(self._client.search_model_versions, f"name = '{NAME}'")):
            version = self._version(found)
            if version.model == model:
                return version
        model_id = model.removeprefix("models:/")  # without which a server refuses the URI
        return self._version(self._client.create_model_version(NAME, model, model_id=model_id))

    def annotate(self, version: Version, tags: Mapping[str, str], *, description: str) -> None:
        """Set a version's tags and description."""
        for name, value in tags.items():
            self._client.set_model_version_tag(NAME, str(version.number), name, value)
        self._client.update_model_version(NAME, str(version.number), description)

    def set_champion(self, version: Version, *, instead_of: Version | None) -> int | None:
        """Make a version the champion, and the present one the former champion; return the number of the champion.

        Changes nothing if the champion is no longer `instead_of`. MLflow can't compare and set in one request: another
        clone's promotion between the two goes unnoticed.
        """
        number = self._aliases().get(CHAMPION)
        if number != (instead_of.number if instead_of else None):
            return number
        if number not in (None, version.number):
            self._client.set_registered_model_alias(NAME, FORMER, str(number))
        self._client.set_registered_model_alias(NAME, CHAMPION, str(version.number))
        return version.number

    def _aliases(self) -> dict[str, int]:
        found = self._client.search_registered_models(f"name = '{NAME}'")
        return {alias: int(number) for model in found for alias, number in model.aliases.items()}

    def _version(self, found: "ModelVersion") -> Version:
        """Return a version. If the UI registered it, its source is a logged model's folder, or a run's."""
        source, run_id = found.source or "", found.run_id or ""
        named = re.search(r"\bm-[0-9a-f]{32}\b", source)
        run = None if named else self.history.get(run_id)
        logged = run_record(run).models if run else ()
        model = f"models:/{named[0]}" if named else logged[0] if len(logged) == 1 else None
        return Version(int(found.version), source, model, found.tags.get(EVALUATION) or run_id)


def open_registry() -> Registry:
    """Return the registry of the server that MLFLOW_TRACKING_URI names, else of the checkout's store.

    StoreError if it can't be used.
    """
    return Registry(open_shared() or open_existing()[0][0])


def find_candidates(registry: Registry, name: str) -> list[EvaluationRun]:
    """Return the evaluations, in the registry's store, that `find_evaluations` finds there and in this checkout.

    If the registry is on a server and this checkout has one evaluation, all runs that the server lacks are sent first.
    If it has several, they are returned and nothing is sent. ValueError if none has finished; StoreError if the server
    fails.
    """
    own = open_own() if registry.server else None
    local = find_evaluations(History([own]), name) if own else []
    if len(local) > 1:
        return local
    if local:
        with suppress(FilesGoneError):  # `promote` itself reports the files that it needs
            sync()
    sent = registry.history.find(f"tags.{ORIGIN} = '{local[0].pipeline_id}'") if local else []
    names = [name, *(run.info.run_id for run in sent)]
    found = [evaluation for each in names for evaluation in find_evaluations(registry.history, each)]
    return [*{evaluation.run_id: evaluation for evaluation in found}.values()]
