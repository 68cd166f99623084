from sensors.models.access import AccessToken, Membership, Role, TokenLimits, TokenScope, User
from sensors.models.audit import AuditEntry
from sensors.models.claims import Claim, ClaimCode, ClaimCodeState, ClaimState
from sensors.models.credentials import CredentialState, SensorCredential
from sensors.models.fleet import Gateway, Network, NewSensors, Sensor, SensorState, SensorTombstone
from sensors.models.invitations import Invitation, InvitationState
from sensors.models.service import ServiceTick, Watermark

__all__ = [
    "AccessToken",
    "AuditEntry",
    "Claim",
    "ClaimCode",
    "ClaimCodeState",
    "ClaimState",
    "CredentialState",
    "Gateway",
    "Invitation",
    "InvitationState",
    "Membership",
    "Network",
    "NewSensors",
    "Role",
    "Sensor",
    "SensorCredential",
    "SensorState",
    "SensorTombstone",
    "ServiceTick",
    "TokenLimits",
    "TokenScope",
    "User",
    "Watermark",
]
