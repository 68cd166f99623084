"""Who guesses claim codes, and who floods with a good one."""

import logging

import pytest
from django.utils import timezone

from sensors.models import ClaimCode
from tests.accounts.people import fresh_address
from tests.api.callers import listed
from tests.api.claiming import ask, make_code, waiting


@pytest.fixture
def code(world) -> str:
    return make_code(world.operator, world.network)


@pytest.fixture
def _three_a_day(settings) -> None:
    rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "claim": "3/d"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}


@pytest.mark.usefixtures("_three_a_day")
def test_wrong_codes_are_slowed_and_logged_without_the_code(world, code, caplog):
    address = fresh_address()
    # Right ones count for nothing: many sensors ask from behind one address.
    for _ in range(5):
        assert ask(world, code, address=address).status_code == 202
    with caplog.at_level(logging.WARNING, logger="sensors.api.claims"):
        for _ in range(3):
            assert ask(world, "7KQ2-9XWB-3MTZ-F0HR-8CVD", address=address).status_code == 403
    lines = [record.getMessage() for record in caplog.records if record.name == "sensors.api.claims"]
    assert lines == [f"a claim with a wrong code from {address}"] * 3
    # Now not even a right one is looked at, or guessing would go on.
    for guess in (code, "7KQ2-9XWB-3MTZ-F0HR-8CVD"):
        answer = ask(world, guess, address=address)
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) > 0
    assert ask(world, code, address=fresh_address()).status_code == 202


@pytest.mark.usefixtures("_three_a_day")
def test_wrong_codes_are_counted_while_redis_is_away(world, code, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    address = fresh_address()
    assert [ask(world, "WRONG", address=address).status_code for _ in range(4)] == [403, 403, 403, 429]
    assert ask(world, code, address=fresh_address()).status_code == 202


@pytest.mark.usefixtures("_three_a_day")
def test_a_delivery_that_comes_after_its_codes_end_locks_nobody_out(world, code):
    ended = make_code(world.operator, world.network)
    ClaimCode.objects.filter(prefix=ended[:4]).update(revoked_at=timezone.now())
    address = fresh_address()
    for number in range(5):
        assert ask(world, ended, identifier=f"late-{number}", address=address).status_code == 403
    assert ask(world, code, address=address).status_code == 202


def test_who_was_refused_is_not_taken_for_a_guesser(world, code, caplog):
    ask(world, code)
    world.operator.post(f"claims/{waiting(world)['id']}/refuse/")
    with caplog.at_level(logging.WARNING, logger="sensors.api.claims"):
        assert ask(world, code).status_code == 403
    assert [record for record in caplog.records if record.name == "sensors.api.claims"] == []


def test_a_flood_of_claims_ends_at_the_limit_and_goes_on_when_some_are_decided(world, code, settings):
    settings.CLAIMS_PER_CODE = 2
    assert [ask(world, code, identifier=f"d-{number}").status_code for number in range(3)] == [202, 202, 409]
    # Who waits already is not affected.
    assert ask(world, code, identifier="d-0").status_code == 202
    first = listed(world.operator, "claims/")[-1]
    world.operator.post(f"claims/{first['id']}/refuse/")
    assert ask(world, code, identifier="d-2").status_code == 202
