"""One answer with everything that the simulated kubelets of a cluster have to know."""

import ipaddress
import time

from ..clock import CLOCK
from ..eks.vpc import ec2_of
from ..weather import WEATHER
from . import admission, members
from .settings import SETTINGS

# How often a waiting question looks again.
_LOOK_SECONDS = 0.05


def wait(state, name, region, known, seconds):
    """The view of a cluster once it differs from `known`, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        with state:
            CLOCK.catch_up()
            cluster = find(name, region)
            if cluster is None:
                return {"version": "", "gone": True}
            version = _version(cluster)
            if version != known:
                return {"version": version, **_everything(cluster)}
        if time.monotonic() >= deadline:
            return {"version": version, "unchanged": True}
        time.sleep(_LOOK_SECONDS)


def find(name, region):
    """The cluster of this name, in a region or in any."""
    from ..eks.store import eks_backends

    for _, at, backend in list(eks_backends.iter_backends()):
        if (not region or at == region) and name in backend.clusters:
            return backend.clusters[name]
    return None


def _version(cluster):
    """Changes whenever anything in the answer may have changed."""
    moments = members.moments(cluster)  # First: it may let a fault strike.
    return format(
        hash((moments, admission.marks(cluster), repr(_rest(cluster)), SETTINGS.version))
        & 0xFFFFFFFFFFFFFFFF,
        "x",
    )


def _rest(cluster):
    weather = WEATHER.now
    return {
        "region": cluster.backend.region_name,
        "networkReady": _has_network(cluster),
        "agent": "eks-pod-identity-agent" in cluster.addons,
        "podSeconds": weather.to_be_ready("pod"),
        "podGoneSeconds": weather.to_be_gone("pod"),
        "rules": SETTINGS.rules,
        "load": list(SETTINGS.load.values()),
        "nodegroups": {name: _nodegroup(group) for name, group in cluster.nodegroups.items()},
        "subnets": _subnets(cluster),
        "associations": [
            {"namespace": one.namespace, "serviceAccount": one.service_account}
            for one in cluster.associations.values()
        ],
    }


def _everything(cluster):
    described = cluster.describe()
    instances = members.of(cluster)
    # Many instances share their user data and their type: said once.
    texts = {}
    for instance in instances:
        instance["userData"] = texts.setdefault(instance["userData"], len(texts))
    return {
        **_rest(cluster),
        "endpoint": described["endpoint"] or "",
        "authority": described["certificateAuthority"].get("data", ""),
        "kubernetes": cluster.version,
        "instances": instances,
        "userData": list(texts),
        "types": {kind: _type(kind) for kind in {instance["type"] for instance in instances}},
    }


def _has_network(cluster):
    addon = cluster.addons.get("vpc-cni")
    return cluster.self_managed_addons or addon is not None


def _nodegroup(group):
    template = group.launch_template or {}
    return {
        "labels": group.labels,
        "taints": group.taints,
        "capacityType": group.capacity_type,
        "launchTemplateId": template.get("id", ""),
        "launchTemplateVersion": template.get("version", ""),
        "customImage": group.ami_type == "CUSTOM",
    }


def _subnets(cluster):
    ec2 = ec2_of(cluster.backend)
    return {
        name: str(ipaddress.ip_network(subnet.cidr_block))
        for zone in ec2.subnets.values()
        for name, subnet in zone.items()
        if subnet.vpc_id == cluster.vpc_id
    }


def _type(name):
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    known = INSTANCE_TYPES[name]
    network = known["NetworkInfo"]
    cards = network.get("NetworkCards") or [{}]
    default = network.get("DefaultNetworkCardIndex", 0)
    return {
        "vcpus": known["VCpuInfo"]["DefaultVCpus"],
        "memoryMib": known["MemoryInfo"]["SizeInMiB"],
        "interfaces": cards[default].get(
            "MaximumNetworkInterfaces", network["MaximumNetworkInterfaces"]
        ),
        "addressesPerInterface": network["Ipv4AddressesPerInterface"],
        "gpus": sum(
            gpu.get("Count", 0)
            for gpu in known.get("GpuInfo", {}).get("Gpus", [])
            if gpu.get("Manufacturer") == "NVIDIA"
        ),
    }
