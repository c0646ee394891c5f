"""The errors of EKS, in its own words."""

from ..wire import ServiceError


def not_found(message, **fields):
    """404, for anything that does not exist."""
    return ServiceError("ResourceNotFoundException", message, 404, fields)


def in_use(message, **fields):
    """409, for what exists already or is busy."""
    return ServiceError("ResourceInUseException", message, 409, fields)


def bad_parameter(message, **fields):
    """400, for a value that EKS does not take."""
    return ServiceError("InvalidParameterException", message, 400, fields)


def bad_request(message, **fields):
    """400, for a call that does not fit the state of things."""
    return ServiceError("InvalidRequestException", message, 400, fields)
