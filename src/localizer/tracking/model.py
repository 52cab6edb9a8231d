"""A trained module as an MLflow model, exported without pickle."""

import copy
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from localizer.tracking.store import Store

if TYPE_CHECKING:
    import torch
    from mlflow.models.model import ModelInfo


def log_model(
    module: "torch.nn.Module",
    example: "torch.Tensor",
    *,
    store: Store,
    run_id: str,
    requires: Sequence[str],
) -> "ModelInfo":
    """Store the module with the run, as it predicts: in eval mode, on the CPU."""
    import mlflow
    import mlflow.pytorch
    from mlflow.models import infer_signature

    if len(example) < 2:
        raise ValueError(f"an example of 2 or more was wanted, got {len(example)}: it would fix the batch size")
    # A copy: the export keeps BatchNorm's mode and the device, and the caller's module must keep its own.
    still, batch = copy.deepcopy(module).cpu().eval(), example.detach().cpu()
    given, answered = batch.numpy(), still(batch).detach().numpy()
    mlflow.set_experiment(experiment_id=store.experiment_id)  # else the model goes to another than its run
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)  # of torch.export
        info: ModelInfo = mlflow.pytorch.log_model(
            still,
            name="model",
            signature=infer_signature(given, answered),
            input_example=given,
            pip_requirements=pinned(requires),
            run_id=run_id,
        )
    return info


def pinned(packages: Sequence[str]) -> list[str]:
    """Return requirements at the installed versions, without a local part ("+cpu") that no registry knows."""
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]
