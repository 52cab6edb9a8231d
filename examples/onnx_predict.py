"""Print the box in each photo with a model of `localizer export`: python onnx_predict.py MODEL.onnx PHOTO...

Needs onnxruntime, numpy and Pillow, not Localizer. What it must know of the model is in the file's metadata.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

PREPROCESSING = "RGB, upright, stretched to a square, antialiased bilinear"  # what `main` does


def main(model: str, *photos: str) -> int:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata, status = session.get_modelmeta().custom_metadata_map, 0
    if metadata.get("preprocessing") != PREPROCESSING:
        sys.exit(f"{model}: expected preprocessing {PREPROCESSING}; got {metadata.get('preprocessing')}")
    size, margin, threshold = (json.loads(metadata[name]) for name in ("image_size", "margin", "agreement_threshold"))
    for photo in photos:
        prediction: dict[str, object] = {"image": photo}
        try:
            image = ImageOps.exif_transpose(Image.open(photo))
            if image.mode[0] in "IF":  # gray of high bit depth, which converting would clip to white
                raise ValueError(f"mode {image.mode} has more than 8 bits per channel; save it with 8")
            image.info.pop("transparency", None)  # dropped like all alpha; Pillow would warn where it is a palette's
            square = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
            boxes, agreement = session.run(["boxes", "agreement"], {"pixels": square[None]})
            box_px = boxes[0].astype(float) * [*image.size, *image.size]
            mean_side = max((box_px[2:] - box_px[:2]).mean(), 1)
            prediction |= {"label": metadata["label"], "box_xyxy_px": [round(side, 2) for side in box_px.tolist()]}
            prediction["margin_px"] = round(float(max(image.size) if margin is None else margin * mean_side), 2)
            prediction["confident"] = None if threshold is None else bool(agreement[0] >= threshold)
        except Exception as error:  # a broken file makes Pillow raise almost anything
            prediction, status = {"image": photo, "error": str(error)}, 1
        print(json.dumps(prediction))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
