"""Claim codes as texts: made, typed by hand, hashed; pure.

Codes are generated and never chosen, so that a plain hash is enough: whoever reads the table, or sees the first group
that lists show, still has 80 random bits to guess.
"""

import hashlib
import secrets
from typing import Final

# Crockford's base 32: no I, L, O, U, so that no two are taken for each other on a label or a small display.
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUPS: Final = 5
GROUP_CHARACTERS: Final = 4
# What is typed in their place all the same.
_MEANT: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_code() -> str:
    """Return a code of 100 random bits, like `7KQ2-9XWB-3MTZ-F0HR-8CVD`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARACTERS)) for _ in range(GROUPS))
    return "-".join(groups)


def prefix_of(code: str) -> str:
    """Return the group by which people tell codes apart."""
    return code[:GROUP_CHARACTERS]


def hash_code(typed: str) -> str:
    """Return the hash of a code however it was typed: small letters, O for 0, without hyphens."""
    return hashlib.sha256(typed.upper().translate(_MEANT).encode(errors="replace")).hexdigest()


def hash_proof(proof: str) -> str:
    """Return the hash of what a device shows to be the one that asked before."""
    return hashlib.sha256(f"proof of a claim: {proof}".encode(errors="replace")).hexdigest()
