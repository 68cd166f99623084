"""docs/alerts.md promises nothing that no test holds and leaves out nothing that people meet."""

import re
from pathlib import Path

from alerts.models import AlertSeverity, NotificationEvent, NotificationState, Resolution, RuleKind
from alerts.rendering import RULE_FIELDS
from alerts.services.silences import MATCHERS

TEXT = Path("docs/alerts.md").read_text()
DEFINED = {
    name
    for path in Path("tests/alerts").glob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
}


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+…?)`", TEXT))
    assert len(named) > 40
    missing = [
        name
        for name in named
        if not any(one.startswith(name[:-1]) if name.endswith("…") else one == name for one in DEFINED)
    ]
    assert missing == []


def test_every_kind_field_resolution_severity_and_matcher_is_explained():
    words = {*RuleKind.values, *Resolution.values, *MATCHERS, *NotificationEvent.values, *NotificationState.values}
    words |= {name for names in RULE_FIELDS.values() for name in names}
    assert sorted(word for word in words if f"`{word}`" not in TEXT) == []
    assert all(severity in TEXT for severity in AlertSeverity.values)
