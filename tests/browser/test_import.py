"""Many sensors at once, in a real browser."""

import csv
import json

import pytest
from playwright.sync_api import expect

from sensors.models import Sensor
from sensors.services.credentials import hashed_secrets

pytestmark = pytest.mark.browser


def open_import(page, world):
    page.get_by_role("button", name=f"Import sensors into {world.network.name}").click()
    expect(page.locator("dialog h2")).to_contain_text(f"Import sensors into {world.network.slug}")


def test_a_file_is_imported_its_wrong_rows_are_named_and_its_logins_shown_once(site, world, tmp_path):
    names = [f"{world.names[0]}-{letter}" for letter in "ab"]
    table = tmp_path / "sensors.csv"
    table.write_text(f"identifier,name,label:floor\n{names[0]},Boiler,2\nbad name,x,\n{names[1]},,3\n")
    page = site.go("/networks/")
    open_import(page, world)
    page.set_input_files("dialog input[type=file]", table)
    expect(page.locator("dialog textarea")).to_have_value(table.read_text())
    page.get_by_label("Also issue their credentials").check()
    page.click("dialog button[type=submit]")

    expect(page.locator("dialog h2")).to_have_text("2 sensors imported, 1 refused")
    expect(page.locator("[data-part=refused] tbody tr")).to_have_count(1)
    expect(page.locator("[data-part=refused]")).to_contain_text("bad name")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the credentials").click()
    assert download.value.suggested_filename == f"{world.network.slug}-credentials.csv"
    rows = list(csv.DictReader(download.value.path().open()))
    assert [row["username"] for row in rows] == names
    hashes = hashed_secrets()
    assert all(hashes[row["username"]].matches(row["password"]) for row in rows)
    assert Sensor.objects.get(identifier=names[0]).labels == {"floor": "2"}


def test_json_is_taken_and_what_is_neither_is_refused(site, world):
    page = site.go("/networks/")
    open_import(page, world)
    site.expected = {"status of 400 "}
    page.fill("dialog textarea", "name\nx\n")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog")).to_contain_text("identifier")
    name = f"{world.names[0]}-j"
    page.fill("dialog textarea", json.dumps({"sensors": [{"identifier": name}]}))
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog h2")).to_have_text("1 sensor imported")
    assert Sensor.objects.filter(identifier=name, network=world.network).exists()
