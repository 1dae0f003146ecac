"""Nothing that a model writes can do more to a terminal than be read."""

import pytest

from steps.core.harmless import harmless


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[31mred", "␛[2J␛[31mred"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b]52;c;cm0gLXJmIC8=\x07", "␛]52;c;cm0gLXJmIC8=␇"),
        ("\x9b31m", "\ufffd31m"),
        ("over\rwritten", "overwritten"),
        ("gone\b\b\b\x7f", "gone␈␈␈␡"),
        ("nul\0", "nul␀"),
        ("\u202eevil\u2066", "\ufffdevil\ufffd"),
        ("half \ud83d", "half \ufffd"),
        ("one\u2028two", "one\ntwo"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(hostile: str, shown: str) -> None:
    assert harmless(hostile) == shown


@pytest.mark.parametrize("text", ["a\n\tb", "[bold]x[/bold]", "¿Sí?", "العربية 👩‍👩‍👧 한국어"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert harmless(text) == text
