"""A large data set through all stages: `python -m bench.million --scenes 10000 --folder DIR`; 1,000,000 take hours.

The scenes of bench.scenes are drawn into a project of its own, DIR/project, and each stage is run there as `dvc repro`
runs it, MLflow included. Told are its time, the peak memory of each of its processes, and which of them took more
than 2 GiB; then what lies on the disk. Scenes that are drawn already stay, so that it can be run again, or for some
stages only; a larger set wants another DIR. `--show` prints what is kept, `bench.paper` takes it to more images.
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from bench import kept, scenes
from localizer.config import read_yaml

NAME = "million_cpu"
STAGES = ["prepare", "validate", "split", "train", "evaluate"]
COPIED = ["params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "stages", "src", "weights"]
CHANGED = {
    "prepare": {"dataset": "million"},
    "validate": {"image_size": 32},
    # A heat map of an image of 32 pixels has one cell, so the grid looks for the object.
    "train": {"image_size": 32, "depth": 18, "epochs": 1, "min_steps": 0, "show_every": 0, "batch_size": 128},
}
LIMIT_MIB = 2048
SMALL_MIB = 32  # processes below are git, or not yet begun
DISK = ["data", "tables", "reports", "models", ".dvc", ".localizer", "mlartifacts", "mlflow.db"]

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=STAGES)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if options.show:
        show()
        return
    if not options.folder:
        parser.error("--folder DIR is needed")
    project = options.folder / "project"
    if row := draw(project / "data" / "million", options.scenes):
        keep(row)
    begin(project)
    for stage in options.stages:
        keep({"scenes": options.scenes, "stage": stage, **run(project, stage, scenes=options.scenes)})


def keep(row: Row) -> None:
    """Print the row, and keep it in the place of an older one of as many scenes and the same stage."""
    row |= {"commit": kept.commit(), "device": f"{os.cpu_count()} x {platform.machine()}"}
    print(row, flush=True)
    same = {name: row[name] for name in ("scenes", "stage")}
    others = [one for one in kept.rows(NAME) if not same.items() <= one.items()]
    kept.write(kept.RESULTS / f"{NAME}.json", [*others, row])


def show() -> None:
    """Print the kept rows as a Markdown table, with the memory of the stage's own process and of DVC's."""
    print("\n| scenes | stage | images/s | time | CPU | its memory | DVC's memory | commit |")
    print("|---|---|---|---|---|---|---|---|")
    for one in by_size():
        own, dvc = (peak(one, name) for name in (f"stages/{one['stage']}.py", "dvc"))
        took = f"{one['images_per_s']:,} | {one['wall_s']:,.0f} s | {one['cpu_s']:,.0f} s | {own:,} MiB | {dvc:,} MiB"
        print(f"| {one['scenes']:,} | `{one['stage']}` | {took} | {one['commit']} |")


def by_size() -> list[Row]:
    """Return the kept rows of stages, those of the fewest scenes first."""
    stages = [one for one in kept.rows(NAME) if one["stage"] in STAGES]
    return sorted(stages, key=lambda one: (one["scenes"], STAGES.index(one["stage"])))


def peak(row: Row, name: str) -> int:
    return int(row["peak_mib"].get(name, 0))


def draw(folder: Path, count: int) -> Row | None:
    """Draw the scenes that are not there yet; return how fast, None if all are there."""
    started, cpu_s = time.perf_counter(), time.process_time()
    drawn = scenes.make(folder, scenes=count)
    wall_s = time.perf_counter() - started
    told = {"wall_s": round(wall_s, 1), "cpu_s": round(time.process_time() - cpu_s, 1)}
    return {"scenes": count, "stage": "scenes", "images_per_s": round(drawn / wall_s), **told} if drawn else None


def begin(project: Path) -> None:
    """Make a project of git and DVC with this checkout's code, small parameters and the scenes."""
    project.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, place = kept.ROOT / name, project / name
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place)
    yaml, params = YAML(), read_yaml(project / "params.yaml")
    for section, values in CHANGED.items():
        params[section] |= values
    yaml.dump(params, project / "params.yaml")
    with (project / ".gitignore").open("a") as file:
        file.write("/data/million/raw\n/data/million/rows\n")
    dvc = [sys.executable, "-m", "dvc"]
    commands = [["git", "init", "-q"], [*dvc, "init", "-q"], [*dvc, "config", "core.analytics", "false"]]
    # DVC's own index of the files counts, too.
    commands += [[*dvc, "config", "core.site_cache_dir", str(project / ".dvc" / "site")], ["git", "add", "-A"]]
    commands += [["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "begin"]]
    for command in commands[0 if not (project / ".dvc").is_dir() else len(commands) :]:
        subprocess.run(command, cwd=project, check=True)


def run(project: Path, stage: str, *, scenes: int) -> Row:
    """Run one stage; return its time, memory and what the project takes on the disk after it."""
    started, cpu_s = time.perf_counter(), cpu_of_children()
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage]
    with (
        subprocess.Popen(command, cwd=project, env=around(MLFLOW_TRACKING_URI="")) as process,
        Peaks(process.pid) as peaks,
    ):
        if process.wait():
            raise RuntimeError(f"{stage} failed on {scenes} scenes with {process.returncode}")
    wall_s = time.perf_counter() - started
    return {
        "images_per_s": round(scenes / wall_s),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_of_children() - cpu_s, 1),
        "peak_mib": peaks.highest,
        "over_2_gib": [name for name, mib in peaks.highest.items() if mib > LIMIT_MIB],
        "bytes_an_image": {name: size // scenes for name, size in on_disk(project)},
    }


def around(**changes: str) -> dict[str, str]:
    """Return this process's environment, with changes, in which `python` and `dvc` are those that it runs with."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | changes


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def on_disk(project: Path) -> Iterator[tuple[str, int]]:
    """Yield what each part of the project takes in blocks of the disk, in bytes."""
    for name in DISK:
        if (project / name).exists():
            told = subprocess.run(["du", "-sk", name], cwd=project, capture_output=True, text=True, check=True)
            yield name, 1024 * int(told.stdout.split()[0])


class Peaks:
    """The highest memory of a process and all below it while it is open, by what they are, in MiB."""

    def __init__(self, pid: int) -> None:
        self.highest: dict[str, int] = {}
        self._root, self._stop = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            for process in processes:
                self._look_at(process)

    def _look_at(self, process: psutil.Process) -> None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            (highest,) = (int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
            name = what(process.cmdline())
        except (psutil.Error, OSError, ValueError):  # it has ended
            return
        if highest > max(SMALL_MIB, self.highest.get(name, 0)):
            self.highest[name] = highest


def what(command: Sequence[str]) -> str:
    """Return what a process is, in a word: its script, else its module, else its program."""
    scripts = [part for part in command if part.endswith(".py")]
    modules = [after for before, after in pairwise(command) if before == "-m"]
    return [*scripts, *modules, *map(os.path.basename, command[:1]), ""][0]


if __name__ == "__main__":
    main()
