"""Requests of the cloud itself to an API server."""

import functools
import http.client
import json
import ssl


def request(port, authority, pair, method, path, body, content_type):
    """One request over a connection of its own: status and text."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=30, context=_context(authority, pair)
    )
    try:
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        headers = {"Content-Type": content_type} if data else {}
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


@functools.lru_cache(maxsize=64)
def _context(authority, pair):
    context = ssl.create_default_context(cadata=authority.decode())
    if pair:
        context.load_cert_chain(*pair)
    return context
