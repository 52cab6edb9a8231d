"""What is known when a stage starts: its params, its inputs' digests, the code it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localizer import config
from localizer.pipeline import dag, git_state


@dataclass(frozen=True)
class Facts:
    """A stage and what goes into it; outside of a DVC project without a key and digests."""

    stage: str
    label: str
    params: dict[str, Any]
    source: git_state.Source
    key: str | None
    inputs: dag.Digests

    @property
    def dataset(self) -> str:
        """Return the data set's name in params.yaml."""
        return str(self.params.get("prepare.dataset", git_state.UNKNOWN))

    @property
    def everything(self) -> dict[str, str]:
        """Return params and digests by name, as text: all that the stage's outputs follow from; empty without a key."""
        own = {name: str(value) for name, value in self.params.items() if name.partition(".")[0] == self.stage}
        return own | self.inputs if self.key else {}

    @property
    def tags(self) -> dict[str, str]:
        """Return what the stage is found by: commit, data set, inputs."""
        return self.source.tags | {"dataset": self.dataset} | tagged("in", self.inputs)


def gather(stage: str) -> Facts:
    """Return the facts about the stage that starts here."""
    values = config.read_yaml(config.PARAMS) if config.PARAMS.exists() else {}
    params = config.flatten(values)
    with dag.open_pipeline() as pipeline:
        own = pipeline.own(stage) if pipeline else None
        code = git_state.read(pipeline.outputs(), pipeline.places()) if pipeline else git_state.read([], None)
        if pipeline is None or own is None:
            return Facts(stage, stage, params, code, key=None, inputs={})
        digests = dag.current(own.deps)
        key = dag.key(pipeline, own, digests)
        return Facts(stage, pipeline.label(own), params, code, key, dag.files(pipeline, digests))


def changed_since(stage: str, before: Mapping[str, str]) -> list[str]:
    """Return the stage's inputs whose digests are no longer those of before, or that are gone."""
    with dag.open_pipeline() as pipeline:
        own = pipeline.own(stage) if pipeline and before else None
        if pipeline is None or own is None:
            return []
        now = dag.files(pipeline, dag.current(own.deps))
        return [
            path
            for path in map(pipeline.path, own.deps)
            if path in {*before, *now} and before.get(path) != now.get(path)
        ]


def shared(tags: dict[str, str]) -> dict[str, str]:
    """Return what of a stage's tags the pipeline's run takes: all but the many digests of code."""
    return {name: value for name, value in tags.items() if not dag.is_code(name.partition(".")[2])}


def tagged(side: str, digests: dag.Digests) -> dict[str, str]:
    """Return digests as tags: `in.<path>` or `out.<path>`."""
    return {f"{side}.{path}": digest for path, digest in digests.items()}
