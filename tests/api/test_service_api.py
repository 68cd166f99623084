"""What holds for every request: throttles, the request log, CORS, the OpenAPI document and its page."""

import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import structlog
import yaml
from django.core.management import call_command
from django.test import Client

from sensors import services
from sensors.limits import counters as counters_module
from sensors.limits.counters import Counters
from sensors.limits.rates import parse_rate
from sensors.limits.requests import CallerThrottle, Parts
from sensors.models import AuditEntry
from tests.api.callers import Caller


@pytest.fixture
def slow_rate(settings):
    rates = {"caller": "3/h", "login": "10/min"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}


class TestThrottle:
    """The limit of one caller."""

    def test_too_many_requests_are_429_and_say_when_to_come_back(self, world, slow_rate):
        assert [world.viewer.get("me/").status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = world.viewer.get("me/")
        assert 0 < int(answer["Retry-After"]) <= 3600
        assert list(answer.json()) == ["detail"]

    def test_each_token_has_a_limit_of_its_own(self, world, slow_rate):
        other = Caller(world.viewer.user)
        for _ in range(4):
            world.viewer.get("me/")
        assert other.get("me/").status_code == 200

    def test_callers_without_a_login_are_counted_by_address(self, db, slow_rate):
        # Refused for want of a login, before anything is counted: the limit protects what costs something.
        assert [Caller().get("me/").status_code for _ in range(5)] == [401] * 5

    def test_a_hundred_requests_a_second_are_within_the_default(self, settings):
        requests, window_s = parse_rate(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["caller"])
        assert requests / window_s >= 100

    def test_processes_share_a_large_limit_in_parts_and_never_pass_it(self, settings, monkeypatch):
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"caller": "1010/h"}}
        asked = []
        count = Counters.count
        monkeypatch.setattr(
            Counters, "count", lambda self, key, **how: asked.append(how["by"]) or count(self, key, **how)
        )
        processes = [CallerThrottle(), CallerThrottle()]
        for process in processes:
            process.parts = Parts()
        key = f"test:{time.time_ns()}"

        def taken(number):
            return [processes[each % 2].take(key, at_most=1010, now_s=7200.0) for each in range(number)].count(True)

        assert taken(1000) == 1000
        # A part is a two-hundredth: one question in five requests.
        assert asked == [5] * 200
        assert taken(100) == 10
        assert processes[0].wait() == 3600

    @pytest.mark.parametrize(("rate", "parsed"), [("5/s", (5, 1)), ("12000/min", (12000, 60)), ("9/hour", (9, 3600))])
    def test_rates_are_read(self, rate, parsed):
        assert parse_rate(rate) == parsed

    @pytest.mark.parametrize("rate", ["", "5", "5/", "x/s", "0/s", "-1/s", "5/fortnight"])
    def test_a_mistyped_rate_does_not_start(self, rate):
        with pytest.raises(ValueError, match="throttle rate"):
            parse_rate(rate)


class TestCounters:
    """Counting in Redis, and without it."""

    def test_it_counts_each_key(self, settings):
        counters = Counters(settings.REDIS_URL)
        key = f"test:{time.time_ns()}"
        assert [counters.count(key, window_s=5) for _ in range(3)] == [1, 2, 3]
        assert counters.count(key + "x", window_s=5) == 1

    def test_a_redis_that_is_away_is_asked_once(self):
        counters = Counters("redis://127.0.0.1:1/0")
        assert counters.count("a", window_s=5) is None
        started_s = time.monotonic()
        assert [counters.count("a", window_s=5) for _ in range(1000)] == [None] * 1000
        assert time.monotonic() - started_s < 0.5

    def test_a_redis_that_hangs_costs_one_timeout_and_then_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as hung:
            counters = Counters(f"redis://127.0.0.1:{hung.getsockname()[1]}/0", timeout_s=0.2)
            started_s = time.monotonic()
            assert counters.count("a", window_s=5) is None
            assert 0.15 < time.monotonic() - started_s < 1
            started_s = time.monotonic()
            assert [counters.count("a", window_s=5) for _ in range(1000)] == [None] * 1000
            assert time.monotonic() - started_s < 0.5

    def test_after_the_pause_one_caller_tries_and_the_others_do_not_wait(self):
        with socket.create_server(("127.0.0.1", 0)) as hung:
            url = f"redis://127.0.0.1:{hung.getsockname()[1]}/0"
            counters = Counters(url, timeout_s=0.3, pause_s=0.2)
            counters.count("a", window_s=5)
            ready = threading.Event()
            ready.wait(0.25)
            waited: list[float] = []

            def count():
                started_s = time.monotonic()
                counters.count("a", window_s=5)
                waited.append(time.monotonic() - started_s)

            threads = [threading.Thread(target=count) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(length > 0.2 for length in waited) == 1

    def test_it_counts_again_once_redis_is_back(self, settings):
        counters = Counters("redis://127.0.0.1:1/0", pause_s=0.1)
        assert counters.count("a", window_s=5) is None
        good = Counters(settings.REDIS_URL)
        counters._redis = good._redis
        threading.Event().wait(0.12)
        key = f"test:{time.time_ns()}"
        assert counters.count(key, window_s=5) == 1
        assert counters.count(key, window_s=5) == 2

    def test_requests_are_answered_while_redis_is_away(self, world, slow_rate, settings):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        started_s = time.monotonic()
        assert [world.viewer.get("me/").status_code for _ in range(10)] == [200] * 10
        assert time.monotonic() - started_s < 3

    def test_guessing_is_limited_while_redis_is_away(self, db, settings):
        settings.REDIS_URL = "redis://127.0.0.1:2/0"
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        rates = {"caller": "3/h", "login": "2/h"}
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
        body = {"username": f"guess-{time.time_ns()}", "password": "x"}
        statuses = [Caller().post("auth/token/", body, REMOTE_ADDR="2001:db8::77").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]

    def test_one_client_a_process_and_address(self, settings):
        assert counters_module.counters() is counters_module.counters()


class TestRequestLog:
    """One line a request, without what is secret."""

    @pytest.fixture
    def lines(self):
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            yield lines

    def test_a_request_is_one_line_with_who_what_how_and_how_long(self, world, lines, caplog):
        answer = world.viewer.get("sensors/?search=my-secret")
        finished = [line for line in lines if line["event"] == "request_finished"]
        assert len(finished) == 1
        line = finished[0]
        assert line["request"] == "GET /api/v1/sensors/"
        assert line["code"] == 200
        assert line["user_id"] == world.viewer.user.pk
        assert 0 < line["ms"] < 60_000
        assert line["request_id"] == answer["X-Request-ID"]
        assert [line["log_level"] for line in lines if line["event"] == "request_started"] in ([], ["debug"])
        assert "my-secret" not in str(lines) + caplog.text
        assert world.viewer.token not in str(lines) + caplog.text

    def test_a_login_leaves_neither_password_nor_token(self, db, lines, caplog):
        body = {"username": "ada", "password": "my-password"}
        Caller().post("auth/token/", body, REMOTE_ADDR="2001:db8::78")
        assert any(line.get("code") == 401 for line in lines)
        assert "my-password" not in str(lines) + caplog.text

    def test_a_host_that_is_none_of_ours_is_one_line_without_a_traceback(self, client, caplog):
        assert client.get("/login/", headers={"Host": "elsewhere.example"}).status_code == 400
        (record,) = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
        assert "elsewhere.example" in record.getMessage()
        assert record.exc_info is None

    def test_a_probe_that_succeeds_is_not_logged(self, client, lines):
        client.get("/healthz")
        assert [line for line in lines if line["event"] == "request_finished" and line["code"] < 400] == []


class TestCors:
    """Browsers on other origins."""

    def test_a_listed_origin_may_read(self, world, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://panel.example"]
        answer = world.viewer.get("me/", headers={"Origin": "https://panel.example"})
        assert answer["Access-Control-Allow-Origin"] == "https://panel.example"

    def test_any_other_may_not(self, world, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://panel.example"]
        for origin in ("https://evil.example", "https://panel.example.evil.example", "null"):
            answer = world.viewer.get("me/", headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in answer

    def test_a_preflight_of_a_listed_origin_is_answered_without_a_login(self, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://panel.example"]
        headers = {
            "Origin": "https://panel.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        answer = Client().options("/api/v1/sensors/", headers=headers)
        assert answer.status_code == 200
        assert "authorization" in answer["Access-Control-Allow-Headers"]

    def test_pages_outside_the_api_are_for_no_other_origin(self, client, settings, db):
        settings.CORS_ALLOWED_ORIGINS = ["https://panel.example"]
        answer = client.get("/login/", headers={"Origin": "https://panel.example"})
        assert "Access-Control-Allow-Origin" not in answer


@pytest.fixture(scope="module")
def document():
    answer = Client().get("/api/schema/")
    assert answer.status_code == 200
    return yaml.safe_load(answer.content)


class TestSchema:
    """The OpenAPI document."""

    def test_it_names_every_path_of_the_contract(self, document):
        paths = {path.removeprefix("/api/v1/") for path in document["paths"]}
        base = "sensors/{identifier}/"
        assert paths >= {
            "auth/token/",
            "auth/logout/",
            "me/",
            "networks/",
            "networks/{slug}/",
            "networks/{slug}/members/",
            "networks/{slug}/members/{username}/",
            "gateways/",
            "gateways/{identifier}/",
            "sensors/",
            base,
            f"{base}configurations/",
            f"{base}configurations/{{revision}}/",
            f"{base}configurations/{{revision}}/diff/",
            f"{base}configurations/{{revision}}/restore/",
            f"{base}measurements/",
            f"{base}measurements/latest/",
            "measurements/latest/",
            f"{base}measurements/export/",
            f"{base}series/",
            f"{base}heartbeats/",
            f"{base}log-messages/",
            f"{base}log-messages/summary/",
            "log-messages/",
            "rejected-messages/",
            "alert-rules/",
            "alert-rules/{id}/",
            "alerts/",
            "alerts/{id}/",
            "alerts/{id}/acknowledge/",
            "alerts/{id}/resolve/",
            "silences/",
            "stats/",
        }

    def test_every_operation_lists_its_statuses(self, document):
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                statuses = set(operation["responses"])
                assert {"401", "429"} <= statuses, (method, path)
                assert any(status.startswith("2") for status in statuses), (method, path)
                if "{" in path:
                    assert "404" in statuses, (method, path)

    def test_making_things_is_201_and_deleting_them_204(self, document):
        paths = document["paths"]
        for path in ("networks/", "gateways/", "sensors/", "sensors/{identifier}/configurations/"):
            assert "201" in paths[f"/api/v1/{path}"]["post"]["responses"]
        for path in ("networks/{slug}/", "gateways/{identifier}/", "sensors/{identifier}/"):
            assert "204" in paths[f"/api/v1/{path}"]["delete"]["responses"]

    def test_it_names_the_bearer_token(self, document):
        scheme = document["components"]["securitySchemes"]["token"]
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")

    def test_it_gives_examples(self, document):
        post = document["paths"]["/api/v1/sensors/{identifier}/configurations/"]["post"]
        assert post["requestBody"]["content"]["application/json"]["examples"]
        assert post["responses"]["201"]["content"]["application/json"]["examples"]

    def test_it_is_made_without_a_warning(self, tmp_path):
        call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


class TestDocs:
    """The page of the API."""

    def test_it_runs_scripts_of_this_server_only(self, client):
        answer = client.get("/api/docs/")
        assert answer.status_code == 200
        policy = answer["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "script-src" not in policy
        page = answer.content.decode()
        assert "<script>" not in page
        assert "cdn" not in page.lower()

    def test_its_script_is_served(self, client):
        answer = client.get("/api/docs/?script=")
        assert answer.status_code == 200
        assert "javascript" in answer["Content-Type"]
        assert "/api/schema/" in answer.content.decode()

    def test_its_exception_holds_nowhere_else(self, client, world):
        assert "unsafe-inline" not in client.get("/login/")["Content-Security-Policy"]
        assert "unsafe-inline" not in world.viewer.get("me/")["Content-Security-Policy"]
        assert urlsplit(client.get("/api/schema/")["Content-Type"]).path.startswith("application/vnd.oai.openapi")


def test_who_changed_what_is_in_the_audit_log(world):

    world.operator.post("sensors/", {"identifier": "audited", "network": world.network.slug})
    world.operator.patch("sensors/audited/", {"name": "New"})
    entry = AuditEntry.objects.filter(object_repr="New").latest("timestamp")
    assert entry.actor == world.operator.user
    assert entry.changes["name"] == ["", "New"]
    services.create_sensor(world.network, identifier="quiet")
