"""DescribeInstanceStatus: all is well, but for instances that a fault strikes.

`impaired`: the instance's own check has failed for `seconds`. `retires`: its end is on the calendar.
"""

import datetime

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from ..mend import mend
from . import members
from .settings import SETTINGS

_KINDS = ("impaired", "retires")


@mend(EC2Response, "describe_instance_status")
def describe_instance_status(_original, self):
    """What faults say, with the filters that are about it."""
    ec2 = self.ec2_backend
    filters = self._filters_from_querystring()
    others = [{"name": k, "values": v} for k, v in filters.items() if k not in _FILTERS]
    found = ec2.describe_instance_status(
        self._get_param("InstanceIds", []),
        self._get_bool_param("IncludeAllInstances", False),
        others,
    )
    told = [_status(ec2, instance) for instance in found]
    fit = [
        one
        for one in told
        if all(_FILTERS[k](one) & set(v) for k, v in filters.items() if k in _FILTERS)
    ]
    return ActionResult({"InstanceStatuses": fit})


_FILTERS = {
    "event.code": lambda one: {event["Code"] for event in one["Events"]},
    "instance-status.status": lambda one: {one["InstanceStatus"]["Status"]},
    "system-status.status": lambda one: {one["SystemStatus"]["Status"]},
}


def _status(ec2, instance):
    faults = _faults(ec2, instance)
    now = datetime.datetime.now(datetime.timezone.utc)
    own = _check(now - datetime.timedelta(seconds=faults["impaired"]) if "impaired" in faults else None)
    retirement = {
        "InstanceEventId": f"instance-event-{instance.id[2:]}",
        "Code": "instance-retirement",
        "Description": "The instance is running on degraded hardware",
        "NotBefore": now + datetime.timedelta(days=14),
    }
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance._placement.zone,
        "InstanceState": {"Code": instance._state.code, "Name": instance.state},
        "InstanceStatus": own,
        "SystemStatus": _check(None),
        "Events": [retirement] if "retires" in faults else [],
    }


def _check(failed_since):
    if failed_since is None:
        return {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
    details = {"Name": "reachability", "Status": "failed", "ImpairedSince": failed_since}
    return {"Status": "impaired", "Details": [details]}


def _faults(ec2, instance):
    """Kinds of the faults of ours that strike an instance, with their seconds."""
    ours = [fault for fault in SETTINGS.faults if fault.kind in _KINDS]
    if not ours:
        return {}
    member = members.traits(ec2, instance)
    return {fault.kind: fault.seconds for fault in ours if fault.strikes(member)}
