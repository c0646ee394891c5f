"""Service accounts as roles: what an issuer publishes, and STS that believes nobody without proof.

While clusters have control planes, `AssumeRoleWithWebIdentity` checks what AWS checks: a provider in
IAM for the token's issuer, the signature, the life and the audience of the token, and the role's trust
policy. Without control planes there is nothing to check a token with, and moto's answer stands.
"""

import base64
import fnmatch
import json
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from moto.sts.responses import TokenResponse

from .. import identity
from ..mend import mend
from ..wire import ServiceError
from . import is_on, service_account_tokens
from .planes import PLANES

ACTION = "sts:AssumeRoleWithWebIdentity"


def published(path):
    """What an issuer's two documents say, or None: `/id/NAME/keys`, `…/.well-known/openid-configuration`."""
    for plane in PLANES.all():
        base = urllib.parse.urlsplit(plane.setup.issuer).path
        if path == f"{base}/keys":
            return {"keys": [_public_key(plane.setup.service_account_key)]}
        if path == f"{base}/.well-known/openid-configuration":
            return {
                "issuer": plane.setup.issuer,
                "jwks_uri": f"{plane.setup.issuer}/keys",
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "claims_supported": ["sub", "iss"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
    return None


def _public_key(key):
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": _key_id(key),
        "n": _number(numbers.n),
        "e": _number(numbers.e),
    }


def _key_id(key):
    """As the API server names a key: the hash of its public half."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return _encoded(digest.finalize())


def _number(value):
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@mend(TokenResponse, "assume_role_with_web_identity")
def assume_role_with_web_identity(original, self):
    """Only for a token that is good, and a role that trusts its bearer."""
    if is_on():
        _check(self._get_param("RoleArn") or "", self._get_param("WebIdentityToken") or "")
    return original(self)


def _check(role_arn, text):
    try:
        token = service_account_tokens.read(text)
    except service_account_tokens.NoToken as error:
        words = (
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an "
            "Access Token)"
        )
        raise ServiceError("InvalidIdentityToken", words) from error
    provider = _provider(role_arn, token.issuer)
    if provider is None:
        words = f"No OpenIDConnect provider found in your account for {token.issuer}"
        raise ServiceError("InvalidIdentityToken", words)
    if not token.has_known_issuer():
        words = (
            "Couldn't retrieve verification key from your identity provider, please reference "
            "AssumeRoleWithWebIdentity documentation for requirements"
        )
        raise ServiceError("InvalidIdentityToken", words)
    if not token.is_signed():
        raise ServiceError("InvalidIdentityToken", "Provided Token's signature is not valid")
    if token.is_over:
        words = "Token expired: current date/time must be before the expiration date/time"
        raise ServiceError("ExpiredTokenException", words)
    if not set(token.audiences) & set(provider.client_id_list):
        raise ServiceError("InvalidIdentityToken", "Incorrect token audience")
    role = identity.find_role(role_arn)
    if role is None or not _trusted(role, provider, token):
        raise ServiceError("AccessDenied", f"Not authorized to perform {ACTION}", 403)


def _provider(role_arn, issuer):
    from moto.iam.models import iam_backends

    parts, wanted = role_arn.split(":"), issuer.removeprefix("https://")
    if len(parts) != 6 or wanted == issuer:
        return None
    for provider in iam_backends[parts[4]][parts[1]].open_id_providers.values():
        if provider.url == wanted:
            return provider
    return None


def _trusted(role, provider, token):
    document = role.assume_role_policy_document
    if isinstance(document, str):
        try:
            document = json.loads(urllib.parse.unquote(document))
        except ValueError:
            return False
    values = {
        f"{provider.url}:sub": [str(token.claims.get("sub", ""))],
        f"{provider.url}:aud": token.audiences,
    }
    return any(
        _statement_allows(statement, provider.arn, values)
        for statement in _list(document.get("Statement", []))
    )


def _statement_allows(statement, provider_arn, values):
    principal = statement.get("Principal", {})
    federated = _list(principal.get("Federated", [])) if isinstance(principal, dict) else []
    actions = [action.lower() for action in _list(statement.get("Action", []))]
    return (
        statement.get("Effect") == "Allow"
        and provider_arn in federated
        and any(fnmatch.fnmatchcase(ACTION.lower(), action) for action in actions)
        and all(
            _condition_holds(operator, key, _list(wanted), values)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _condition_holds(operator, key, wanted, values):
    """One condition of a trust policy; an operator that is not played does not hold."""
    present = {name.lower(): found for name, found in values.items()}.get(key.lower(), [])
    base = operator.split(":")[-1].lower()
    if base == "stringequals":
        return any(value in wanted for value in present)
    if base == "stringlike":
        return any(fnmatch.fnmatchcase(value, pattern) for value in present for pattern in wanted)
    return False


def _list(value):
    return value if isinstance(value, list) else [value]
