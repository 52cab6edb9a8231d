"""What a team's servers cost: `python -m bench.sharing --remote s3://BUCKET/FOLDER --folder DIR`.

MLFLOW_TRACKING_URI names the MLflow server, --endpoint and the variables AWS_* the bucket: docs/how-to/share.md.
A project of bench.million's scenes goes through the pipeline up to `train` by itself, in DIR/project. Then its runs are
sent, its images and outputs pushed, pushed again, and pulled into a clone. Told are the seconds of each command, its
start included, and the milliseconds a run or an object. For who has no servers, `python tests/shared_mlflow.py` starts
some.
"""

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import kept, million
from bench.works import where

NAME = "sharing"
STAGES = ["prepare", "validate", "split", "train"]
REMOTE = {"verify": "true", "connect_timeout": "3", "read_timeout": "3"}
NAMED = "bench"  # the remote


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--remote", required=True, help="an empty folder of a bucket: s3://BUCKET/FOLDER")
    parser.add_argument("--endpoint", help="the S3 server's address; Amazon's own without it")
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    project = options.folder / "project"
    million.draw(project / "data" / "million", options.scenes)
    million.begin(project)
    for stage in STAGES:
        million.run(project, stage, scenes=options.scenes)
    rows = [send(project), *share(project, {"url": options.remote, "endpointurl": options.endpoint} | REMOTE)]
    for row in rows:
        row |= {"scenes": options.scenes, "commit": kept.commit(), "device": where()}
    kept.write(kept.RESULTS / f"{NAME}.json", rows)
    show()


def show() -> None:
    """Print the kept rows as a Markdown table."""
    print("\n| | how many | MB | time | of each |\n|---|---|---|---|---|")
    for one in kept.rows(NAME):
        count, many = (
            (one["runs"], f"{one['runs']} runs, {one['files']} files")
            if "runs" in one
            else (one["objects"], f"{one['objects']:,} objects")
        )
        print(f"| {one['what']} | {many} | {one['mb']} | {one['wall_s']} s | {1000 * one['wall_s'] / count:.1f} ms |")


def send(project: Path) -> dict[str, Any]:
    """Send the project's runs to the MLflow server."""
    files = [path for path in (project / "mlartifacts").rglob("*") if path.is_file()]
    told, wall_s = timed(project, "localizer", "sync")
    (runs,) = re.findall(r": (\d+) runs", told)
    mb = sum(path.stat().st_size for path in files) / 1e6
    return {"what": "sync", "runs": int(runs), "files": len(files), "mb": round(mb, 1), "wall_s": wall_s}


def share(project: Path, remote: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """Push the project, push it again, and pull it into a clone."""
    timed(project, "dvc", "add", "--quiet", "data/million/raw")
    timed(project, "dvc", "remote", "add", "--quiet", "--default", NAMED, str(remote["url"]))
    for key, value in remote.items():
        if value and key != "url":
            timed(project, "dvc", "remote", "modify", NAMED, key, value)
    timed(project, "git", "add", "--all")
    timed(project, "git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "results")
    objects = [path for path in (project / ".dvc" / "cache" / "files").rglob("*") if path.is_file()]
    size = {"objects": len(objects), "mb": round(sum(path.stat().st_size for path in objects) / 1e6, 1)}
    yield {"what": "push", **size, "wall_s": timed(project, "dvc", "push", "--quiet")[1]}
    yield {"what": "push again", **size, "wall_s": timed(project, "dvc", "push", "--quiet")[1]}
    clone = project.with_name("clone")
    shutil.rmtree(clone, ignore_errors=True)
    timed(project, "git", "clone", "--quiet", ".", str(clone))
    timed(clone, "dvc", "config", "--local", "core.site_cache_dir", str(clone / ".dvc" / "site"))
    names = [*STAGES, "data/million/raw.dvc"]
    yield {"what": "pull", **size, "wall_s": timed(clone, "dvc", "pull", "--quiet", *names)[1]}


def timed(folder: Path, *command: str) -> tuple[str, float]:
    """Return what a command of this environment prints, and the seconds that it took; RuntimeError where it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=million.around(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout, round(time.perf_counter() - started, 1)


if __name__ == "__main__":
    main()
