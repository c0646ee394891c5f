"""The agent of EKS pod identities: credentials for the bearer of a service account's token.

On EKS one runs on every node, at an address that is the same on all of them; here the cloud itself
listens there, inside the namespace.
"""

from ..nodes import credentials
from . import service_account_tokens
from .planes import PLANES

_AUDIENCE = "pods.eks.amazonaws.com"


def answer(state, token):
    """Status and content for a request with this `Authorization` header."""
    try:
        token = service_account_tokens.read(token)
    except service_account_tokens.NoToken:
        return 400, {"error": "InvalidTokenException: the token is no service account's"}
    plane = next((plane for plane in PLANES.all() if plane.setup.issuer == token.issuer), None)
    if plane is None or not token.is_signed() or _AUDIENCE not in token.audiences:
        return 400, {"error": "InvalidTokenException: the token is not for pod identities here"}
    if token.is_over:
        return 400, {"error": "ExpiredTokenException: the token has expired"}
    about = token.claims.get("kubernetes.io", {})
    asked = {
        "cluster": plane.setup.cluster_name,
        "region": plane.setup.region,
        "namespace": about.get("namespace"),
        "serviceAccount": about.get("serviceaccount", {}).get("name"),
        "pod": about.get("pod", {}).get("name", ""),
    }
    with state:
        return credentials.for_pod(asked)
