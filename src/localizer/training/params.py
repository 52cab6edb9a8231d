"""The section `train` of params.yaml as a typed record."""

import math
from typing import Annotated, Self

import torch
from pydantic import BeforeValidator, Field

from localizer import config
from localizer.device import MAX_THREADS, Device, Precision, Threads, use_bf16
from localizer.model.augmentation import Augmentation
from localizer.model.localizer import Architecture
from localizer.model.losses import BoxLoss, IouLoss
from localizer.model.resnet import Depth
from localizer.training.state import Compile, TrainConfig

Share = Annotated[float, Field(ge=0, lt=1)]


def _off_or_on(value: object) -> object:
    """Return YAML 1.1's reading of `off` and `on`, and the values of before, as the words."""
    return {False: "off", True: "on"}[value] if isinstance(value, bool) else value


def _auto_or_number(value: object) -> object:
    """Return the value; ValueError in place of the two errors of a union's types."""
    if value != "auto" and (type(value) is not int or not 1 <= value <= MAX_THREADS):
        raise ValueError(f"expected auto or an integer from 1 to {MAX_THREADS}, got {value!r}")
    return value


class AugmentParams(config.Record):
    """Strengths of the augmentation; see `Augmentation`."""

    horizontal_flip: Annotated[float, Field(ge=0, le=1)]
    scale: Share
    translate: Share
    rotation: Annotated[float, Field(ge=0, le=45)]
    color_jitter: Share


class TrainParams(config.Record):
    """The section `train`: `image_size` in pixels; the rest as in `Architecture`, `TrainConfig` and `Augmentation`.

    processes: number of processes that train together on this machine; threads: of each; batch_size: their total.
    """

    device: Device
    deterministic: bool
    precision: Precision
    compile: Annotated[Compile, BeforeValidator(_off_or_on)]
    processes: Annotated[int, Field(ge=1, le=64)]
    threads: Annotated[Threads, BeforeValidator(_auto_or_number)]
    sync_batch_norm: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    depth: Depth
    weights: str
    backbone_lr: Annotated[float, Field(ge=0, le=1)]
    epochs: Annotated[int, Field(ge=1)]
    min_steps: Annotated[int, Field(ge=0)]
    patience: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Share
    warmup: Share
    clip: Annotated[float, Field(ge=0)]
    ema_decay: Share
    box_loss: BoxLoss
    box_loss_weight: Annotated[float, Field(ge=0)]
    iou_loss: IouLoss
    augment: AugmentParams
    show_every: Annotated[int, Field(ge=0)]
    overfit: Annotated[int, Field(ge=0)]
    fast_run: bool

    @property
    def oom_hint(self) -> str:
        return f"train.batch_size {self.batch_size} at train.image_size {self.image_size}; lower one of them"

    @property
    def architecture(self) -> Architecture:
        return Architecture(self.depth)

    def train_config(self, device: torch.device) -> TrainConfig:
        """Return the training configuration on a device."""
        values = self.model_dump()
        same = {name: values[name] for name in TrainConfig.__dataclass_fields__ if name in values}
        augmentation = Augmentation(**values["augment"])
        return TrainConfig(**same, bf16=use_bf16(self.precision, device), augmentation=augmentation)

    @property
    def fast_batch(self) -> int:
        """The batch size of a fast run, else 0; see `samples.select_splits`."""
        return self.batch_size * self.fast_run

    def for_images(self, images: int) -> Self:
        """Return the params with as many epochs as `min_steps` asks for with so many training images."""
        steps_per_epoch = max(1, images // self.batch_size)
        return self.model_copy(update={"epochs": max(self.epochs, math.ceil(self.min_steps / steps_per_epoch))})

    def with_threads(self, device: torch.device) -> Self:
        """Return the params with torch's number of threads in place of `auto`, on a CPU, where weights depend on it."""
        return self.model_copy(update={"threads": torch.get_num_threads()}) if device.type == "cpu" else self

    def for_debugging(self) -> Self:
        """Return the params with the changes that `overfit` and `fast_run` make."""
        params = self
        if self.overfit:
            off = AugmentParams(**dict.fromkeys(AugmentParams.model_fields, 0.0))
            params = params.model_copy(update={"augment": off, "batch_size": min(self.batch_size, self.overfit)})
        return params.model_copy(update={"epochs": 1, "min_steps": 0}) if self.fast_run else params
