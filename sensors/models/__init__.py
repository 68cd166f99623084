from sensors.models.access import AccessToken, Membership, Role, User
from sensors.models.fleet import Gateway, Network, NewSensors, Sensor, SensorState, SensorTombstone
from sensors.models.service import ServiceTick, Watermark

__all__ = [
    "AccessToken",
    "Gateway",
    "Membership",
    "Network",
    "NewSensors",
    "Role",
    "Sensor",
    "SensorState",
    "SensorTombstone",
    "ServiceTick",
    "User",
    "Watermark",
]
