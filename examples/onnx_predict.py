"""Prints the box in each photo, by an ONNX file of `localizer export`: python onnx_predict.py MODEL.onnx PHOTO...

Needs onnxruntime, numpy and Pillow, not Localizer. All that it knows of the model stands in the file's metadata.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

PREPROCESSING = "RGB, upright, stretched to a square, antialiased bilinear"  # what `main` does to a photo


def main(model: str, *photos: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    if told["preprocessing"] != PREPROCESSING:
        sys.exit(f"{model}: wants images otherwise: {told['preprocessing']}")
    size, margin, threshold = (json.loads(told[name]) for name in ("image_size", "margin", "agreement_threshold"))
    for photo in photos:
        image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
        square = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
        boxes, agreement = session.run(["boxes", "agreement"], {"pixels": square[None]})
        box_px = boxes[0].astype(float) * [*image.size, *image.size]
        mean_side = max((box_px[2:] - box_px[:2]).mean(), 1)
        answer = {
            "image": photo,
            "label": told["label"],
            "box_xyxy_px": [round(side, 2) for side in box_px.tolist()],
            "margin_px": round(float(max(image.size) if margin is None else margin * mean_side), 2),
            "confident": None if threshold is None else bool(agreement[0] >= threshold),
        }
        print(json.dumps(answer))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
