"""Errors as each service's own protocol writes them, so that an SDK recognises them.

Five shapes exist among the services of the cloud: EC2's XML, the query protocol's XML, S3's XML,
JSON with the type in the body (`json`), and JSON with the type in a header (`rest-json`).
"""

import json
import uuid
from xml.sax.saxutils import escape

# What each service calls "too many requests", with the HTTP status it comes with.
_THROTTLING = {
    "ec2": ("RequestLimitExceeded", 503, "Request limit exceeded."),
    "sqs": ("RequestThrottled", 403, "Request is throttled."),
    "s3": ("SlowDown", 503, "Please reduce your request rate."),
    "eks": ("ThrottlingException", 429, "Rate exceeded"),
}


class ServiceError(Exception):
    """An error to be answered in the protocol of the service that was called."""

    def __init__(self, code, message, status=400, fields=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        # More members of a JSON error (EKS names the cluster in its errors).
        self.fields = fields or {}


def throttled(service, protocol):
    """The error of a service that has had too many requests."""
    if service in _THROTTLING:
        code, status, message = _THROTTLING[service]
        return ServiceError(code, message, status)
    if protocol == "query":
        return ServiceError("Throttling", "Rate exceeded", 400)
    return ServiceError("ThrottlingException", "Rate exceeded", 400)


def internal_error(service, protocol):
    """The error of a service that has a bad moment."""
    message = "An internal error has occurred"
    if service == "ec2":
        return ServiceError("InternalError", message, 500)
    if service == "eks":
        return ServiceError("ServerException", message, 500)
    if protocol == "query":
        return ServiceError("InternalFailure", message, 500)
    return ServiceError("InternalServerError", message, 500)


def answer(error, protocol):
    """Status, headers and body of an error in this protocol."""
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id}
    if protocol == "rest-json":
        headers["x-amzn-ErrorType"] = error.code
        headers["Content-Type"] = "application/json"
        return error.status, headers, json.dumps({"message": error.message, **error.fields})
    if protocol == "json":
        # Some clients look at the header, some into the body.
        headers["x-amzn-ErrorType"] = error.code
        headers["Content-Type"] = "application/x-amz-json-1.1"
        body = {"__type": error.code, "message": error.message, **error.fields}
        return error.status, headers, json.dumps(body)
    headers["Content-Type"] = "text/xml;charset=UTF-8"
    return error.status, headers, _xml(error, protocol, request_id)


def _xml(error, protocol, request_id):
    code, message = escape(error.code), escape(error.message)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    if protocol == "ec2":
        return (
            f"{head}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message>"
            f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    if protocol == "rest-xml":
        return (
            f"{head}<Error><Code>{code}</Code><Message>{message}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
    fault = "Sender" if error.status < 500 else "Receiver"
    return (
        f"{head}<ErrorResponse><Error><Type>{fault}</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
