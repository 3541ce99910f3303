"""What foreign text may not do where a person reads it."""

import pytest

from domain.presentation import visible


@pytest.mark.parametrize(
    "mark",
    [
        "\x1b", "\u202e", "\u200b", "\u2028", "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\u034f", "\u180b",
        "\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef",
    ],
)  # fmt: skip
def test_a_character_that_prints_nothing_is_written_as_its_code_point(mark):
    assert visible(f"a{mark}b") == f"a\\u{ord(mark):04x}b"


def test_what_prints_stays_as_it_is():
    said = "für\té e\u0301 한국어 日本 नमस्ते →"
    assert visible(said) == said
