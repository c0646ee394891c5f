"""SQS: settings that stay when others change, and names that are not free at once."""

from moto.sqs.models import Queue, SQSBackend

from .clock import CLOCK
from .mend import mend
from .weather import WEATHER
from .wire import ServiceError


@mend(Queue, "_set_attributes")
def _set_attributes(original, self, attributes, now=None):
    """A call that does not name the policy leaves it alone; moto takes it away."""
    before = getattr(self, "policy", None)
    original(self, attributes, now)
    if "Policy" not in attributes and before is not None:
        self.policy = before


@mend(SQSBackend, "delete_queue")
def delete_queue(original, self, queue_name):
    """Remembers when; the name is not free at once."""
    original(self, queue_name)
    self.__dict__.setdefault("deleted_at", {})[queue_name] = CLOCK.now()


@mend(SQSBackend, "create_queue")
def create_queue(original, self, name, *args, **kwargs):
    """Refused for a while after a queue of that name was deleted."""
    deleted_at = self.__dict__.get("deleted_at", {}).get(name)
    wait = WEATHER.now.queue_name_seconds
    if deleted_at is not None and CLOCK.now() - deleted_at < wait:
        raise ServiceError(
            "QueueDeletedRecently",
            f"You must wait {wait:g} seconds after deleting a queue before you can create another "
            "with the same name.",
            400,
        )
    return original(self, name, *args, **kwargs)
