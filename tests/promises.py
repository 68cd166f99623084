"""The tests that a page of the documentation names for what it promises."""

import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# A file or folder of tests, or a test, the class of some, or the beginning of a test's name.
_NAMED = re.compile(r"`(tests/(?:\w+/)+|(?:tests/(?:\w+/)*)?test_\w+\.py|test_\w+…?|Test\w+)`")


def missing(page: Path, *, least: int) -> list[tuple[str, list[str]]]:
    """Return the tests and files that `page` names and that are not there, or twice, with where they were looked for.

    A test is looked for in the files that are named before it in its row, else in those that its table's head names,
    else in all. A name that ends in `…` is the beginning of one, or of several in one file. Raises AssertionError when
    it names fewer than `least`.
    """
    defined = _defined()
    found = list(_promised(page.read_text(), defined))
    assert len(found) >= least, f"{page.name} names {len(found)} tests"
    return [(name, sorted(files)) for name, files in found if not _is_one(name, [defined[file] for file in files])]


def _is_one(name: str, files: list[list[str]]) -> bool:
    """Return whether one file alone has such a test; one that is named in full it has once."""
    if name.endswith("…"):
        return sum(any(test.startswith(name[:-1]) for test in tests) for tests in files) == 1
    return sum(tests.count(name) for tests in files) == 1


def _defined() -> dict[str, list[str]]:
    """Return the tests of each file, by its path."""
    return {
        str(path.relative_to(_ROOT)): re.findall(
            r"^ *(?:async )?(?:def|class) ((?:test_|Test)\w+)", path.read_text(), re.MULTILINE
        )
        for path in (_ROOT / "tests").rglob("test_*.py")
    }


def _promised(text: str, defined: dict[str, list[str]]) -> Iterator[tuple[str, set[str]]]:
    """Yield each test with the files in which it is looked for, and each file or folder that there is not."""
    everywhere = set(defined)
    of_table = everywhere
    for line in text.splitlines():
        of_row: set[str] = set()
        for word in _NAMED.findall(line):
            if "/" not in word and not word.endswith(".py"):
                yield word, of_row or of_table
                continue
            files = {path for path in defined if path.startswith(word) or f"/{path}".endswith(f"/{word}")}
            if not files:
                yield word, files
            if "held by (" in line:
                of_table = files if of_table == everywhere else of_table | files
            else:
                of_row = files
        if not line.startswith("|"):
            of_table = everywhere
