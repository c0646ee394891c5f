"""Who a bearer token of EKS is: `k8s-aws-v1.` and a presigned call of STS, checked as EKS checks it.

EKS lets STS check the signature. The local cloud knows the secrets of its access keys, so it computes
the signature anew, over the name of its own cluster: a token for another cluster does not pass.
"""

import base64
import binascii
import dataclasses
import datetime
import hashlib
import hmac
import re
import urllib.parse

from .. import identity

PREFIX = "k8s-aws-v1."
# The key that every environment of the local cloud has.
_OWN_KEYS = {"sandbox": "sandbox"}
_LONGEST = 4096
_LIFE = datetime.timedelta(minutes=15)
_EARLIEST = datetime.timedelta(minutes=5)
_HOST = re.compile(r"sts(-fips)?(\.[a-z]{2}(-[a-z]+)+-\d)?\.amazonaws\.com(\.cn)?")
_PARAMETERS = {
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
}
_CLUSTER_HEADER = "x-k8s-aws-id"


class Refused(Exception):
    """The token is not good; the message says why."""


@dataclasses.dataclass
class Caller:
    """Who brought the token."""

    access_key: str
    region: str
    # As STS says it (`…:assumed-role/name/session`), and the IAM principal behind it.
    arn: str
    principal_arn: str

    @property
    def session_name(self):
        """The name of a role session; empty for a user."""
        return self.arn.rsplit("/", 1)[-1] if ":assumed-role/" in self.arn else ""

    @property
    def account(self):
        """The account."""
        return self.arn.split(":")[4]


def caller_of(token, cluster_name, now=None):
    """The `Caller` that a token proves. Raises `Refused`."""
    url = urllib.parse.urlsplit(_decoded(token))
    asked = _parameters(url)
    if url.scheme != "https" or not _HOST.fullmatch(url.netloc):
        raise Refused(f"`{url.scheme}://{url.netloc}` is not STS")
    if url.path != "/":
        raise Refused(f"unexpected path `{url.path}`")
    if asked.get("action") != "GetCallerIdentity":
        raise Refused("the action is not GetCallerIdentity")
    if asked.get("version", "2011-06-15") != "2011-06-15":
        raise Refused("unexpected version")
    if asked.get("x-amz-algorithm") != "AWS4-HMAC-SHA256":
        raise Refused("the algorithm is not AWS4-HMAC-SHA256")
    _check_age(asked, now or datetime.datetime.now(datetime.timezone.utc))
    signed_headers = asked.get("x-amz-signedheaders", "").lower().split(";")
    if _CLUSTER_HEADER not in signed_headers:
        raise Refused(f"the header `{_CLUSTER_HEADER}` is not signed")
    scope = asked.get("x-amz-credential", "").split("/")
    if len(scope) != 5 or scope[3:] != ["sts", "aws4_request"]:
        raise Refused("the credential is not for STS")
    secret = _secret_of(scope[0], scope[2], asked.get("x-amz-security-token"))
    headers = {"host": url.netloc, _CLUSTER_HEADER: cluster_name}
    if any(name not in headers for name in signed_headers):
        raise Refused("a header is signed that nobody sends")
    wanted = _signature(url.query, signed_headers, headers, scope, asked["x-amz-date"], secret)
    if not hmac.compare_digest(wanted, asked.get("x-amz-signature", "")):
        raise Refused("the signature does not fit this cluster and this key")
    return _caller(scope[0], scope[2])


def _caller(access_key, region):
    session = _session_of(access_key, region)
    arn = identity.caller_arn(access_key, region)
    return Caller(access_key, region, arn, session.role_arn if session else arn)


def _session_of(access_key, region):
    from moto.sts.models import sts_backends

    backend = sts_backends[identity.account_of(access_key)][identity.partition_of(region)]
    return backend.get_assumed_role_from_access_key(access_key)


def _decoded(token):
    if len(token) > _LONGEST:
        raise Refused("the token is too large")
    if not token.startswith(PREFIX):
        raise Refused(f"the token does not start with `{PREFIX}`")
    text = token.removeprefix(PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise Refused("the token is not base64 for URLs without padding")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise Refused(f"the token is not base64: {error}") from error


def _parameters(url):
    found = {}
    for name, value in urllib.parse.parse_qsl(url.query, keep_blank_values=True):
        lower = name.lower()
        if lower not in _PARAMETERS:
            raise Refused(f"unexpected parameter `{name}`")
        if lower in found:
            raise Refused(f"parameter `{name}` comes twice")
        found[lower] = value
    return found


def _check_age(asked, now):
    try:
        expires = int(asked.get("x-amz-expires", ""))
    except ValueError:
        raise Refused("X-Amz-Expires is missing or no number") from None
    if not 0 <= expires <= 900:
        raise Refused(f"X-Amz-Expires is {expires}, not within 0 and 900")
    try:
        made = datetime.datetime.strptime(asked.get("x-amz-date", ""), "%Y%m%dT%H%M%SZ")
    except ValueError:
        raise Refused("X-Amz-Date is missing or no time") from None
    made = made.replace(tzinfo=datetime.timezone.utc)
    if now > made + _LIFE:
        raise Refused("the token has expired")
    if made > now + _EARLIEST:
        raise Refused("the token is from the future")


def _secret_of(access_key, region, session_token):
    """The secret of an access key that this cloud gave out."""
    from moto.core.utils import utcnow
    from moto.iam.models import iam_backends

    session = _session_of(access_key, region)
    if session:
        if session.expiration < utcnow():
            raise Refused("the session of this key has expired")
        if session_token != session.session_token:
            raise Refused("the session token is not the one of this key")
        return session.secret_access_key
    if session_token:
        raise Refused("a session token for a key that is none of a session")
    if access_key in _OWN_KEYS:
        return _OWN_KEYS[access_key]
    iam = iam_backends[identity.account_of(access_key)][identity.partition_of(region)]
    for user in iam.users.values():
        for key in user.access_keys:
            if key.access_key_id == access_key and key.status == "Active":
                return key.secret_access_key
    raise Refused("the access key is unknown")


def _signature(query, signed_headers, headers, scope, date, secret):
    pairs = [pair for pair in query.split("&") if not pair.lower().startswith("x-amz-signature=")]
    canonical = "\n".join(
        [
            "GET",
            "/",
            "&".join(sorted(_canonical(pair) for pair in pairs)),
            *(f"{name}:{headers[name]}" for name in sorted(signed_headers)),
            "",
            ";".join(sorted(signed_headers)),
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    place = "/".join(scope[1:])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, place, digest])
    key = f"AWS4{secret}".encode()
    for part in scope[1:]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def _canonical(pair):
    name, _, value = pair.partition("=")
    quote = lambda text: urllib.parse.quote(urllib.parse.unquote_plus(text), safe="-_.~")  # noqa: E731
    return f"{quote(name)}={quote(value)}"
