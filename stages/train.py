"""Trains ResNet to put one box on an image, and keeps the weights with the best validation IoU."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from localizer import config, tracking
from localizer.device import choose_device, environment, set_deterministic, versions
from localizer.files import check_writable, file_sha256
from localizer.training import launch
from localizer.training.checkpoints import Checkpoints
from localizer.training.distributed import Ranks, local_device, process_group
from localizer.training.loop import EpochRecord, Samples, fit, stops_early
from localizer.training.params import TrainParams
from localizer.training.progress import draw_boxes, last_epoch, start_line, training_warnings, write_history
from localizer.training.samples import calibrate_model, load_samples, read_splits
from localizer.training.session import TrainingSession, explain_oom, save, start, train_worker

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")


def main() -> None:
    params = config.load("train", TrainParams).for_debugging()
    if launch.needs_launch(params.processes):
        tracking.terminate_with_dvc()
        sys.exit(launch.launch(sys.argv[0], processes=params.processes))
    device = local_device(choose_device(params.device))
    set_deterministic(params.deterministic)
    home = tracking.main_checkout() / ".localizer"
    with process_group(device) as ranks:
        if ranks.group:
            tracking.terminate_with_parent()
            code = launch.code_digest(Path(__file__))
            ranks.check_consistent({"params": str(params), str(SPLIT): file_sha256(SPLIT), "code": code} | versions())
        if ranks.is_main:
            lead(params, device, ranks, home)
        else:
            train_worker(params, device, ranks, split=SPLIT, cache=home / "decoded")


def lead(params: TrainParams, device: torch.device, ranks: Ranks, home: Path) -> None:
    """Train, and write, log and keep what comes out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for folder in (WEIGHTS.parent, HISTORY.parent, home / "checkpoints", home / "decoded"):
        check_writable(folder)  # now, not after hours
    with tracking.stage_run("train") as run:
        label, sides = read_splits(SPLIT, overfit=params.overfit, fast_batch=params.fast_batch)
        learnt, validation, held_back = (
            load_samples(side, params.image_size, device, home / "decoded") for side in sides
        )
        print(start_line(len(learnt), len(validation), params, device, ranks), flush=True)
        run.log_table(sides[0], name="train", context="training")
        # Outside of a DVC project nobody knows what a checkpoint was made from.
        inputs = dict(run.inputs) | environment(device, params.precision, processes=ranks.world_size)
        checkpoints = Checkpoints(home / "checkpoints", inputs) if run.inputs else None
        session = start(params, device, images=len(learnt), checkpoints=checkpoints, ranks=ranks)
        resume(session, params.epochs, run=run)
        with session.save_on_exit():
            with run.log_system_metrics(), explain_oom(batch_size=params.batch_size, image_size=params.image_size):
                epochs = fit(session.state, learnt, validation, config=params.train_config(device))
                train(session, epochs, params, validation, run=run)
            run.check_inputs()
            calibration = calibrate_model(session.best_model(), held_back, sides[2], batch_size=params.batch_size)
            save(session, params, WEIGHTS, METRICS, split=SPLIT, calibration=calibration, label=label)
            for path in (HISTORY, METRICS, WEIGHTS.with_suffix(".json")):
                run.log_artifact(path)
            run.log_metrics({"best_epoch": session.best.epoch, "best_val_iou": session.best.val_iou})
            run.log_model(WEIGHTS)
        session.remove_checkpoints()


def resume(session: TrainingSession, epochs: int, *, run: tracking.Run) -> None:
    """Go on where a checkpoint lets us, and log the epochs that it has; say which start this is."""
    if found := session.resume():
        print(f"Resuming after epoch {len(found.history)} of {epochs}: {found.path}", flush=True)
        for epoch in found.history:
            run.log_metrics(epoch.metrics, step=epoch.epoch)
        write_history(found.history, HISTORY)
    elif session.checkpoints and (why := session.checkpoints.why_none()):
        print(f"train: from the start: {why}", flush=True)


def train(
    session: TrainingSession,
    epochs: Iterable[EpochRecord],
    params: TrainParams,
    validation: Samples,
    *,
    run: tracking.Run,
) -> None:
    """Go through the epochs, to the end or until it doesn't get better any more; record each."""
    for epoch in epochs if not stops_early(session.history, patience=params.patience) else ():
        session.add(epoch)
        record(session, params.epochs, run=run)
        if params.show_every and epoch.epoch % params.show_every == 0:
            run.log_image(draw_boxes(session.state.eval_model, validation), key="validation", step=epoch.epoch)
        if stops_early(session.history, patience=params.patience):
            break
    for warning in training_warnings(session, params.epochs):
        print(f"train: {warning}", flush=True)


def record(session: TrainingSession, epochs: int, *, run: tracking.Run) -> None:
    """Send the last epoch to MLflow, all of them to the history's file, and a line to the terminal."""
    run.log_metrics(session.history[-1].metrics, step=session.history[-1].epoch)
    write_history(session.history, HISTORY)
    tqdm.write(last_epoch(session, epochs))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
