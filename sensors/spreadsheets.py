"""CSV that stays data in a spreadsheet."""

from typing import Final

# In a spreadsheet these start a formula, which nobody must be able to place there by the name of a sensor.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def guarded(text: str) -> str:
    """Return `text`, after an apostrophe where a spreadsheet would take it for a formula.

    Source: OWASP, "CSV Injection". Only for texts: a negative number is no formula.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
