"""docs/alerts.md promises nothing that no test holds and leaves out nothing that people meet."""

import re
from collections.abc import Iterator
from pathlib import Path

from alerts.models import AlertSeverity, NotificationEvent, NotificationState, Resolution, RuleKind
from alerts.rendering import RULE_FIELDS
from alerts.services.silences import MATCHERS

TEXT = Path("docs/alerts.md").read_text()
DEFINED = {
    path.name: set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    for path in Path("tests/alerts").glob("test_*.py")
}


def promised() -> Iterator[tuple[str, set[str]]]:
    """Yield each test that is named, with the files of which one must hold it: named before it, or by its table."""
    of_table = set(DEFINED)
    for line in TEXT.splitlines():
        of_row = of_table
        for word in re.findall(r"`(test_\w+(?:\.py|…)?)`", line):
            if not word.endswith(".py"):
                yield word, of_row
            elif "held by (" in line:
                of_table = {word} if of_table == set(DEFINED) else of_table | {word}
            else:
                of_row = {word}
        if not line.startswith("|"):
            of_table = set(DEFINED)


def test_every_test_that_is_named_exists_where_it_is_said_to_be():
    found = list(promised())
    assert len(found) > 150
    missing = [
        (name, sorted(files))
        for name, files in found
        if not any(
            one.startswith(name[:-1]) if name.endswith("…") else one == name
            for file in files
            for one in DEFINED.get(file, ())
        )
    ]
    assert missing == []


def test_every_kind_field_resolution_severity_and_matcher_is_explained():
    words = {*RuleKind.values, *Resolution.values, *MATCHERS, *NotificationEvent.values, *NotificationState.values}
    words |= {name for names in RULE_FIELDS.values() for name in names}
    assert sorted(word for word in words if f"`{word}`" not in TEXT) == []
    assert all(severity in TEXT for severity in AlertSeverity.values)
