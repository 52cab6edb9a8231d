"""The registered model `localizer` in the checkout's store: its versions, and which of them is the champion."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localizer.tracking.existing import open_existing
from localizer.tracking.results import Evaluated, evaluated
from localizer.tracking.steps import facts
from localizer.tracking.store import Store, StoreError, explain, main_checkout
from localizer.tracking.tracing import History

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME, CHAMPION, FORMER = "localizer", "champion", "former-champion"
ADDRESS, FORMER_ADDRESS = f"models:/{NAME}@{CHAMPION}", f"models:/{NAME}@{FORMER}"
EVALUATION = "evaluation"  # tag of a version: the run of evaluate by which it was judged


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    model: `models:/m-…`, run_id: of the run that logged it; None where they aren't in the store. evaluation: that by
    which it was judged, else that of its run; None where there is none, or several, as `problem` says.
    """

    number: int
    model: str | None
    run_id: str | None
    evaluation: Evaluated | None = None
    problem: str = ""


class Registry:
    """The registered model in a store; `history` is what that store knows of its runs."""

    def __init__(self, store: Store) -> None:
        from mlflow import MlflowClient

        address = store.client.tracking_uri
        self._client = MlflowClient(address, registry_uri=address)  # whatever MLFLOW_REGISTRY_URI says
        self.history = History([store])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process changes the registry, and keep others from it; StoreError where the store fails.

        What was done before that stays, and the same promotion again ends it.
        """
        from filelock import FileLock
        from mlflow import MlflowException

        with FileLock(main_checkout() / ".localizer" / "registry.lock"):
            try:
                yield
            except MlflowException as error:
                raise StoreError(f"{self._client.tracking_uri}: {explain(error)}; run it again") from None

    def champion(self) -> Version | None:
        """Return the version that has the alias, with its evaluation."""
        number = self._aliases().get(CHAMPION)
        if number is None:
            return None
        found = self._client.get_model_version(NAME, str(number))
        version = self._version(found)
        asked = found.tags.get(EVALUATION) or version.run_id or ""
        try:
            results = evaluated(self.history, asked)
        except ValueError as error:
            return replace(version, problem=str(error))
        if len(results) == 1:
            return replace(version, evaluation=results[0])
        return replace(version, problem=f"{len(results)} evaluations of its run {asked or 'unknown'} are in this store")

    def check(self, model: str) -> None:
        """Raise ValueError where a logged model is gone, or was never whole."""
        from mlflow import MlflowException

        name = model.removeprefix("models:/")
        try:
            status = str(self._client.get_logged_model(name).status)
            files = {file.path for file in self._client.list_logged_model_artifacts(name)}
        except (MlflowException, OSError) as error:
            raise ValueError(f"{model}: the logged model is gone: {explain(error)}; train again") from None
        if status != "READY" or "MLmodel" not in files:
            kept = "there" if "MLmodel" in files else "gone"
            raise ValueError(f"{model}: the logged model is {status}, and its files are {kept}; train again")

    def register(self, model: str) -> Version:
        """Return the version of a logged model, `models:/m-…`, made unless there is one."""
        if not self._client.search_registered_models(f"name = '{NAME}'"):
            self._client.create_registered_model(NAME)
        versions = [self._version(one) for one in self._versions()]
        made = [one for one in versions if one.model == model]
        return made[0] if made else self._version(self._client.create_model_version(NAME, model))

    def note(self, version: Version, tags: Mapping[str, str], *, description: str) -> None:
        """Set a version's tags and description."""
        for name, value in tags.items():
            self._client.set_model_version_tag(NAME, str(version.number), name, value)
        self._client.update_model_version(NAME, str(version.number), description)

    def crown(self, version: Version) -> None:
        """Make a version the champion, and the champion, if there is another, the former one."""
        old = self._aliases().get(CHAMPION)
        if old not in (None, version.number):
            self._client.set_registered_model_alias(NAME, FORMER, str(old))
        self._client.set_registered_model_alias(NAME, CHAMPION, str(version.number))

    def _aliases(self) -> dict[str, int]:
        found = self._client.search_registered_models(f"name = '{NAME}'")
        return {alias: int(number) for one in found for alias, number in one.aliases.items()}

    def _versions(self) -> "Iterator[ModelVersion]":
        """Yield all versions, newest first."""
        more: str | None = ""
        while more is not None:
            page = self._client.search_model_versions(f"name = '{NAME}'", page_token=more or None)
            yield from page
            more = page.token or None

    def _version(self, found: "ModelVersion") -> Version:
        """Return a version, however it was registered: the UI's source is a logged model's folder, or a run's."""
        named = re.search(r"\bm-[0-9a-f]{32}\b", found.source or "")
        row = self.history.get(found.run_id or "")
        logged = facts(row).models if row else ()
        model = f"models:/{named[0]}" if named else logged[0] if len(logged) == 1 else None
        return Version(int(found.version), model, found.run_id or None)


def open_registry() -> Registry:
    """Return the registry of the checkout's store, where all runs are written; ValueError where there is none."""
    store = open_existing().stores[0]
    if not store.client.tracking_uri.startswith("sqlite"):
        raise ValueError(
            "there is no mlflow.db in this checkout, and models are promoted in the checkout that has their runs: "
            "run `dvc repro` here, or promote there"
        )
    return Registry(store)
