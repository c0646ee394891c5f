"""SQS: settings that stay when others change, names that are not free at once, and floods."""

from moto.core.utils import unix_time_millis
from moto.sqs.models import Queue, SQSBackend

from .clock import CLOCK
from .mend import mend, mend_property
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


# moto asks the clock about every message, several times for each that is sent, received or deleted: a flood of
# some thousand would take it minutes. Below, each of these takes one look at the clock.


@mend(Queue, "delete_message")
def delete_message(original, self, receipt_handle):
    """Takes one out; the oldest are looked at first, as they are received first."""
    for at, message in enumerate(self._messages):
        if message.had_receipt_handle(receipt_handle):
            del self._messages[at]
            self.pending_messages.discard(message)
            self.deleted_messages.update(message.all_receipt_handles)
            return
    original(self, receipt_handle)


@mend_property(Queue, "messages")
def messages(self):
    """Those that can be received."""
    now = unix_time_millis()
    return [one for one in self._messages if one.visible_at < now and one.delayed_until <= now]


@mend_property(Queue, "approximate_number_of_messages_delayed")
def delayed(self):
    """How many are yet to come."""
    now = unix_time_millis()
    return sum(now < one.delayed_until for one in self._messages)


@mend_property(Queue, "approximate_number_of_messages_not_visible")
def not_visible(self):
    """How many have been received and not deleted."""
    now = unix_time_millis()
    return sum(one.visible_at >= now for one in self._messages)
