"""How a step is executed: operation by operation, with a compiled network, or as one CUDA graph.

No GPU has run the last two yet: `train.compile` is off by default until `make gpu` has passed on one.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from localizer.training.state import Compile, TrainState

Execution = Literal["eager", "compiled", "graph"]
Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # pixels, boxes and draws of a batch -> loss

GRAPH_PIXELS = 1_000_000  # of a batch: a GPU computes fewer faster than the host launches some 900 kernels a step
WARM_UP = 3  # steps before a capture, in which libraries allocate what they keep


def choose_execution(compile: Compile, device: torch.device, *, pixels: int, world_size: int) -> Execution:
    """Return the execution of `train.compile` for batches of so many pixels.

    auto: on a GPU a graph for small ones on a single rank, else a compiled network; on a CPU as `off`.
    """
    if compile == "off" or (compile == "auto" and device.type != "cuda"):
        return "eager"
    return "graph" if compile == "auto" and pixels <= GRAPH_PIXELS and world_size == 1 else "compiled"


class GraphedStep:
    """A step as one CUDA graph, captured at its first call: the host then launches one thing a step.

    The graph reads and writes the memory that the state's tensors have at the capture, so a state is restored before. A
    training's first step, with which the average of weights begins, is made without it.
    """

    def __init__(self, step: Step, state: TrainState) -> None:
        self._step, self._state = step, state
        self._graph = torch.cuda.CUDAGraph()
        self._inputs: list[Tensor] = []
        self._loss = torch.empty(0)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Make a step on inputs of the first call's shapes; return the loss."""
        if self._state.schedule.last_epoch == 0:
            return self._step(*inputs)
        if not self._inputs:
            self._capture(inputs)
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._loss.clone()

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = [one.clone() for one in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            warm_up(self._step, self._inputs, self._state)
        torch.cuda.current_stream().wait_stream(stream)
        self._state.optimizer.zero_grad(set_to_none=True)  # so that the graph's own memory holds gradients
        with torch.cuda.graph(self._graph):
            self._loss = self._step(*self._inputs)


def warm_up(step: Step, inputs: list[Tensor], state: TrainState) -> None:
    """Make a few steps, and undo them in place: tensors have their values of before, and new ones are zero."""
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    for _ in range(WARM_UP):
        step(*inputs)
    with torch.no_grad():
        for name, tensor in state.tensors().items():
            tensor.copy_(before[name]) if name in before else tensor.zero_()
