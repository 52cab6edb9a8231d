"""The parameters of a training, and what follows from them: how to train, and the network."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator

from localizer import config
from localizer.device import Device, Precision, use_bf16
from localizer.model.augmentation import Augmentation
from localizer.model.head import HeadName
from localizer.model.localizer import Architecture
from localizer.model.losses import Distance, Overlap
from localizer.model.resnet import Depth
from localizer.training.state import TrainConfig

STRIDE = 32  # pixels a cell of layer4

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainParams(config.Record):
    """The section `train` of params.yaml: `image_size` in pixels; see `Architecture`, `TrainConfig` and `Augmentation`.

    processes: that train together on this machine; batch_size: of all of them together.
    """

    device: Device
    deterministic: bool
    precision: Precision
    compile: bool
    processes: Annotated[int, Field(ge=1, le=64)]
    sync_batch_norm: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    depth: Depth
    head: HeadName
    grid: Annotated[int, Field(ge=1, le=32)]
    weights: str
    backbone_lr: Annotated[float, Field(ge=0, le=1)]
    epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Share
    warmup: Share
    clip: Annotated[float, Field(ge=0)]
    average: Share
    distance: Distance
    distance_weight: Annotated[float, Field(ge=0)]
    overlap: Overlap
    flip: Annotated[float, Field(ge=0, le=1)]
    zoom: Share
    shift: Share
    turn: Annotated[float, Field(ge=0, le=45)]
    colour: Share
    show_every: Annotated[int, Field(ge=0)]
    overfit: Annotated[int, Field(ge=0)]
    fast_run: bool

    @model_validator(mode="after")
    def _sees_places(self) -> Self:
        """A heat map of one cell has one place: its boxes would all lie in the middle."""
        if self.head == "heatmap" and self.image_size <= STRIDE:
            raise ValueError(
                f"image_size {self.image_size} leaves the heat map one cell; set it above {STRIDE}, or head to grid"
            )
        return self

    @property
    def architecture(self) -> Architecture:
        return Architecture(self.depth, self.head, self.grid)

    def train_config(self, device: torch.device) -> TrainConfig:
        """Return how to train on a device."""
        values = self.model_dump()
        strengths = Augmentation(**{name: values[name] for name in Augmentation.__dataclass_fields__})
        rest = {name: values[name] for name in TrainConfig.__dataclass_fields__ if name in values}
        return TrainConfig(**rest, bf16=use_bf16(self.precision, device), augmentation=strengths)

    @property
    def fast_batch(self) -> int:
        """Return the batch size in a fast run, else 0: see `samples.select_splits`."""
        return self.batch_size * self.fast_run

    def for_debugging(self) -> Self:
        """Return the params with what `overfit` and `fast_run` change."""
        params = self
        if self.overfit:
            off = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0)
            params = params.model_copy(update=off | {"batch_size": min(self.batch_size, self.overfit)})
        return params.model_copy(update={"epochs": 1}) if self.fast_run else params
