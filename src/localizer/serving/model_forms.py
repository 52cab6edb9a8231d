"""How a model can be named, as text for messages and help."""

from pathlib import Path

MODEL = Path("models/localizer.safetensors")  # where the pipeline writes it
CARD = MODEL.with_suffix(".json")
SUFFIX = MODEL.suffix
MODEL_FORMS = (
    "a .safetensors file with its model card (.json) in the same folder; a branch, tag, commit or DVC experiment; an "
    "MLflow run's name, or six or more characters of its id; run:NAME or rev:NAME where a name is both; "
    "models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model"
)
