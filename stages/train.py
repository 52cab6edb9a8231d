"""Trains a ResNet to predict one box per image, and keeps the weights with the best validation IoU."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from localizer import config, tracking
from localizer.device import choose_device, environment, explain_oom, set_deterministic, set_threads, versions
from localizer.files import check_writable, file_sha256
from localizer.tables import Table
from localizer.training import launch
from localizer.training.checkpoints import Checkpoints
from localizer.training.contention import warn_of_contention
from localizer.training.distributed import Ranks, local_device, process_group
from localizer.training.loop import EpochRecord, fit, stops_early
from localizer.training.params import TrainParams
from localizer.training.progress import draw_predictions, epoch_line, start_line, training_warnings, write_history
from localizer.training.samples import Samples, calibrate_model, load_samples, read_splits
from localizer.training.session import TrainingSession, save_model, start_session, train_worker

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")


def main() -> None:
    params = config.load("train", TrainParams).for_debugging()
    if launch.needs_launch(params.processes):
        tracking.terminate_with_dvc()
        sys.exit(launch.launch(sys.argv[0], processes=params.processes))
    set_threads(params.threads)
    device = local_device(choose_device(params.device))
    set_deterministic(params.deterministic)
    home = tracking.main_checkout() / ".localizer"
    with process_group(device) as ranks:
        if ranks.group:
            tracking.terminate_with_parent()
            inputs = {"params": str(params), str(SPLIT): file_sha256(SPLIT), "code": launch.code_digest(Path(__file__))}
            ranks.check_consistent(inputs | versions())
        if ranks.is_main:
            train_main(params, device, ranks, home)
        else:
            train_worker(params, device, ranks, split=SPLIT, cache=home / "decoded")


def train_main(params: TrainParams, device: torch.device, ranks: Ranks, home: Path) -> None:
    """Train as the main rank: log to MLflow, keep checkpoints, and write the outputs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for folder in (WEIGHTS.parent, HISTORY.parent, home / "checkpoints", home / "decoded"):
        check_writable(folder)  # before training, not after hours of it
    with tracking.stage_run("train") as run:
        label, splits = read_splits(SPLIT, overfit=params.overfit, fast_batch=params.fast_batch)
        params = params.for_images(len(splits[0])).with_threads(device)
        learn, validation, held_out = (
            load_samples(images, params.image_size, device, home / "decoded") for images in splits
        )
        print(start_line(len(learn), len(validation), params, device, ranks), flush=True)
        run.log_table(splits[0], name="train", context="training")
        # Outside of a DVC project the inputs are unknown, and a checkpoint could belong to any training.
        inputs = dict(run.inputs) | environment(device, params.precision, processes=ranks.world_size)
        checkpoints = Checkpoints(home / "checkpoints", inputs) if run.inputs else None
        session = start_session(params, device, images=len(learn), checkpoints=checkpoints, ranks=ranks)
        resume(session, params.epochs, run=run)
        with session.save_on_exit():
            watch = warn_of_contention(device, processes=params.processes)
            with run.log_system_metrics(), watch, explain_oom(params.oom_hint):
                epochs = fit(session.state, learn, validation, config=params.train_config(device))
                run_epochs(session, epochs, params, validation, run=run)
            run.check_inputs()
            write_outputs(session, params, held_out, splits[2], label, run=run)
        session.remove_checkpoints()


def write_outputs(
    session: TrainingSession, params: TrainParams, held_out: Samples, table: Table, label: str, *, run: tracking.Run
) -> None:
    """Calibrate the best model on the calibration split, `held_out` and its table; write it, and log all outputs."""
    calibration = calibrate_model(session.best_model(), held_out, table, batch_size=params.batch_size)
    save_model(session, params, WEIGHTS, METRICS, split=SPLIT, calibration=calibration, label=label)
    for path in (HISTORY, METRICS, WEIGHTS.with_suffix(".json")):
        run.log_artifact(path)
    run.log_metrics({"best_epoch": session.best.epoch, "best_val_iou": session.best.val_iou})
    run.log_model(WEIGHTS)


def resume(session: TrainingSession, epochs: int, *, run: tracking.Run) -> None:
    """Restore the latest checkpoint, and log its epochs again; print where this training starts, and why."""
    if checkpoint := session.resume():
        print(f"Resuming after epoch {len(checkpoint.history)} of {epochs}: {checkpoint.path}", flush=True)
        for epoch in checkpoint.history:
            run.log_metrics(epoch.metrics, step=epoch.epoch)
        write_history(checkpoint.history, HISTORY)
    elif session.checkpoints and (reason := session.checkpoints.why_no_match()):
        print(f"train: from the start: {reason}", flush=True)


def run_epochs(
    session: TrainingSession,
    epochs: Iterable[EpochRecord],
    params: TrainParams,
    validation: Samples,
    *,
    run: tracking.Run,
) -> None:
    """Train to the last epoch or until early stopping; record each epoch."""
    for epoch in epochs if not stops_early(session.history, patience=params.patience) else ():
        session.add(epoch)
        record(session, params.epochs, run=run)
        if params.show_every and epoch.epoch % params.show_every == 0:
            run.log_image(draw_predictions(session.state.eval_model, validation), key="validation", step=epoch.epoch)
        if stops_early(session.history, patience=params.patience):
            break
    for warning in training_warnings(session, params.epochs):
        print(f"train: {warning}", flush=True)


def record(session: TrainingSession, epochs: int, *, run: tracking.Run) -> None:
    """Log the last epoch to MLflow, write the history, and print a line."""
    run.log_metrics(session.history[-1].metrics, step=session.history[-1].epoch)
    write_history(session.history, HISTORY)
    tqdm.write(epoch_line(session, epochs))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
