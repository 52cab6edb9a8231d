"""The model card has the digest of the file that a training started from."""

import json
from pathlib import Path

import torch
import torchvision

from localizer import config
from localizer.calibration import Calibration
from localizer.files import file_sha256
from localizer.training.distributed import ALONE
from localizer.training.loop import EpochRecord
from localizer.training.params import TrainParams
from localizer.training.session import save_model, start_session

PARAMS = config.load("train", TrainParams, path=Path(__file__).parents[2] / "params.yaml").model_copy(
    update={"depth": 18}
)


def card_of(weights: str) -> dict[str, object]:
    """Return the model card of a training of one epoch, which changed nothing."""
    params = PARAMS.model_copy(update={"weights": weights})
    session = start_session(params, torch.device("cpu"), images=8, checkpoints=None, ranks=ALONE)
    session.add(EpochRecord(1, 0.001, 1.5, 0.5, 1.0, 10.0, 0.0, 1.0))
    Path("split.csv").touch()
    model = Path("model.safetensors")
    calibration = Calibration(0, None, None)
    save_model(session, params, model, Path("m.json"), split=Path("split.csv"), calibration=calibration, label="cat")
    return dict(json.loads(Path("model.json").read_text()))


def test_the_card_has_the_name_and_the_digest_of_the_file_that_training_started_from() -> None:
    Path("weights").mkdir()
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), "weights/some.pth")
    card = card_of("some.pth")
    assert card["pretrained_sha256"] == file_sha256(Path("weights/some.pth"))
    assert isinstance(card["params"], dict)
    assert card["params"]["weights"] == "some.pth"


def test_the_card_of_a_training_from_random_weights_has_no_digest() -> None:
    assert card_of("none")["pretrained_sha256"] == ""
