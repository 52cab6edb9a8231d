"""Names in UTF-8; what is refused of a file's bytes is tested with the formats that read them."""

from localizer.probing.file_names import as_utf8


def test_a_name_that_utf_8_can_hold_stays_as_it_is() -> None:
    assert as_utf8("sub/é 貓\n.jpg") == "sub/é 貓\n.jpg"


def test_half_a_character_is_spelt_out() -> None:
    # The first is what JSON may escape, the second how Python holds the byte ff of a file's name.
    assert as_utf8("a\ud800.jpg") == r"a\ud800.jpg"
    assert as_utf8("a\udcff.jpg") == r"a\udcff.jpg"
