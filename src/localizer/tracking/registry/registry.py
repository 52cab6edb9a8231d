"""The registered model `localizer`: its versions, and which of them is the champion.

Where MLFLOW_TRACKING_URI names a server, it is the server's, for all who use that; else that of the checkout's store.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localizer.tracking.existing_stores import open_existing, open_shared
from localizer.tracking.history.evaluations import Evaluated, evaluated
from localizer.tracking.history.runs import History
from localizer.tracking.history.steps import facts
from localizer.tracking.store import Store, StoreError, explain, main_checkout, without_user_info

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME, CHAMPION, FORMER = "localizer", "champion", "former-champion"
ADDRESS, FORMER_ADDRESS = f"models:/{NAME}@{CHAMPION}", f"models:/{NAME}@{FORMER}"
EVALUATION = "evaluation"  # tag of a version: the run of evaluate by which it was judged
VERSION_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))/?")


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    source: what it was registered from. model: `models:/m-…`, run_id: of the run that logged it; None where they
    aren't in the store. judged_by: the run of the evaluation by which it was judged, else the run that logged it;
    empty where neither is known.
    """

    number: int
    source: str
    model: str | None
    run_id: str | None
    judged_by: str


class Registry:
    """The registered models in a store; `history` is what that store knows of its runs.

    server: the address of the server that it is on, without user info; empty for the checkout's own.
    """

    def __init__(self, store: Store) -> None:
        from mlflow import MlflowClient

        address = store.client.tracking_uri
        self._client = MlflowClient(address, registry_uri=address)  # whatever MLFLOW_REGISTRY_URI says
        self.history = History([store])
        self.server = "" if address.startswith("sqlite") else without_user_info(address)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no process of this checkout changes the registry, and keep these from it; see `crown` for others.

        StoreError where the store fails: what was done before that stays, and the same promotion again ends it.
        """
        from filelock import FileLock
        from mlflow import MlflowException

        where = without_user_info(self._client.tracking_uri)
        with FileLock(main_checkout() / ".localizer" / "registry.lock"):
            try:
                yield
            except MlflowException as error:
                raise StoreError(f"{where}: {explain(error)}; run it again") from None

    def champion(self) -> Version | None:
        """Return the version that has the alias."""
        number = self._aliases().get(CHAMPION)
        return None if number is None else self._version(self._client.get_model_version(NAME, str(number)))

    def at(self, address: str) -> Version:
        """Return the version of `models:/NAME/NUMBER` or `models:/NAME@ALIAS`; ValueError where there is none."""
        from mlflow import MlflowException

        match = VERSION_ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(f"{ADDRESS} or models:/{NAME}/3 was expected")
        try:
            if match["alias"]:
                return self._version(self._client.get_model_version_by_alias(match["name"], match["alias"]))
            return self._version(self._client.get_model_version(match["name"], match["number"]))
        except MlflowException as error:
            there = f", by the MLflow server {self.server}" if self.server else ""
            raise ValueError(f"{explain(error)}{there}; `localizer promote RUN` makes a champion") from None

    def evaluation(self, version: Version) -> Evaluated:
        """Return the one evaluation by which a version is judged; ValueError where there is none, or several."""
        results = evaluated(self.history, version.judged_by)
        if len(results) != 1:
            raise ValueError(
                f"{len(results)} evaluations of its run {version.judged_by or 'unknown'} are in this store"
            )
        return results[0]

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
        if made:
            return made[0]
        named = model.removeprefix("models:/")  # without which a server refuses the address
        return self._version(self._client.create_model_version(NAME, model, model_id=named))

    def note(self, version: Version, tags: Mapping[str, str], *, description: str) -> None:
        """Set a version's tags and description."""
        for name, value in tags.items():
            self._client.set_model_version_tag(NAME, str(version.number), name, value)
        self._client.update_model_version(NAME, str(version.number), description)

    def crown(self, version: Version, *, instead_of: Version | None) -> int | None:
        """Make a version the champion and the champion, if there is another, the former one; return who is it now.

        Nothing is changed where the champion is no longer the one that the version was judged against. MLflow can't
        ask and change in one step: a clone that promotes in the moment between them is not seen.
        """
        now, judged = self._aliases().get(CHAMPION), instead_of.number if instead_of else None
        if now != judged:
            return now
        if now not in (None, version.number):
            self._client.set_registered_model_alias(NAME, FORMER, str(now))
        self._client.set_registered_model_alias(NAME, CHAMPION, str(version.number))
        return version.number

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
        source, run_id = found.source or "", found.run_id or ""
        named = re.search(r"\bm-[0-9a-f]{32}\b", source)
        row = None if named else self.history.get(run_id)
        logged = facts(row).models if row else ()
        model = f"models:/{named[0]}" if named else logged[0] if len(logged) == 1 else None
        return Version(int(found.version), source, model, run_id or None, found.tags.get(EVALUATION) or run_id)


def open_registry() -> Registry:
    """Return the registry of the server that MLFLOW_TRACKING_URI names, else that of the checkout's store.

    StoreError where the one that is meant isn't there.
    """
    return Registry(open_shared() or open_existing().stores[0])
