"""Which instances of EC2 belong to a cluster, and what a kubelet on them would find out.

An instance belongs to the cluster that its node group, or else its user data, names.
"""

import base64
import binascii
import re

from ..clock import CLOCK
from ..eks.vpc import ec2_of
from ..weather import WEATHER
from . import admission
from .settings import SETTINGS


def of(cluster):
    """The instances of a cluster that are not gone, as the simulated kubelets see them."""
    return [_describe(cluster, instance) for instance in _present(cluster)]


def moments(cluster):
    """What changes by itself about the instances, cheap to compare."""
    return tuple(
        (instance.id, instance.state, _stage(instance, _member_faults(cluster, instance)))
        for instance in _present(cluster)
    )


def user_data_of(instance):
    """The text of an instance's user data."""
    given = instance.user_data
    if given is None:
        return ""
    raw = given.as_bytes() if hasattr(given, "as_bytes") else str(given).encode()
    try:
        return base64.b64decode(raw, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return raw.decode("utf-8", "replace")


def cluster_name_of(ec2, instance):
    """The cluster that an instance belongs to, or None. Does not change during its life."""
    if not hasattr(instance, "sandbox_cluster"):
        tags = ec2.tags.get(instance.id, {})
        name = tags.get("eks:cluster-name") if "eks:nodegroup-name" in tags else None
        instance.sandbox_cluster = name or _named_by(user_data_of(instance))
    return instance.sandbox_cluster


_NODE_CONFIG = re.compile(r"""^\s+["']?name["']?\s*:\s*["']?([0-9A-Za-z_-]+)["']?,?\s*$""", re.M)
_BOTTLEROCKET = re.compile(r"""^\s*["']?cluster-name["']?\s*=\s*["']([0-9A-Za-z_-]+)["']""", re.M)


def _named_by(text):
    if "node.eks.aws/" in text:
        found = _NODE_CONFIG.search(text)
        return found.group(1) if found else None
    found = _BOTTLEROCKET.search(text)
    return found.group(1) if found else None


def traits(ec2, instance):
    """What a fault can be matched with."""
    tags = ec2.tags.get(instance.id, {})
    return {
        "id": instance.id,
        "nodegroup": tags.get("eks:nodegroup-name"),
        "type": instance.instance_type,
        "zone": instance._placement.zone,
        "lifecycle": instance.lifecycle or "on-demand",
        "tags": tags,
    }


def _present(cluster):
    ec2 = ec2_of(cluster.backend)
    for reservation in list(ec2.reservations.values()):
        for instance in reservation.instances:
            if cluster_name_of(ec2, instance) == cluster.name and not _is_gone(instance):
                yield instance


def _is_gone(instance):
    """Terminated for so long that the cloud's controller has noticed."""
    if instance.state != "terminated":
        return False
    if not hasattr(instance, "sandbox_ended"):
        instance.sandbox_ended = CLOCK.now()
    return CLOCK.now() - instance.sandbox_ended >= WEATHER.now.to_be_gone("boot")


def _member_faults(cluster, instance):
    """Kinds of the faults that strike an instance, with their seconds."""
    if not SETTINGS.faults:
        return {}
    member = traits(ec2_of(cluster.backend), instance)
    return {fault.kind: fault.seconds for fault in SETTINGS.faults if fault.strikes(member)}


def _stage(instance, faults):
    """`off`, `booting`, `up`, or `down`: the kubelet's side of the instance's life."""
    if instance.state == "pending":
        return "off"
    if instance.state != "running":
        return "down"
    if not hasattr(instance, "sandbox_started"):
        instance.sandbox_started = CLOCK.now()
    if "never-registers" in faults:
        return "booting"
    seconds = faults.get("boots-slowly", 0) + WEATHER.now.to_be_ready("boot")
    return "up" if CLOCK.now() - instance.sandbox_started >= seconds else "booting"


def _describe(cluster, instance):
    ec2 = ec2_of(cluster.backend)
    tags = dict(ec2.tags.get(instance.id, {}))
    faults = _member_faults(cluster, instance)
    nic = instance.nics[0] if 0 in instance.nics else None
    subnet = nic.subnet if nic is not None else None
    image = ec2.amis.get(instance.image_id)
    return {
        "id": instance.id,
        "stage": _stage(instance, faults),
        "type": instance.instance_type,
        "zone": subnet.availability_zone if subnet else "",
        "zoneId": subnet._availability_zone.zone_id if subnet else "",
        "subnet": subnet.id if subnet else "",
        "privateIp": (nic.private_ip_address if nic is not None else None) or "",
        "publicIp": (nic.public_ip if nic is not None else None) or "",
        "imageId": instance.image_id,
        "imageName": image.name if image else "",
        "architecture": "arm64" if image and image.architecture == "arm64" else "amd64",
        "lifecycle": "spot" if instance.lifecycle == "spot" else "on-demand",
        "userData": user_data_of(instance),
        "nodegroup": tags.get("eks:nodegroup-name", ""),
        "rootGib": _root_gib(ec2, instance),
        "refused": admission.refusal(cluster, instance),
        "neverReady": "never-ready" in faults,
        "silent": "goes-silent" in faults,
    }


def _root_gib(ec2, instance):
    block = instance.block_device_mapping.get(instance.root_device_name or "/dev/xvda")
    volume = ec2.volumes.get(block.volume_id) if block is not None else None
    return int(volume.size or 20) if volume is not None else 20
