"""Settings fit for production: Django's own advice has nothing to say about them, and answers are for TLS alone."""

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.callers import make_user
from tests.live.web import ROOT, WebProcess

SCRIPT = ROOT / "scripts" / "check-production"
TLS = {"X-Forwarded-Proto": "https"}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_djangos_deployment_checks_have_nothing_to_say() -> None:
    checked = run(str(SCRIPT))

    assert (checked.returncode, "no issues (0 silenced)" in checked.stdout) == (0, True), (
        checked.stdout + checked.stderr
    )


def test_they_would_say_it(tmp_path: Path) -> None:
    # The same with one setting that is not fit for it.
    script = tmp_path / "check"
    script.write_text(
        SCRIPT.read_text().replace('"$(dirname "$0")/.."', str(ROOT)).replace("env -i", "env -i HSTS_SECONDS=0")
    )
    checked = run("bash", str(script))

    assert checked.returncode == 1
    assert "security.W004" in checked.stderr


@pytest.fixture(scope="module")
def production(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    """Return a daphne that believes to be behind a proxy that ends TLS."""
    with django_db_blocker.unblock():
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "web.log", FLEET_HTTPS="true").start()
        yield web
        web.stop()


def get(web: WebProcess, path: str, **headers: str) -> http.client.HTTPResponse:
    return ask(web, "GET", path, **headers)


def ask(web: WebProcess, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(web.host, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_browsers_are_told_to_insist_on_tls(production: WebProcess) -> None:
    found = get(production, "/login/", **TLS).headers["Strict-Transport-Security"]

    assert int(re.findall(r"max-age=(\d+)", found)[0]) >= 31536000
    assert "includeSubDomains" in found


def test_who_comes_without_tls_is_led_to_it(production: WebProcess) -> None:
    answer = get(production, "/login/?next=/alerts/")

    assert (answer.status, answer.headers["Location"]) == (301, f"https://{production.host}/login/?next=/alerts/")
    # Probes come from inside.
    assert get(production, "/healthz").status == 200


def test_cookies_go_over_tls_alone_and_to_no_other_site(production: WebProcess, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        user = make_user(password="correct-horse-battery")
    (form,) = get(production, "/login/", **TLS).headers.get_all("Set-Cookie")
    token = form.partition(";")[0].removeprefix("csrftoken=")
    fields = {"username": user.username, "password": "correct-horse-battery", "csrfmiddlewaretoken": token}
    headers = {
        **TLS,
        "Cookie": f"csrftoken={token}",
        "Referer": f"https://{production.host}/login/",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = ask(production, "POST", "/login/", urlencode(fields), **headers)

    assert answer.status == 302
    cookies = {cookie.partition("=")[0]: cookie for cookie in [form, *answer.headers.get_all("Set-Cookie")]}
    assert cookies.keys() >= {"csrftoken", "sessionid"}
    for name, cookie in cookies.items():
        assert {"Secure", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}, name
    assert "HttpOnly" in cookies["sessionid"]


def test_files_may_be_kept_and_pages_not(production: WebProcess) -> None:
    file, page = (get(production, path, **TLS) for path in ("/static/dashboard/favicon.svg", "/login/"))

    assert (file.status, page.status) == (200, 200)
    assert "no-store" not in file.headers["Cache-Control"]
    assert "no-store" in page.headers["Cache-Control"]
