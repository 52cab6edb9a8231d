"""What more images would take, on paper: `python -m bench.paper`, from the rows of bench.million and bench.sharing.

Time and disk grow as the number of images does, at the rates of the largest set that was measured; memory along the
line through the smallest and the largest set. Prices, in dollars, and what isn't measured here are assumptions.
"""

from collections.abc import Iterator, Mapping

from bench import kept, million, sharing

FURTHER = [10_000_000, 100_000_000]
CORE_HOUR, GPU_HOUR = 0.05, 3.0
GB_MONTH, PUT = 0.023, 0.005 / 1000  # in a bucket; of an object
GPU_RATE, EPOCHS = 2500, 60  # images/s of a ResNet-50 at 224 px on a large GPU
TRAINED = 0.7  # of the images
IMAGE_KB = 20  # of a JPEG of 224 px

Stages = Mapping[str, million.Row]


def show() -> None:
    """Print the largest set and more images as a Markdown table; ValueError where fewer than two sizes are kept."""
    rows = million.by_size()
    sizes = sorted({one["scenes"] for one in rows})
    if len(sizes) < 2:
        raise ValueError(f"{million.NAME}.json has {len(sizes)} sizes of the two or more that a line goes through")
    low, high = ({one["stage"]: one for one in rows if one["scenes"] == size} for size in (sizes[0], sizes[-1]))
    counts = [sizes[-1], *FURTHER]
    print(f"\n| | {' | '.join(f'{count:,}' for count in counts)} |\n|{'---|' * (len(counts) + 1)}")
    columns = [dict([*measured(low, high, count), *pushed(count), *assumed(high, count)]) for count in counts]
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


def measured(low: Stages, high: Stages, count: int) -> Iterator[tuple[str, str]]:
    """Yield hours and memory of each stage, memory of DVC, and what lies on the disk."""
    for stage in (stage for stage in high if stage in low):
        took = hours(count / high[stage]["images_per_s"])
        yield f"`{stage}`", f"{took}, {memory(low[stage], high[stage], f'stages/{stage}.py', count)}"
    yield "DVC in `prepare`", memory(low["prepare"], high["prepare"], "dvc", count)
    each = sum([*high.values()][-1]["bytes_an_image"].values())
    yield "on disk, all of it", f"{each * count / 2**30:,.0f} GiB"


def pushed(count: int) -> Iterator[tuple[str, str]]:
    """Yield the hours of pushing and pulling an object an image."""
    for one in kept.rows(sharing.NAME):
        if one["what"] in ("push", "pull"):
            yield f"`dvc {one['what']}`", hours(one["wall_s"] / one["objects"] * count)


def assumed(high: Stages, count: int) -> Iterator[tuple[str, str]]:
    """Yield money for computers and a bucket, and what a training on GPUs takes."""
    cores = int(high["prepare"]["device"].split()[0])
    spent = sum(count / high[stage]["images_per_s"] for stage in high if stage != "train") / 3600 * cores
    yield "cores of the stages but `train`", f"${spent * CORE_HOUR:,.2f}"
    on_gpu = EPOCHS * TRAINED * count / GPU_RATE
    yield f"{EPOCHS} epochs of a ResNet-50, 224 px", f"{hours(on_gpu)} of a GPU, ${on_gpu / 3600 * GPU_HOUR:,.0f}"
    gb = IMAGE_KB * count / 1e6
    yield "a bucket, 224 px", f"{gb:,.0f} GB: ${count * PUT:,.0f} once, ${gb * GB_MONTH:,.2f} a month"


def memory(low: million.Row, high: million.Row, name: str, count: int) -> str:
    slope = (million.peak(high, name) - million.peak(low, name)) / (high["scenes"] - low["scenes"])
    return f"{(million.peak(high, name) + slope * (count - high['scenes'])) / 1024:.1f} GiB"


def hours(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:,.1f} h"


if __name__ == "__main__":
    show()
