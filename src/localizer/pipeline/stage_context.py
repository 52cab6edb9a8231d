"""What is known when a stage starts: its params, the digests of its inputs, the code that it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localizer import config
from localizer.pipeline.dag import Digests, current_digests, is_code, open_pipeline
from localizer.pipeline.git_state import UNKNOWN, GitState, read_git_state


@dataclass(frozen=True)
class StageContext:
    """A stage and its inputs; outside of a DVC project without a key and digests. params: of all stages."""

    stage: str
    label: str
    params: dict[str, Any]
    git: GitState
    key: str | None = None
    input_digests: Digests = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Return the data set's name in params.yaml."""
        return str(self.params.get("prepare.dataset", UNKNOWN))

    @property
    def stage_params(self) -> dict[str, Any]:
        return {name: value for name, value in self.params.items() if name.partition(".")[0] == self.stage}

    @property
    def inputs(self) -> dict[str, str]:
        """Return all that determines the stage's outputs: its params as text, and digests; empty without a key."""
        params = {name: str(value) for name, value in self.stage_params.items()}
        return params | self.input_digests if self.key else {}

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags by which the stage is found: commit, data set, inputs."""
        return self.git.tags | {"dataset": self.dataset} | digest_tags("in", self.input_digests)


def read_stage_context(stage: str) -> StageContext:
    """Return the context of the stage that starts in this process."""
    params = config.flatten(config.read_yaml(config.PARAMS)) if config.PARAMS.exists() else {}
    with open_pipeline() as pipeline:
        if pipeline is None:
            return StageContext(stage, stage, params, read_git_state())
        git = read_git_state(pipeline.output_paths(), pipeline.source_paths())
        found = pipeline.find_stage(stage)
        if found is None:
            return StageContext(stage, stage, params, git)
        digests = current_digests(found.deps)
        key = pipeline.stage_key(found, digests)
        return StageContext(stage, pipeline.label(found), params, git, key, pipeline.file_digests(digests))


def changed_inputs(stage: str, before: Mapping[str, str]) -> list[str]:
    """Return the stage's inputs that were removed, or whose digests differ from those before."""
    with open_pipeline() as pipeline:
        found = pipeline.find_stage(stage) if pipeline and before else None
        if pipeline is None or found is None:
            return []
        now = pipeline.file_digests(current_digests(found.deps))
        return [path for path in map(pipeline.path, found.deps) if before.get(path) != now.get(path)]


def without_code(tags: dict[str, str]) -> dict[str, str]:
    """Return a stage's tags without the digests of code, of which there are too many for the pipeline's run."""
    return {name: value for name, value in tags.items() if not is_code(name.partition(".")[2])}


def digest_tags(kind: str, digests: Digests) -> dict[str, str]:
    """Return digests as tags, `in.<path>` or `out.<path>`."""
    return {f"{kind}.{path}": digest for path, digest in digests.items()}
