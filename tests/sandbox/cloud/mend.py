"""Replacing a method of moto by one of ours that can still call the original."""

import functools


def mend(owner, name):
    """Decorator: `function(original, self, ...)` takes the place of `owner.name`.

    Fails at start-up when moto has no such method, so that a moved name is noticed at once.
    """
    original = getattr(owner, name)

    def put_in_place(function):
        @functools.wraps(original)
        def mended(self, *args, **kwargs):
            return function(original, self, *args, **kwargs)

        setattr(owner, name, mended)
        return function

    return put_in_place


def mend_property(owner, name):
    """Decorator: `function(self)` takes the place of the property `owner.name`."""
    if not isinstance(getattr(owner, name), property):
        raise RuntimeError(f"{owner.__name__}.{name} is no property any more")

    def put_in_place(function):
        setattr(owner, name, property(function))
        return function

    return put_in_place


def add(owner):
    """Decorator: a method that moto does not have at all."""

    def put_in_place(function):
        if hasattr(owner, function.__name__):
            raise RuntimeError(f"{owner.__name__} already has {function.__name__}")
        setattr(owner, function.__name__, function)
        return function

    return put_in_place
