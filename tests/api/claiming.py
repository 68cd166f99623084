"""Devices that claim a place over HTTP, in tests."""

from typing import Any

from tests.api.callers import listed

PROOF = "aQ3Tn0_v8Zb1xLk7RyPw2Hd5"
OTHER_PROOF = "bQ3Tn0_v8Zb1xLk7RyPw2Hd5"


def make_code(caller: Any, network: Any, **fields: Any) -> str:
    answer = caller.post("claim-codes/", {"network": network.slug, "name": "Delivery", **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()["code"]


def ask(world: Any, code: str, *, identifier: str = "boiler", proof: str = PROOF, **fields: Any) -> Any:
    """Send what a device sends, from one address for all of them unless another one is given."""
    address = fields.pop("address", "192.0.2.7")
    body = {"claim_code": code, "identifier": identifier, "proof": proof, **fields}
    return world.nobody.post("claims/", body, REMOTE_ADDR=address)


def waiting(world: Any) -> dict[str, Any]:
    [claim] = listed(world.operator, "claims/", state="waiting")
    return claim
