"""Pascal VOC files: values as text with the object's line; anything else refused with file and line."""

from pathlib import Path

import pytest

from localizer.dataset import DatasetConfig
from localizer.datasets.readers import voc
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.findings import BadFileError

CAT = """<annotation>
  <filename> cat.jpg </filename>
  <size><width>640</width><height>480</height><depth>3</depth></size>
  <object>
    <name>cat</name>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>4.5</ymax></bndbox>
  </object>
  <object>
    <bndbox>
      <ymax>8</ymax><xmax>7</xmax><ymin>6</ymin><xmin>5</xmin>
    </bndbox>
    <name>dog &amp; bone</name>
  </object>
</annotation>
"""
BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"


CONFIG = DatasetConfig(title="toy", format="voc", annotations="xml", images="images")


def items(folder: Path) -> list[Item]:
    return list(voc.read(folder, CONFIG, None))


def read(folder: Path, text: str | bytes) -> list[Item]:
    (folder / "a.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return items(folder)


def row(folder: Path, line: int, label: str, *corners: str) -> Row:
    """Return the row of an object in a.xml, whose image is `a`, of unknown size."""
    box = dict(zip(("box_1", "box_2", "box_3", "box_4"), corners, strict=True))
    return Row((folder / "a.xml").as_posix(), line, image="a", label=label, **box)


def test_values_are_text_without_the_spaces_around_them_with_the_line_of_the_object(tmp_path: Path) -> None:
    cat, dog = row(tmp_path, 4, "cat", "1", "2", "30", "4.5"), row(tmp_path, 8, "dog & bone", "5", "6", "7", "8")
    assert read(tmp_path, CAT) == [one._replace(image="cat.jpg", width="640", height="480") for one in (cat, dog)]


def test_a_parts_name_and_box_are_ignored(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    text = f"<annotation><filename>a</filename><object><name>man</name>{BOX}{part}</object></annotation>"
    assert read(tmp_path, text)[0] == row(tmp_path, 1, "man", "1", "2", "3", "4")


def test_a_missing_element_is_empty_text(tmp_path: Path) -> None:
    text = "<annotation><filename>a</filename><object><bndbox/></object></annotation>"
    assert read(tmp_path, text) == [row(tmp_path, 1, "", "", "", "", "")]


def test_a_file_without_an_object_is_a_background_image_with_its_size(tmp_path: Path) -> None:
    size = "<size><width>640</width><height>480</height></size>"
    assert read(tmp_path, f"<annotation><filename>a</filename>{size}</annotation>") == [
        BackgroundImage("a", "640", "480")
    ]


@pytest.mark.parametrize(
    ("element", "ignored"),
    [
        ("<difficult> 1 </difficult>", "difficult"),
        ("<truncated>1</truncated><occluded>1</occluded>", "occluded, truncated"),
        ("<difficult>0</difficult><occluded/>", ""),
        ("<part><name>head</name></part>", "part"),
        ("<polygon><x1>1</x1></polygon>", "polygon"),
        ("<mask/>", "mask"),
        ("<!-- <difficult>1</difficult> -->", ""),
        ("<pose>Left</pose>", ""),
    ],
)
def test_elements_of_an_object_that_are_not_read_are_listed(tmp_path: Path, element: str, ignored: str) -> None:
    found = read(tmp_path, f"<annotation><filename>a</filename><object>{element}{BOX}</object></annotation>")
    assert found[1:] == ([Ignored(f"Pascal VOC's {ignored}")] if ignored else [])


def test_the_files_of_a_folder_come_sorted_and_the_broken_ones_are_all_named_at_the_end(tmp_path: Path) -> None:
    for name, text in (("b", CAT), ("a", CAT), ("c", "<html/>"), ("d", "no xml")):
        (tmp_path / f"{name}.xml").write_text(text)
    with pytest.raises(BadFileError) as error:
        items(tmp_path)
    assert [finding.rule for finding in error.value.findings] == ["not_voc", "xml_invalid"]
    (tmp_path / "c.xml").unlink()
    (tmp_path / "d.xml").unlink()
    rows = [item for item in items(tmp_path) if isinstance(item, Row)]
    assert [(Path(row.file).name, row.line) for row in rows] == [("a.xml", 4), ("a.xml", 8), ("b.xml", 4), ("b.xml", 8)]


def test_what_is_not_read_of_all_files_comes_last(tmp_path: Path) -> None:
    for name, element in (("a", "<truncated>1</truncated>"), ("b", "<difficult>1</difficult>")):
        content = f"<annotation><filename>{name}</filename><object>{element}{BOX}</object></annotation>"
        (tmp_path / f"{name}.xml").write_text(content)
    assert items(tmp_path)[2:] == [Ignored("Pascal VOC's difficult, truncated")]


def test_two_files_share_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text(CAT)
    assert len(read(tmp_path, CAT)) == 4


def test_utf_16_that_is_declared_is_read(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><annotation><filename>é</filename></annotation>'
    assert read(tmp_path, text.encode("utf-16")) == [BackgroundImage("é")]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY lol "lol">]>',
        '<!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
        "<!DOCTYPE a>",
    ],
    ids=["entity", "external-entity", "external-dtd", "dtd"],
)
def test_a_dtd_or_an_entity_is_refused(tmp_path: Path, doctype: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"a\.xml: xml_entities: expected Pascal VOC without a .*\(DTD\) or entities, got one with them; remove",
    ):
        read(tmp_path, f"{doctype}<annotation><filename>a</filename></annotation>")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"", 1, "no element found"),
        (b"no xml", 1, "syntax error"),
        (b"<annotation>\n<filename>a</filename>\n<object>\n", 4, "no element found"),
        (b"<annotation>\n<filename>a</file>\n</annotation>", 2, "mismatched tag"),
        (b"<annotation>\n<filename>&nope;</filename></annotation>", 2, "undefined entity"),
        (b"<annotation>\n\n<filename>\xff</filename></annotation>", 3, "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', 1, "unknown encoding"),
    ],
)
def test_invalid_xml_names_file_and_line(tmp_path: Path, text: bytes, line: int, reason: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"a\.xml:{line}: xml_invalid: expected valid XML, got a parse error: {reason}.*; correct or replace",
    ):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "root"), [("<html/>", "html"), ("<a><annotation><filename>x</filename></annotation></a>", "a")]
)
def test_other_xml_is_refused(tmp_path: Path, text: str, root: str) -> None:
    message = rf"a\.xml:1: not_voc: expected <annotation> at the top, as in Pascal VOC, got <{root}>; correct"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["", "<filename/>", "<filename> </filename>", "<object><filename>x</filename></object>"]
)
def test_a_file_that_names_no_image_is_of_the_image_of_its_own_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.c.xml").write_text(f"<annotation>{name}<object><name>cat</name>{BOX}</object></annotation>")
    (tmp_path / "sub/d.xml").write_text("<annotation/>")
    *rows, empty = items(tmp_path)
    assert [row.image for row in rows if isinstance(row, Row)][-1] == "b.c"
    assert empty == BackgroundImage("d")
