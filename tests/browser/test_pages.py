"""What the server says before any script runs: who gets which page, and what is in it."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from alerts.models import Alert
from sensors import services
from sensors.models import Role, User

PAGES = [
    "/",
    "/alerts/",
    "/rules/",
    "/notifications/",
    "/networks/",
    "/claims/",
    "/account/",
    "/audit/",
    "/tokens/",
    "/password/",
    "/password/done/",
]
pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="a long enough one")


@pytest.fixture
def browser(ada) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    return client


def make_sensor(slug, *, member=None, role=Role.VIEWER):
    network = services.create_network(slug=slug, owner=None)
    if member is not None:
        services.set_member(network, user=member, role=role)
    return services.create_sensor(network, identifier=f"sensor-of-{slug}", name="<b>Boiler</b>")


def make_alert(sensor):
    now = timezone.now()
    return Alert.objects.create(
        network=sensor.network,
        sensor=sensor,
        sensor_identifier=sensor.identifier,
        rule_name="<i>hot</i>",
        state="firing",
        severity="critical",
        started_at=now,
        fired_at=now,
        created_at=now,
        updated_at=now,
    )


@pytest.mark.parametrize("path", [*PAGES, "/sensors/any/", "/alerts/1/"])
def test_every_page_sends_strangers_to_the_login_and_back(path):
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there_for_who_is_logged_in(browser, path):
    response = browser.get(path)
    assert response.status_code == 200
    page = response.content.decode()
    assert '<html lang="en"' in page
    assert "<main" in page


def test_only_members_see_a_sensor_and_its_alerts(browser, ada):
    own, foreign = make_sensor("own", member=ada), make_sensor("foreign")
    assert browser.get(f"/sensors/{own.identifier}/").status_code == 200
    assert browser.get(f"/sensors/{foreign.identifier}/").status_code == 404
    assert browser.get("/sensors/no-such-sensor/").status_code == 404
    assert browser.get(f"/alerts/{make_alert(own).pk}/").status_code == 200
    assert browser.get(f"/alerts/{make_alert(foreign).pk}/").status_code == 404


def test_names_are_text_in_the_page(browser, ada):
    sensor = make_sensor("own", member=ada)
    for path in (f"/sensors/{sensor.identifier}/", f"/alerts/{make_alert(sensor).pk}/"):
        page = browser.get(path).content.decode()
        assert "<b>Boiler" not in page
        assert "<i>hot" not in page


def test_a_page_tells_the_scripts_which_networks_the_reader_has_and_no_others(browser, ada):
    make_sensor("own", member=ada, role=Role.OPERATOR)
    make_sensor("foreign")
    response = browser.get("/")
    assert response.context["viewer"]["networks"] == [{"slug": "own", "name": "own", "role": "operator"}]
    assert "foreign" not in response.content.decode()


def test_staff_act_as_owners_everywhere(browser, ada):
    make_sensor("foreign")
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    assert browser.get("/").context["viewer"]["networks"][0]["role"] == "owner"
    assert 'href="/admin/"' in browser.get("/").content.decode()


def test_how_ingest_is_is_shown_and_linked_to_staff_only(browser, ada):
    assert browser.get("/ingest/").status_code == 403
    assert 'href="/ingest/"' not in browser.get("/").content.decode()
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    assert browser.get("/ingest/").status_code == 200
    assert 'href="/ingest/"' in browser.get("/").content.decode()
    assert Client().get("/ingest/")["Location"] == "/login/?next=/ingest/"


@pytest.mark.parametrize("path", [*PAGES, "/login/", "/sensors/sensor-of-own/", "/no/such/page/"])
def test_no_page_has_inline_scripts_styles_or_handlers(browser, ada, path):
    make_sensor("own", member=ada)
    response = browser.get(path)
    page = response.content.decode()
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    scripts = re.findall(r"<script([^>]*)>", page)
    assert scripts
    assert all("src=" in attributes or "application/json" in attributes for attributes in scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_pages_are_kept_by_no_cache(browser):
    assert "no-store" in browser.get("/")["Cache-Control"]


def test_a_page_costs_the_same_queries_for_one_network_and_many(browser, ada, django_assert_max_num_queries):
    make_sensor("net-0", member=ada)
    browser.get("/")
    for number in range(1, 20):
        make_sensor(f"net-{number}", member=ada)
    # Session, user, memberships, networks.
    with django_assert_max_num_queries(4):
        browser.get("/")


def test_what_is_not_there_has_a_page_with_a_way_out(browser):
    response = browser.get("/no/such/page/")
    assert response.status_code == 404
    assert "Not found" in response.content.decode()
    assert 'href="/"' in response.content.decode()


def test_logging_out_takes_a_post_with_the_forms_token(browser):
    assert browser.get("/logout/").status_code == 405
    assert browser.post("/logout/").status_code == 403
    assert "This form has expired" in browser.post("/logout/").content.decode()
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    assert browser.post("/logout/", headers={"X-CSRFToken": token}).status_code == 302
    assert browser.get("/").status_code == 302


def test_the_login_leads_back_to_pages_of_this_site_only(ada):
    for wanted, got in [("/alerts/", "/alerts/"), ("https://elsewhere.example/", "/"), ("//elsewhere.example/", "/")]:
        body = {"username": "ada", "password": "a long enough one", "next": wanted}
        assert Client().post("/login/", body)["Location"] == got


def test_a_wrong_password_is_said_without_saying_which(ada):
    unknown = Client().post("/login/", {"username": "nobody", "password": "x"}).content.decode()
    wrong = Client().post("/login/", {"username": "ada", "password": "x"}).content.decode()
    message = "Please enter a correct username and password."
    assert message in unknown
    assert message in wrong


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_pages_are_read_only(browser, method):
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    assert getattr(browser, method)("/", headers={"X-CSRFToken": token}).status_code == 405
