"""docs/alerts.md promises nothing that no test holds and leaves out nothing that people meet."""

from pathlib import Path

from alerts.models import AlertSeverity, NotificationEvent, NotificationState, Resolution, RuleKind
from alerts.rendering import RULE_FIELDS
from alerts.services.silences import MATCHERS
from tests.promises import missing

PAGE = Path("docs/alerts.md")
TEXT = PAGE.read_text()


def test_every_test_that_is_named_exists_where_it_is_said_to_be():
    assert missing(PAGE, least=150) == []


def test_every_kind_field_resolution_severity_and_matcher_is_explained():
    words = {*RuleKind.values, *Resolution.values, *MATCHERS, *NotificationEvent.values, *NotificationState.values}
    words |= {name for names in RULE_FIELDS.values() for name in names}
    assert sorted(word for word in words if f"`{word}`" not in TEXT) == []
    assert all(severity in TEXT for severity in AlertSeverity.values)
