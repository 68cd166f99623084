"""What the documentation promises to list is listed."""

import re
from pathlib import Path

import pytest

from sensors.wire import Reason
from tests.promises import missing

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def test_every_reason_for_refusal_has_its_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "mqtt.md").read_text(), re.MULTILINE))

    assert {reason.value for reason in Reason} <= rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    roots = "alerts|config|docker|docs|fleet|requirements|scripts|sensors|telemetry|tests"
    for name in re.findall(rf"`((?:{roots})/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_every_test_that_security_is_held_by_exists_where_it_is_said_to_be() -> None:
    assert missing(ROOT / "docs" / "security.md", least=45) == []
