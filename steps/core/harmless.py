"""Text of models and people made safe to show: nothing in it moves a cursor or reorders a line."""

# What a terminal would obey becomes what it can show; what reorders text becomes U+FFFD.
_SHOWN: dict[int, int | str | None] = {code: 0x2400 + code for code in range(32)}
_SHOWN |= {0x7F: "␡", ord("\r"): None, ord("\u2028"): "\n", ord("\u2029"): "\n"}
_SHOWN |= dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)
_SHOWN |= dict.fromkeys([0x061C, 0x200E, 0x200F], 0xFFFD)
_SHOWN |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
del _SHOWN[ord("\n")], _SHOWN[ord("\t")]


def harmless(text: str) -> str:
    """`text` without what moves a cursor, colours, reorders or types for the user."""
    return text.translate(_SHOWN)
