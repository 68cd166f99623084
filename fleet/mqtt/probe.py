"""A real login at a broker, to learn whether it works."""

import os
import secrets
import threading
from typing import Any

from paho.mqtt.reasoncodes import ReasonCode

from fleet.mqtt.address import BrokerAddress, make_client


class BrokerUnfitError(Exception):
    """The broker did not let the probe in; the text says why."""


def probe_broker(url: str, timeout_s: float) -> None:
    """Connect to the broker at `url` (as in MQTT_URL) and disconnect again; returns when it accepted the login.

    Raises BrokerUnfitError when the address is none, or when the broker is unreachable, refuses the login or does
    not answer within `timeout_s` seconds. A mere TCP connection would prove less, and some brokers log it as an
    error.
    """
    # An id of its own: a broker ends the connection of an earlier client with the same one.
    client_id = f"fleet-probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        client = make_client(BrokerAddress.from_url(url), client_id, persistent=False)
    except ValueError as error:
        raise BrokerUnfitError(str(error)) from error
    answered = threading.Event()
    answers: list[ReasonCode] = []

    def connected(_client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        answers.append(reason)
        answered.set()

    def disconnected(*_details: Any) -> None:
        answered.set()

    client.on_connect = connected
    client.on_disconnect = disconnected
    try:
        # A host that does not answer at all takes paho's own 5 s.
        client.reconnect()
        client.loop_start()
        ended_early = answered.wait(timeout_s) and not answers
    except OSError as error:
        raise BrokerUnfitError(str(error)) from error
    finally:
        client.disconnect()
        client.loop_stop()
    if ended_early:
        raise BrokerUnfitError("the connection ended without an answer")
    if not answers:
        raise BrokerUnfitError(f"no answer within {timeout_s:g} s")
    if answers[0].is_failure:
        raise BrokerUnfitError(f"the broker refused the login: {answers[0]}")
