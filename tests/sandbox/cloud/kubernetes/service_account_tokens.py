"""Tokens of service accounts: taken apart, and checked against the key of the cluster that issued them."""

import base64
import dataclasses
import json
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from .planes import PLANES


class NoToken(ValueError):
    """What should be a token is none."""


@dataclasses.dataclass
class Token:
    """A token, read but not believed."""

    claims: dict
    algorithm: str
    signed: bytes
    signature: bytes

    @property
    def issuer(self):
        """Who claims to have issued it."""
        return str(self.claims.get("iss", ""))

    @property
    def audiences(self):
        """Whom it is for."""
        found = self.claims.get("aud", [])
        return found if isinstance(found, list) else [found]

    @property
    def is_over(self):
        """Whether its time has passed."""
        return float(self.claims.get("exp", 0)) <= time.time()

    def has_known_issuer(self):
        """Whether its issuer is a cluster of this cloud, present or past."""
        return PLANES.key_of(self.issuer) is not None

    def is_signed(self):
        """Whether its issuer signed it."""
        key = PLANES.key_of(self.issuer)
        if key is None or self.algorithm != "RS256":
            return False
        try:
            key.public_key().verify(
                self.signature, self.signed, padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return False
        return True


def read(text):
    """The `Token` in a text. Raises `NoToken`."""
    try:
        head, body, signature = text.split(".")
        header, claims = (json.loads(_decoded(part)) for part in (head, body))
        return Token(claims, header.get("alg"), f"{head}.{body}".encode(), _decoded(signature))
    except (ValueError, AttributeError) as error:
        raise NoToken("not a JSON web token") from error


def _decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
