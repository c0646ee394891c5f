"""Client tokens of EC2: a repeated request gets the same thing again, however often it comes.

As in EC2, a token outlives what it made: repeated after the deletion, it still answers with that,
and with other parameters it is refused.
"""

import hashlib
import json

from moto.ec2.exceptions import EC2ClientError


def once(ec2, action, token, asked, make):
    """What `make` made when this token was first used, or makes now.

    `asked` is what must be the same in a repeated request.
    """
    if not token:
        return make()
    known = ec2.__dict__.setdefault("client_tokens", {})
    fingerprint = hashlib.sha256(
        json.dumps(asked, sort_keys=True, default=str).encode()
    ).hexdigest()
    if (action, token) in known:
        first, made = known[(action, token)]
        if first != fingerprint:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request. "
                "Do not reuse a client token with different requests, unless the requests are "
                "identical",
            )
        return made
    made = make()
    known[(action, token)] = (fingerprint, made)
    return made
