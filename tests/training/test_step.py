"""A step of training as a GPU runs it, by the operations that it is made of on a CPU.

Whatever makes the host wait for a GPU, changes the shape of a tensor from step to step, or has no deterministic kernel
on CUDA would show here.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, is_tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_toy import RECIPE, SMALL

from localizer.model.augmentation import Augmentation, augment, draw
from localizer.model.localizer import Localizer
from localizer.training.loop import train_step
from localizer.training.state import TrainState

SIDE, BATCH = 64, 4
CHANGES: list[dict[str, Any]] = [{}, {"iou_loss": "ciou", "box_loss": "smooth_l1"}, {"clip": 1.0, "ema_decay": 0.9}]
# What reads a value, or makes a tensor whose size depends on values: the host waits for the GPU.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "equal", "repeat_interleave"}
# All operations of a step that compute, each deterministic on CUDA: none is on the lists of
# torch.use_deterministic_algorithms but those that it makes deterministic. A new one is to be looked up there first.
COMPUTING = """
_foreach_add_ _foreach_lerp_ _foreach_mul_ _foreach_norm _fused_adamw_ _softmax _softmax_backward_data abs add add_
affine_grid_generator amax amin atan baddbmm binary_cross_entropy_with_logits bmm cat clamp clone constant_pad_nd
convolution convolution_backward copy_ cos div div_ eq ge grid_sampler_2d gt linalg_vector_norm logical_and_ lt
masked_fill max_pool2d_with_indices max_pool2d_with_indices_backward maximum mean minimum mm mul mv
native_batch_norm native_batch_norm_backward neg pow reciprocal relu_ rsub select_backward sgn sigmoid
sigmoid_backward sin slice_backward smooth_l1_loss smooth_l1_loss_backward stack sub sub_ sum threshold_backward
unfold_backward upsample_nearest2d upsample_nearest2d_backward where
"""
VIEWS_AND_CONSTANTS = """
_record_function_enter_new _record_function_exit _unsafe_view alias arange detach empty expand eye new_empty_strided
ones ones_like permute scalar_tensor select slice squeeze t transpose unbind unfold unsqueeze view
"""
DETERMINISTIC = {*COMPUTING.split(), *VIEWS_AND_CONSTANTS.split()}


class Operations(TorchDispatchMode):
    """Records the names of all operations and the shapes of what they return; a mask as an index is a `nonzero`."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        self.shapes.append((name, [one.shape for one in tensors]))
        if name.startswith("index") and any(one.dtype == torch.bool for one in tree_leaves(args[1:]) if is_tensor(one)):
            self.shapes.append(("nonzero", []))
        return result

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.shapes}


def operations(*, seed: int, **changed: Any) -> Operations:
    """Return the operations of one step, augmentation and optimizer included, on random images and boxes."""
    torch.manual_seed(seed)
    strength = Augmentation(horizontal_flip=0.5, scale=0.2, translate=0.1, rotation=5, color_jitter=0.2)
    how = replace(RECIPE, batch_size=BATCH, epochs=9, augmentation=strength, **changed)
    state = TrainState(Localizer(SMALL), how, images=4 * BATCH)
    state.train_mode()
    pixels = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    boxes = torch.rand(BATCH, 4) / 2 + torch.tensor([0, 0, 0.5, 0.5])
    draws = draw(BATCH, seed=seed, epoch=1)
    train_step(state, *augment(pixels, boxes, draws, strength=strength), config=how)  # which makes the moments
    with Operations() as found:
        train_step(state, *augment(pixels, boxes, draws, strength=strength), config=how)
    return found


@pytest.mark.parametrize("changed", CHANGES)
def test_no_operation_of_a_step_waits_for_a_value(changed: dict[str, Any]) -> None:
    assert not operations(seed=0, **changed).names & WAITS


def test_what_waits_for_a_value_would_be_seen() -> None:
    with Operations() as found:
        values = torch.rand(9)
        _ = values[values > 0.5].sum().item()
    assert found.names & WAITS == {"nonzero", "_local_scalar_dense"}


def test_shapes_are_the_same_at_every_step_whatever_the_values_are() -> None:
    assert operations(seed=0).shapes == operations(seed=1).shapes


@pytest.mark.parametrize("changed", CHANGES)
def test_all_operations_are_known_to_be_deterministic_on_cuda(changed: dict[str, Any]) -> None:
    names = operations(seed=0, **changed).names
    assert {"convolution_backward", "_softmax"} <= names  # a control
    assert sorted(names - DETERMINISTIC) == []
