"""Format a trace as text: a tree of lines with the steps before it and the steps that used it."""

from collections.abc import Iterator, Mapping, Sequence

from localizer.findings import printable
from localizer.lineage.image_record import Box, ImageRecord
from localizer.lineage.trace import Trace
from localizer.tables import SPLITS
from localizer.tracking.history.records import StageRecord

SHORT = 8  # characters of ids and digests
MAX_FILES = 3  # on one line
# The metrics that a line shows for each stage, and their labels there; for any other stage the first two.
METRICS = {
    "prepare": {"rows": "rows", "images": "images"},
    "validate": {"critical": "critical", "warnings": "warnings", "set_aside": "set aside"},
    "split": {f"{split}.images": split for split in SPLITS},
    "train": {"best_val_iou": "val_iou"},
    "evaluate": {"mean_iou": "mean_iou", "mean_box_iou": "mean_box_iou"},
    "pipeline": {},
}


def format_trace(trace: Trace) -> Iterator[str]:
    """Yield the lines, with terminal control characters escaped."""
    yield from map(printable, _lines(trace))


def _lines(trace: Trace) -> Iterator[str]:
    record, start = trace.step, {trace.path: trace.digest} if trace.path and trace.digest else {}
    if trace.image:
        yield from _image(trace.image)
        yield "tables:"
        for table in trace.tables:
            run = f"{table.stage} {table.run[:SHORT]}" if table.run else "unknown run"
            yield f"  {_files({table.path: table.digest})}: {run}"
    elif trace.kind == "export":
        yield f"{trace.asked}: exported from weights {_files(start)}"
    elif start:
        yield _files(start) + ("" if trace.asked == trace.path else f", the content of {trace.asked}")
    yield from _record(record, start or _results(record), "")
    for stage in record.stages:
        yield from _record(stage, _results(stage), "  ")
    if record.made_from or record.sources:
        yield "  made from"
        yield from _upstream(record, "    ", set())
    if not record.stages:
        yield "  used by" if record.used_by else "  used by no stage"
    yield from _downstream(record, "    ")


def _upstream(record: StageRecord, indent: str, seen: set[str]) -> Iterator[str]:
    """Yield the stages and files that the record was made from; those in `seen` are only named."""
    for producer in record.made_from:
        if producer.key in seen:
            run = f" {producer.run.id[:SHORT]}" if producer.run else ""
            yield f"{indent}{producer.stage}{run}, as above; {_files(producer.via)}"
            continue
        seen.add(producer.key)
        yield from _record(producer, producer.via, indent)
        yield from _upstream(producer, f"{indent}  ", seen)
    for file in map(_files, ({path: digest} for path, digest in record.sources.items())):
        if file not in seen:
            seen.add(file)
            yield f"{indent}{file}, which no stage made"


def _downstream(record: StageRecord, indent: str) -> Iterator[str]:
    for user in record.used_by:
        yield from _record(user, user.via, indent)
        yield from _downstream(user, f"{indent}  ")
    if record.more_users:
        yield f"{indent}and {record.more_users} older runs"


def _record(record: StageRecord, files: Mapping[str, str], indent: str) -> Iterator[str]:
    """Yield a line with run, files and main metrics, then one for each other fact about the run."""
    metrics = record.run.metrics if record.run else {}
    labels = METRICS.get(record.stage, {name: name for name in list(metrics)[:2]})
    shown = ", ".join(f"{label} {_number(metrics[name])}" for name, label in labels.items() if name in metrics)
    yield indent + "; ".join(filter(None, (_heading(record), _files(files), shown)))
    if record.others:
        yield f"{indent}  {record.others} other {'run' if record.others == 1 else 'runs'} made the same"
    if record.run and record.run.kind != "pipeline":
        yield from (f"{indent}  logged model {model}" for model in record.run.models)
    if record.run and record.run.continues:
        yield f"{indent}  continues run {record.run.continues[:SHORT]}, which was killed"
    if record.run and record.run.successor:
        yield f"{indent}  continued by run {record.run.successor[:SHORT]}"


def _heading(record: StageRecord) -> str:
    """Return stage, run, status, start time and commit."""
    run = record.run
    if run is None:
        state = "not run yet" if record.state == "pending" else "unknown: no run of it in the store"
        return f"{record.stage or 'stage'} {state}{', as dvc.lock has it' if record.stage and record.outputs else ''}"
    cached = "cached from " if record.state == "cached" else ""
    name = f" {run.name!r}" if run.kind == "pipeline" else ""
    dirty = f"dirty ({_listed(run.changed)})" if run.dirty else "clean"
    commit = "unknown" if run.commit is None else f"{run.commit[:SHORT]} {dirty}"
    started = run.started[:16].replace("T", " ")
    return f"{record.stage} {cached}{run.id[:SHORT]}{name} {run.status} {started} UTC, commit {commit}"


def _results(record: StageRecord) -> Mapping[str, str]:
    """Return the outputs outside of reports/, which other stages may read; the reports if there are no others."""
    outputs = record.outputs
    return {path: digest for path, digest in outputs.items() if not path.startswith("reports/")} or outputs


def _image(image: ImageRecord) -> Iterator[str]:
    yield f"{image.image}: {image.path}, sha256 {image.sha256[:SHORT]}, of dataset {image.dataset or 'unknown'}"
    if image.changed:
        yield "  changed: the file's content is not the one in the tables"
    if image.problem:
        yield f"  can't be used: {image.problem}"
    for row in image.annotations:
        place = ":".join(filter(None, (row.file, row.line, row.element)))
        yield f"  annotated in {place}: {row.label or 'no label'}, {_box(row.box_xyxy_px)}"
        if row.set_aside:
            yield f"    quarantined: {row.set_aside}"
    if not image.annotations:
        yield "  not annotated"
    for finding in image.findings:
        where = f"{finding.severity} {finding.rule} ({finding.place})"
        yield f"  {where}: expected {finding.expected}, got {finding.got}"
    yield f"  split: {image.split or 'none'}"
    if image.cluster:
        others = f"with {_listed(image.cluster_members)}" if image.cluster_members else "no other image"
        yield f"  cluster {image.cluster[:SHORT]}: {others}"
    if image.prediction:
        yield f"  predicted: {_box(image.prediction.box_xyxy_px)}, IoU {image.prediction.iou:.3f}"
    yield from (f"  {table}: missing; `dvc checkout` or `dvc repro` makes it" for table in image.missing)


def _box(box: Box) -> str:
    return f"box {', '.join('?' if edge is None else f'{edge:g}' for edge in box)} px"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.3f}"


def _files(digests: Mapping[str, str]) -> str:
    return _listed([f"{path} {digest[:SHORT]}" for path, digest in digests.items()])


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - MAX_FILES} more" if len(items) > MAX_FILES else ""
    return ", ".join(items[:MAX_FILES]) + more
