"""What a sensor may do at the broker; pure. The one place for brokers that ask (over HTTP, or amqtt).

mosquitto's access list says the same in its own words (`fleet.mqtt.accounts.OWN_TOPICS`).
"""

from typing import Final

from sensors.wire import is_identifier

# A sensor's own name is the one level below each.
WRITTEN_FAMILIES: Final = ("heartbeats", "log-messages", "measurements")
READ_FAMILY: Final = "configurations"

# MQTT 5, 4.8.2: `$share/NAME/FILTER`; the name has no wildcard and no slash. EMQX also knows `$queue/FILTER`.
_SHARED: Final = "$share/"
_QUEUE: Final = "$queue/"


def may_connect(username: str, client_id: str) -> bool:
    """Return whether a sensor may connect so: with its identifier as its client id, and with no other.

    With another one it could take over that client's session, and with it the messages that wait there.
    """
    return is_identifier(username) and client_id == username


def may_write(identifier: str, topic: str) -> bool:
    """Return whether the sensor may publish to `topic`."""
    family, _, name = topic.partition("/")
    return family in WRITTEN_FAMILIES and name == identifier


def may_read(identifier: str, topic: str) -> bool:
    """Return whether a message on `topic` may be delivered to the sensor."""
    return topic == f"{READ_FAMILY}/{identifier}"


def may_subscribe(identifier: str, topic_filter: str) -> bool:
    """Return whether the sensor may have this subscription, shared ones included.

    Only a filter that can match nothing but its own configuration: whatever has a wildcard matches more. Brokers that
    ask when somebody subscribes do not all ask again when they deliver.
    """
    return may_read(identifier, _without_share(topic_filter))


def _without_share(topic_filter: str) -> str:
    if topic_filter.startswith(_QUEUE):
        return topic_filter.removeprefix(_QUEUE)
    if not topic_filter.startswith(_SHARED):
        return topic_filter
    name, _, shared = topic_filter.removeprefix(_SHARED).partition("/")
    return shared if name and "+" not in name and "#" not in name else ""
