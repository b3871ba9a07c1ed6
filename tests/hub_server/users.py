"""Who may ask: users by their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANN, BOB, READER, EVE = "hf_annswritetoken", "hf_bobswritetoken", "hf_annsreadtoken", "hf_evestoken"


@dataclass(frozen=True)
class User:
    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def may_write(self, namespace: str) -> bool:
        return self.role == "write" and namespace in (self.name, *self.orgs)

    def may_read(self, namespace: str) -> bool:
        return namespace in (self.name, *self.orgs)

    def whoami(self) -> dict[str, Any]:
        orgs = [{"type": "org", "name": name, "roleInOrg": "admin"} for name in self.orgs]
        token = {"displayName": "a token", "role": self.role}
        return {
            "type": "user",
            "name": self.name,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }


def users() -> dict[str, User]:
    """By token. READER's may read what is ann's, and no more."""
    return {
        ANN: User("ann", ("lab",)),
        BOB: User("bob"),
        READER: User("ann", ("lab",), "read"),
        EVE: User("eve"),
    }
