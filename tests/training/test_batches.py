"""The pixels of batches: in their order, from wherever they are, and without keeping a mapped file in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from memory_use import mapped_mib
from torch import Tensor
from training_toy import squares

from localizer.predictor import to_tensor
from localizer.training import batches
from localizer.training.batches import fetch, gather
from localizer.training.samples import Samples


class Sender:
    """Stands for `PinnedSender` where no GPU is: two buffers, and an event that says what was copied when."""

    def __init__(self, train: Samples, batch_size: int) -> None:
        self.train, self.sent = train, 0
        self.buffers = [torch.empty(batch_size, 32, 32, 3, dtype=torch.uint8) for _ in range(batches.BUFFERS)]

    def __call__(self, rows: Tensor) -> tuple[Tensor, int]:
        buffer = self.buffers[self.sent % batches.BUFFERS][: len(rows)]
        self.sent += 1
        gather(self.train, rows, buffer)
        return buffer.clone().permute(0, 3, 1, 2), self.sent

    def received(self, pixels: Tensor, copied: int) -> Tensor:
        assert copied in (self.sent, self.sent - 1)  # the next one at most is on its way
        return pixels


def test_pixels_in_cpu_memory_are_sent_batch_by_batch_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PinnedSender", Sender)
    samples = squares(5)
    there = Samples(samples.pixels, samples.boxes.to("meta"))
    order = torch.tensor([3, 1, 4, 0, 2]).split(2)
    sent = list(fetch(there, order, [rows.to("meta") for rows in order]))
    assert [len(batch) for batch in sent] == [2, 2, 1]
    assert torch.equal(torch.cat(sent), samples.pixels[torch.cat([*order])])


def test_pixels_on_the_device_are_indexed_there() -> None:
    samples, order = squares(5), torch.tensor([3, 1, 4, 0, 2]).split(2)
    assert torch.equal(torch.cat(list(fetch(samples, order, order))), samples.pixels[torch.cat([*order])])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gets_the_pixels_of_cpu_memory() -> None:
    samples = squares(64)
    order = torch.randperm(64).split(8)
    sent = fetch(Samples(samples.pixels, samples.boxes.cuda()), order, [rows.cuda() for rows in order])
    assert torch.equal(torch.cat([batch.cpu() for batch in sent]), samples.pixels[torch.cat([*order])])


@pytest.mark.parametrize(("told", "most_mib"), [(True, 5), (False, 70)])  # the control: Samples that know of no map
def test_what_was_read_of_a_mapped_file_does_not_stay_in_memory(told: bool, most_mib: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 144, 144, 3), dtype=np.uint8)  # 60 MiB
    pixels.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", np.uint8, mode="c", shape=pixels.shape)
    samples = Samples(to_tensor(mapped), torch.zeros(1024, 4), mapped=mapped if told else None)
    order, before = torch.arange(1024).split(16), mapped_mib()
    for rows, batch in zip(order, fetch(samples, order, order), strict=True):
        assert torch.equal(batch, to_tensor(pixels)[rows])
    assert most_mib - 15 < mapped_mib() - before < most_mib
