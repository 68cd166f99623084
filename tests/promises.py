"""The tests that a page of the documentation names for what it promises."""

import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def missing(page: Path, *, least: int) -> list[tuple[str, list[str]]]:
    """Return the tests that `page` names and that are not where it says, with the files that it says.

    A test is looked for in the file that is named before it in its row, else in those that its table's head names, else
    in all. A name that ends in `…` is the beginning of one. Raises AssertionError when it names fewer than `least`.
    """
    defined = _defined()
    found = list(_promised(page.read_text(), set(defined)))
    assert len(found) >= least, f"{page.name} names {len(found)} tests"
    return [
        (name, sorted(files))
        for name, files in found
        if not any(
            one.startswith(name[:-1]) if name.endswith("…") else one == name
            for file in files
            for one in defined.get(file, ())
        )
    ]


def _defined() -> dict[str, set[str]]:
    defined: dict[str, set[str]] = {}
    for path in (_ROOT / "tests").rglob("test_*.py"):
        names = re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        defined.setdefault(path.name, set()).update(names)
    return defined


def _promised(text: str, everywhere: set[str]) -> Iterator[tuple[str, set[str]]]:
    of_table = everywhere
    for line in text.splitlines():
        of_row = of_table
        for word in re.findall(r"`(?:tests/(?:\w+/)*)?(test_\w+(?:\.py|…)?)`", line):
            if not word.endswith(".py"):
                yield word, of_row
            elif "held by (" in line:
                of_table = {word} if of_table == everywhere else of_table | {word}
            else:
                of_row = {word}
        if not line.startswith("|"):
            of_table = everywhere
