"""Writers of the annotation formats that have readers, one each, for tests: boxes by image, xyxy in pixels."""

import json
from collections.abc import Callable
from pathlib import Path

SIZE = W, H = 640, 480
Box = tuple[str, int, int, int, int]  # label, xmin, ymin, xmax, ymax
Boxes = dict[str, list[Box]]
Writer = Callable[[Boxes, Path], Path]


def labelstudio(boxes: Boxes, folder: Path) -> Path:
    def region(box: Box) -> dict[str, object]:
        return {"original_width": W, "original_height": H, "type": "rectanglelabels", "value": _percent(box)}

    tasks = [
        {"data": {"image": f"/data/upload/1/{image}"}, "annotations": [{"result": [region(box) for box in own]}]}
        for image, own in boxes.items()
    ]
    return _json(folder / "project.json", tasks)


def labelstudio_min(boxes: Boxes, folder: Path) -> Path:
    size = {"original_width": W, "original_height": H}
    records = [{"image": image, "label": [_percent(box) | size for box in own]} for image, own in boxes.items()]
    return _json(folder / "min.json", records)


def cvat(boxes: Boxes, folder: Path) -> Path:
    lines = []
    for image, own in boxes.items():
        lines.append(f'<image id="0" name="{image}" width="{W}" height="{H}">')
        lines += [f'<box label="{c}" xtl="{a}" ytl="{b}" xbr="{x}" ybr="{y}"/>' for c, a, b, x, y in own]
        lines.append("</image>")
    return _text(folder / "cvat.xml", "<annotations><version>1.1</version>", *lines, "</annotations>")


def dlib(boxes: Boxes, folder: Path) -> Path:
    lines = []
    for image, own in boxes.items():
        lines.append(f"<image file='{image}'>")
        for label, left, top, right, bottom in own:
            sides = f"left='{left}' top='{top}' width='{right - left}' height='{bottom - top}'"
            lines.append(f"<box {sides}><label>{label}</label></box>")
        lines.append("</image>")
    return _text(folder / "dlib.xml", "<dataset><images>", *lines, "</images></dataset>")


def labelme(boxes: Boxes, folder: Path) -> Path:
    for image, own in boxes.items():
        shapes = [{"label": c, "shape_type": "rectangle", "points": [[x, y], [a, b]]} for c, a, b, x, y in own]
        top = {"shapes": shapes, "imagePath": image, "imageWidth": W, "imageHeight": H, "imageData": None}
        _json(folder / f"{Path(image).stem}.json", top)
    return folder


def supervisely(boxes: Boxes, folder: Path) -> Path:
    for image, own in boxes.items():
        objects = [
            {"classTitle": c, "geometryType": "rectangle", "points": {"exterior": [[a, b], [x, y]], "interior": []}}
            for c, a, b, x, y in own
        ]
        _json(folder / "ann" / f"{image}.json", {"size": {"width": W, "height": H}, "objects": objects})
    return folder / "ann"


def via(boxes: Boxes, folder: Path) -> Path:
    metadata = {
        image: {
            "filename": image,
            "size": 1,
            "regions": [{"shape_attributes": _rect(box), "region_attributes": {"label": box[0]}} for box in own],
        }
        for image, own in boxes.items()
    }
    return _json(folder / "via.json", {"_via_settings": {}, "_via_img_metadata": metadata})


def via_csv(boxes: Boxes, folder: Path) -> Path:
    def quoted(value: object) -> str:
        return '"' + json.dumps(value).replace('"', '""') + '"'

    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for image, own in boxes.items():
        rows = [(quoted(_rect(box)), quoted({"type": box[0]})) for box in own] or [('"{}"', '"{}"')]
        lines += [f'{image},1,"{{}}",{len(own)},{i},{shape},{label}' for i, (shape, label) in enumerate(rows)]
    return _text(folder / "via.csv", *lines)


def vott(boxes: Boxes, folder: Path) -> Path:
    assets = {
        image: {
            "asset": {"name": image, "size": {"width": W, "height": H}},
            "regions": [{"type": "RECTANGLE", "tags": [box[0]], "boundingBox": _sides(box)} for box in own],
        }
        for image, own in boxes.items()
    }
    return _json(folder / "vott.json", {"name": "x", "assets": assets})


def createml(boxes: Boxes, folder: Path) -> Path:
    def coordinates(box: Box) -> dict[str, float]:
        _, a, b, x, y = box
        return {"x": (a + x) / 2, "y": (b + y) / 2, "width": x - a, "height": y - b}

    images = [
        {"image": image, "annotations": [{"label": box[0], "coordinates": coordinates(box)} for box in own]}
        for image, own in boxes.items()
    ]
    return _json(folder / "createml.json", images)


def sagemaker(boxes: Boxes, folder: Path) -> Path:
    labels = sorted({box[0] for own in boxes.values() for box in own})
    lines = []
    for image, own in boxes.items():
        found = [_sides(box) | {"class_id": labels.index(box[0])} for box in own]
        job = {"annotations": found, "image_size": [{"width": W, "height": H, "depth": 3}]}
        names = {str(number): label for number, label in enumerate(labels)}
        line = {"source-ref": f"s3://bucket/in/{image}", "job": job, "job-metadata": {"class-map": names}}
        lines.append(json.dumps(line))
    return _text(folder / "output.manifest", *lines)


def labelbox(boxes: Boxes, folder: Path) -> Path:
    lines = []
    for image, own in boxes.items():
        objects = [{"name": box[0], "annotation_kind": "ImageBoundingBox", "bounding_box": _sides(box)} for box in own]
        projects = {"p": {"labels": [{"annotations": {"objects": objects}}]}}
        size = {"width": W, "height": H}
        lines.append(json.dumps({"data_row": {"external_id": image}, "media_attributes": size, "projects": projects}))
    return _text(folder / "export.ndjson", *lines)


def huggingface(boxes: Boxes, folder: Path) -> Path:
    lines = []
    for image, own in boxes.items():
        objects = {"bbox": [[a, b, x - a, y - b] for _, a, b, x, y in own], "category": [box[0] for box in own]}
        lines.append(json.dumps({"file_name": image, "width": W, "height": H, "objects": objects}))
    return _text(folder / "metadata.jsonl", *lines)


def kitti(boxes: Boxes, folder: Path) -> Path:
    for image, own in boxes.items():
        lines = [f"{c} 0.0 0 -10 {a} {b} {x} {y} -1 -1 -1 -1000 -1000 -1000 -10" for c, a, b, x, y in own]
        _text(folder / "label_2" / f"{Path(image).stem}.txt", *lines)
    return folder / "label_2"


def records(boxes: Boxes, folder: Path) -> Path:
    found = [
        {"filename": image, "class": c, "xmin": a, "ymin": b, "xmax": x, "ymax": y}
        for image, own in boxes.items()
        for c, a, b, x, y in own
    ]
    empty = [{"filename": image, "class": ""} for image, own in boxes.items() if not own]
    return _json(folder / "records.json", found + empty)


def semicolons(boxes: Boxes, folder: Path) -> Path:
    lines = ["image;label;xmin;ymin;xmax;ymax"]
    for image, own in boxes.items():
        lines += [f"{image};{c};{a},0;{b},0;{x},0;{y},0" for c, a, b, x, y in own] or [f"{image};;;;;"]
    return _text(folder / "semicolons.csv", *lines)


def boxes_in_lists(boxes: Boxes, folder: Path) -> Path:
    lines = ["image_id\tbbox\tkind"]
    for image, own in boxes.items():
        stem = Path(image).stem
        lines += [f"{stem}\t[{a}.0, {b}.0, {x - a}.0, {y - b}.0]\t{c}" for c, a, b, x, y in own] or [f"{stem}\t\t"]
    return _text(folder / "lists.tsv", *lines)


def x_before_y(boxes: Boxes, folder: Path) -> Path:
    lines = ["ImageID,Source,LabelName,XMin,XMax,YMin,YMax"]
    for image, own in boxes.items():
        shares = [(c, a / W, x / W, b / H, y / H) for c, a, b, x, y in own]
        lines += [f"{image},hand,{c},{a:.9f},{x:.9f},{b:.9f},{y:.9f}" for c, a, x, b, y in shares]
        lines += [] if own else [f"{image},hand,,,,,"]
    return _text(folder / "shares.csv", *lines)


DIALECTS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        *(labelstudio, labelstudio_min, cvat, dlib, labelme, supervisely, via, via_csv, vott, createml, sagemaker),
        *(labelbox, huggingface, kitti, records, semicolons, boxes_in_lists, x_before_y),
    )
}


def _percent(box: Box) -> dict[str, object]:
    label, left, top, right, bottom = box
    sides = {"x": 100 * left / W, "y": 100 * top / H, "width": 100 * (right - left) / W}
    return sides | {"height": 100 * (bottom - top) / H, "rotation": 0, "rectanglelabels": [label]}


def _rect(box: Box) -> dict[str, object]:
    _, a, b, x, y = box
    return {"name": "rect", "x": a, "y": b, "width": x - a, "height": y - b}


def _sides(box: Box) -> dict[str, int]:
    _, a, b, x, y = box
    return {"left": a, "top": b, "width": x - a, "height": y - b}


def _json(path: Path, value: object) -> Path:
    return _text(path, json.dumps(value, ensure_ascii=False))


def _text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
