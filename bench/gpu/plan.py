"""The plan of `make gpu`: its parts in the order that they run in, and what they need. It needs nothing itself."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

BUDGET_S = 540
# Modules that every part needs, and the wheels that bring them where they are missing.
WHEELS = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "filelock": "filelock",
    "tqdm": "tqdm",
    "pydantic": "pydantic pydantic-core annotated-types typing-inspection typing-extensions",
    "ruamel.yaml": "ruamel.yaml",
    "timm": "timm",
    "pytest": "pytest pluggy iniconfig packaging pygments",
}
OF_PARTS = {"timm", "pytest"}  # the others are needed by all


@dataclass(frozen=True)
class Part:
    """A part of the measurements, which runs in a process of its own.

    seconds: estimate for an H200, start of the process included; basis: what it is made of; needs: modules of
    OF_PARTS; carried: whether it needs the file that `--pack` makes.
    """

    name: str
    seconds: int
    basis: str
    needs: tuple[str, ...] = ()
    carried: bool = False


# Estimates: a process starts in 8 s. At 224 px a bfloat16 step of a ResNet-50 takes 475 MB of traffic an image as
# written and 346 MB compiled, which is 4,500 and 6,000 images/s; the original script's, in TF32, 1,800. At 64 px and
# batch 32 some 900 launches take 15 ms. torch.compile takes 35 s for a network at one size. What is compared runs in 6
# rounds of 20 steps.
PARTS = (
    Part("tests", 55, "eight tests of some seconds", ("pytest",)),
    Part("tests_of_graphs", 30, "four tests of some seconds", ("pytest",)),
    Part("steps_large", 65, "120 x (3 x 57 + 142) ms, and 12 epochs of 20 steps", ("timm",)),
    Part("default", 45, "24 epochs of 43 steps, 120 x 4 steps of 15 ms", ("timm",)),
    Part("bccd", 45, "1,000 steps of 20 ms, 143 validations", carried=True),
    Part("steps_small", 30, "120 x (3 x 20 + 36) ms, and 12 epochs of 20 steps", ("timm",)),
    Part("end_to_end", 40, "512 photographs, 4 epochs of the original script at 120 images/s"),
    Part("compiled_large", 100, "2 x 35 s of compiling, 120 x (57 + 2 x 43) ms", ("timm",)),
    Part("compiled_small", 85, "2 x 35 s of compiling, 120 x (15 + 2 x 11) ms", ("timm",)),
    Part("choices", 40, "60 steps in fp32 of 250 ms, 180 in bfloat16"),
)


def missing(modules: Iterable[str]) -> list[str]:
    """Return which of the modules are not installed."""
    return [name for name in modules if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def needed_by_all() -> list[str]:
    return [name for name in WHEELS if name not in OF_PARTS]


def wheels(modules: Iterable[str]) -> str:
    """Return what to say about missing modules."""
    lacking = list(modules)
    return f"{', '.join(lacking)} missing; wheels to carry: {' '.join(WHEELS[name] for name in lacking)}"


def text() -> str:
    """Return the plan for people to read."""
    lines = [f"{part.seconds:4} s  {part.name:15} {part.basis}" for part in PARTS]
    total = sum(part.seconds for part in PARTS)
    needs = " ".join(word for wheel in WHEELS.values() for word in wheel.split())
    here = missing(WHEELS)
    return "\n".join(
        [
            *lines,
            f"{total:4} s  of {BUDGET_S} s, estimated for an H200",
            "",
            f"bccd needs a file that is carried along: {PACK_HELP}",
            f"packages: {needs}",
            f"in this Python: {wheels(here) if here else 'all of them'}",
        ]
    )


PACK = ".localizer/gpu/bccd.npz"
PACK_HELP = f"`python -m bench.gpu --pack` makes {PACK}"
