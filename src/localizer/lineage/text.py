"""A trace as text: a tree of lines, from what was asked for to what it was made from, and to what used it."""

from collections.abc import Iterator, Mapping

from localizer.findings import printable
from localizer.lineage.image_record import Box, Whereabouts
from localizer.lineage.trace import Trace
from localizer.tracking.history.records import RunRecord, StageRecord

SHORT = 8  # characters of ids and digests
FILES = 3  # that a line names
# What a line shows of a stage's metrics, and under which name; of another stage the first two.
METRICS = {
    "prepare": {"rows": "rows", "images": "images"},
    "validate": {"critical": "critical", "warnings": "warnings", "set_aside": "set aside"},
    "split": {f"{side}.images": side for side in ("train", "validation", "calibration", "test")},
    "train": {"best_val_iou": "val_iou"},
    "evaluate": {"mean_iou": "mean_iou", "mean_box_iou": "mean_box_iou"},
}


def lines(trace: Trace) -> Iterator[str]:
    """Yield the lines, without what would steer a terminal."""
    yield from map(printable, _lines(trace))


def _lines(trace: Trace) -> Iterator[str]:
    if trace.image:
        yield from _image(trace.image)
        yield "tables:"
        for one in trace.tables:
            yield f"  {_file(one.path, one.digest)}: {f'{one.stage} {one.run[:SHORT]}' if one.run else 'unknown run'}"
    elif trace.kind == "export":
        yield f"{trace.asked}: exported from weights {_file(trace.path or '', trace.digest or '')}"
    elif trace.path and trace.digest:
        copy = "" if trace.asked == trace.path else f", the content of {trace.asked}"
        yield f"{_file(trace.path, trace.digest)}{copy}"
    seen: set[str] = set()
    yield _line(trace.step, {trace.path: trace.digest} if trace.path and trace.digest else _results(trace.step))
    for stage in trace.step.stages:
        yield f"  {_line(stage, _results(stage))}"
        yield from _beside(stage, "    ")
    yield from _beside(trace.step, "  ")
    if trace.step.made_from or trace.step.sources:
        yield "  made from"
        yield from _above(trace.step, "    ", seen)
    if not trace.step.stages:
        yield "  used by" if trace.step.used_by else "  used by no stage"
    yield from _below(trace.step, "    ")


def _above(step: StageRecord, indent: str, seen: set[str]) -> Iterator[str]:
    """Yield what the step was made from; what stands further up is only named."""
    for one in step.made_from:
        if one.key in seen:
            known = f" {one.run.id[:SHORT]}" if one.run else ""
            yield f"{indent}{one.stage}{known}, as above; {_files(one.via)}"
            continue
        seen.add(one.key)
        yield indent + _line(one, one.via)
        yield from _beside(one, f"{indent}  ")
        yield from _above(one, f"{indent}  ", seen)
    new = {path: digest for path, digest in step.sources.items() if f"{path} {digest}" not in seen}
    seen.update(f"{path} {digest}" for path, digest in new.items())
    for path, digest in new.items():
        yield f"{indent}{_file(path, digest)}, which no stage made"


def _below(step: StageRecord, indent: str) -> Iterator[str]:
    for one in step.used_by:
        yield indent + _line(one, one.via)
        yield from _beside(one, f"{indent}  ")
        yield from _below(one, f"{indent}  ")
    if step.more_users:
        yield f"{indent}and {step.more_users} older runs"


def _line(step: StageRecord, files: Mapping[str, str]) -> str:
    """Return stage, run, status, time and commit; the files meant; the metrics that matter."""
    parts = [_heading(step), _files(files), _metrics(step)]
    return "; ".join(part for part in parts if part)


def _heading(step: StageRecord) -> str:
    if step.run is None:
        told = "not run yet" if step.state == "pending" else "unknown: no run of it in the store"
        return f"{step.stage or 'stage'} {told}{', as dvc.lock has it' if step.stage and step.outputs else ''}"
    cached = "cached from " if step.state == "cached" else ""
    name = f" {step.run.name!r}" if step.run.kind == "pipeline" else ""
    when = f"{step.run.started[:16].replace('T', ' ')} UTC"
    return f"{step.stage} {cached}{step.run.id[:SHORT]}{name} {step.run.status} {when}, {_commit(step.run)}"


def _results(step: StageRecord) -> Mapping[str, str]:
    """Return the outputs that another stage may use; those for people only where there are no such."""
    results = {path: digest for path, digest in step.outputs.items() if not path.startswith("reports/")}
    return results or step.outputs


def _commit(run: RunRecord) -> str:
    if run.commit is None:
        return "commit unknown"
    state = f"dirty ({', '.join(run.changed[:FILES])}{_more(len(run.changed))})" if run.dirty else "clean"
    return f"commit {run.commit[:SHORT]} {state}"


def _beside(step: StageRecord, indent: str) -> Iterator[str]:
    """Yield what else is known of a run, a line each."""
    if step.others:
        yield f"{indent}{step.others} other {'run' if step.others == 1 else 'runs'} made the same"
    if step.run and step.run.kind != "pipeline":
        yield from (f"{indent}logged model {model}" for model in step.run.models)
    if step.run and step.run.continues:
        yield f"{indent}continues run {step.run.continues[:SHORT]}, which was killed"
    if step.run and step.run.successor:
        yield f"{indent}continued by run {step.run.successor[:SHORT]}"


def _metrics(step: StageRecord) -> str:
    found = step.run.metrics if step.run else {}
    shown = METRICS.get(step.stage, {name: name for name in list(found)[:2] if step.stage != "pipeline"})
    return ", ".join(f"{called} {_number(found[name])}" for name, called in shown.items() if name in found)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.3f}"


def _files(files: Mapping[str, str]) -> str:
    return ", ".join(_file(path, digest) for path, digest in list(files.items())[:FILES]) + _more(len(files))


def _file(path: str, digest: str) -> str:
    return f"{path} {digest[:SHORT]}"


def _more(count: int) -> str:
    return f" and {count - FILES} more" if count > FILES else ""


def _image(image: Whereabouts) -> Iterator[str]:
    yield f"{image.image}: {image.path}, sha256 {image.sha256[:SHORT]}, of data set {image.dataset or 'unknown'}"
    if image.changed:
        yield "  changed: the file has another content than the tables tell of"
    if image.problem:
        yield f"  can't be used: {image.problem}"
    for row in image.annotations:
        place = ":".join(part for part in (row.file, row.line, row.element) if part)
        yield f"  annotated in {place}: {row.label or 'no label'}, {_box(row.box_xyxy_px)}"
        if row.set_aside:
            yield f"    quarantined: {row.set_aside}"
    if not image.annotations:
        yield "  not annotated"
    for one in image.findings:
        yield f"  {one.severity} {one.rule} ({one.place}): expected {one.expected}, got {one.got}"
    yield f"  side: {image.side or 'none'}"
    if image.cluster:
        others = ", ".join(image.copies[:FILES]) + _more(len(image.copies))
        yield f"  cluster {image.cluster[:SHORT]}: {f'with {others}' if others else 'no other image'}"
    if image.prediction:
        yield f"  predicted: {_box(image.prediction.box_xyxy_px)}, IoU {image.prediction.iou:.3f}"
    yield from (f"  {table}: not here; `dvc checkout` or `dvc repro` makes it" for table in image.missing)


def _box(box: Box) -> str:
    return f"box {', '.join('?' if edge is None else f'{edge:g}' for edge in box)} px"
