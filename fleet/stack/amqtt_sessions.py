"""amqtt with sessions that keep their promises, and with the sensors' access list.

What amqtt 0.12.1 does by itself, each shown by a test in tests/stack/test_brokers.py that fails with it:
- a client that connects is sent the retained messages of other clients' subscriptions;
- sessions without a login are forgotten at the end of their connection;
- a message is given up when its receiver takes longer than 5 s to acknowledge it, or goes away meanwhile;
- what waited for an absent client arrives marked as retained, as if it were an old copy;
- a refused login cuts the client off whose id it used;
- of 60 clients that connected and subscribed at once 16 got no answer.
"""

import asyncio
import hmac
import logging
from collections.abc import Collection, ItemsView, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from amqtt import broker as amqtt_broker
from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, ListenerConfig
from amqtt.errors import MQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.constants import QOS_0, QOS_1
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.protocol.handler import ProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.session import OutgoingApplicationMessage, Session

from sensors.broker.rules import may_connect, may_read, may_write

from .amqtt_accounts import Accounts, AccountsAwayError
from .broker import BRIDGE_USER, INFLIGHT_MESSAGES, SENSOR_READS, SENSOR_WRITES

logger = logging.getLogger(__name__)

# Of these only the bridge's login may take a session.
_BRIDGE_CLIENTS: Final = ("fleet-bridge-", "fleet-publisher-")
# An absent client's queue is kept in memory this long.
SESSION_EXPIRY_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in, and with which topics. Clients without a login are sensors.

    accounts: the sensors' credentials; without them only the bridge can log in. changes: by username, the credential
    with which it is connected.
    """

    bridge_password: str = field(repr=False)
    accounts: Accounts | None = None
    changes: dict[str, str] = field(default_factory=dict)

    async def admits(self, session: Session) -> bool:
        """Return whether the login that `session` came with is right."""
        username, password = session.username, session.password or ""
        if username is None:
            return not (session.client_id or "").startswith(_BRIDGE_CLIENTS)
        if username == BRIDGE_USER:
            return hmac.compare_digest(password.encode(errors="replace"), self.bridge_password.encode())
        if self.accounts is None or not may_connect(username, session.client_id or ""):
            return False
        try:
            account = (await self.accounts.find([username])).get(username)
        except AccountsAwayError as error:
            logger.warning("the login of %r is refused: the database does not answer (%s)", username, error)
            return False
        if account is None or not account.secret.matches(password):
            return False
        self.changes[username] = account.change
        return True

    async def ended(self, usernames: Collection[str]) -> set[str]:
        """Return those whose credential is not any more the one that they came with; none if nobody knows."""
        if self.accounts is None or not usernames:
            return set()
        try:
            found = await self.accounts.find(usernames)
        except AccountsAwayError:
            return set()
        return {name for name in usernames if name not in found or found[name].change != self.changes.get(name)}

    def permits(self, session: Session, topic: str, action: Action) -> bool:
        """Return whether `session` may publish to, or receive from, `topic`.

        Every subscription is granted, as mosquitto does; what counts is what is delivered.
        """
        if session.username == BRIDGE_USER or action == Action.SUBSCRIBE:
            return True
        if session.username is not None:
            may = may_write if action == Action.PUBLISH else may_read
            return may(session.username, topic)
        return matches(topic, SENSOR_WRITES if action == Action.PUBLISH else SENSOR_READS)


def matches(topic: str, filters: tuple[str, ...]) -> bool:
    """Return whether `topic` is matched by one of `filters`, each of the form `level/…/#`."""
    # MQTT 3.1.1, 4.7.1.2: `a/#` matches `a` as well.
    return any(topic == base or topic.startswith(base + "/") for base in (each[:-2] for each in filters))


class StableDict(dict[str, Any]):
    """A dict that may change while somebody iterates over it, who sees it as it was."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().keys()))

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return dict(super().items()).items()


class Handler(BrokerProtocolHandler):
    """One connection. Keeps what it sent until it is acknowledged, over the end of the connection too."""

    access: Access

    @classmethod
    async def init_from_connect(
        cls, reader: ReaderAdapter, writer: WriterAdapter, plugins_manager: Any, loop: Any = None
    ) -> tuple[BrokerProtocolHandler, Session]:
        handler, session = await super().init_from_connect(reader, writer, plugins_manager, loop)
        # Before the broker looks for a session of that client id, which a wrong login must not touch.
        if not await cls.access.admits(session):
            await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            await writer.close()
            raise MQTTError(f"login of client {session.client_id!r} refused")
        return handler, session

    async def start(self) -> None:
        # Before the reader starts: a client that is gone at once would be waited for for ever.
        self._disconnect_waiter = asyncio.get_running_loop().create_future()
        await ProtocolHandler.start(self)

    async def mqtt_publish(
        self, topic: str, data: bytes | bytearray, qos: int | None, retain: bool, ack_timeout: int | None = None
    ) -> OutgoingApplicationMessage:
        """Send a message, or queue it while as many are unacknowledged as a client may be sent."""
        message = OutgoingApplicationMessage(None, topic, QOS_1 if qos else QOS_0, data, retain)
        if message.qos == QOS_0:
            await self._send_packet(message.build_publish_packet())
        elif self.session is not None:
            self.session.retained_messages.put_nowait(message)
            await self.send_waiting()
        return message

    async def send_waiting(self) -> None:
        """Send what is queued for this client, as far as it may have more."""
        session = self.session
        while session and not session.retained_messages.empty() and len(session.inflight_out) < INFLIGHT_MESSAGES:
            message = session.retained_messages.get_nowait()
            message.packet_id = session.next_packet_id
            session.inflight_out[message.packet_id] = message
            # Nothing is awaited between taking a message and queueing for the socket: the order stays.
            await self._send_packet(message.build_publish_packet())

    async def handle_puback(self, puback: PubackPacket) -> None:
        if self.session is not None and puback.variable_header is not None:
            self.session.inflight_out.pop(puback.variable_header.packet_id, None)
            await self.send_waiting()

    async def _retry_deliveries(self) -> None:
        # MQTT 3.1.1, 4.4: what is unacknowledged is sent again when its client is back, and only then.
        if self.session is not None:
            for message in list(self.session.inflight_out.values()):
                await self._send_packet(message.build_publish_packet(dup=True))


class SessionBroker(Broker):
    """The broker: logins and topics by `access`, sessions as MQTT 3.1.1 describes them."""

    def __init__(self, settings: dict[str, Any], access: Access) -> None:
        # Not a parameter of amqtt's: the one place where it makes handlers names the class.
        Handler.access = access
        amqtt_broker.BrokerProtocolHandler = Handler
        super().__init__(settings)
        self._access = access
        self._subscriptions = StableDict()

    async def end_revoked(self) -> None:
        """Close the connections of sensors whose credential was rotated, revoked or deleted, looking for them now."""
        connected = {
            session.username: handler
            for session, handler in list(self._sessions.values())
            if session.username not in (None, BRIDGE_USER) and session.transitions.is_connected()
        }
        for username in await self._access.ended(connected.keys()):
            logger.warning("the credential of %r ended: its connection is closed", username)
            writer = connected[username].writer
            if writer is not None:
                await writer.close()

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        # Handler.init_from_connect has done it.
        return True

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        return self._access.permits(session, topic, action)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        topic_filter, qos = subscription
        # A broker may grant less than it was asked for; exactly once is more than anything here needs.
        return await super().add_subscription((topic_filter, min(qos, QOS_1)), session)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        topic_filter, qos = subscription
        handler = self._get_handler(session)
        holders = self._subscriptions.get(topic_filter, [])
        if handler is None or all(holder is not session for holder, _ in holders):
            return
        for topic, retained in list(self._retained_messages.items()):
            if self._matches(topic, topic_filter) and self._access.permits(session, topic, Action.RECEIVE):
                await handler.mqtt_publish(topic, retained.data, qos, retain=True)

    async def _publish_session_retained_messages(self, session: Session) -> None:
        handler = self._get_handler(session)
        if isinstance(handler, Handler):
            await handler.send_waiting()

    async def _retain_broadcast_message(self, broadcast: dict[str, Any], qos: int, target_session: Session) -> None:
        message = OutgoingApplicationMessage(None, broadcast["topic"], QOS_1, broadcast["data"], retain=False)
        target_session.retained_messages.put_nowait(message)


def listen_on(host: str, port: int) -> dict[str, Any]:
    """Return amqtt's own settings for a broker at this address."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {
        "listeners": {"default": {"type": "tcp", "bind": address}},
        "session_expiry_interval": SESSION_EXPIRY_S,
        "plugins": {},
    }
