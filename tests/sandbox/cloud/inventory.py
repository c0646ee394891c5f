"""Everything that exists beyond what a new account has, read from the state of every service.

Generic on purpose: each container of each service that was ever touched is walked, in every region
and account, and compared with what it held when the service was new. What is left out is named
here, one by one, with the reason; a kind of thing that nobody thought of shows up by itself.
"""

from collections.abc import Mapping, Sequence, Set

from moto.core.base_backend import AccountSpecificBackend, BackendDict, backend_lock

from .mend import mend

DEFAULT_ACCOUNT = "123456789012"

# Bookkeeping of moto and ours that is no resource: (service, attribute) or (None, attribute).
_NO_RESOURCES = {
    (None, "tagger"),
    (None, "tagging_service"),
    (None, "_tagger"),
    ("ec2", "tags"),
    ("ec2", "client_tokens"),
    ("ec2", "deleted_amis"),
    ("ec2", "launch_template_name_to_ids"),
    ("ec2", "launch_template_insert_order"),
    ("ec2", "regions"),
    ("ec2", "zones"),
    ("ec2", "fleets"),  # An instant fleet is the record of a call.
    ("eks", "tokens"),
    ("sts", "assumed_roles"),
    ("cloudformation", "client_tokens"),
    ("cloudformation", "deleted_stacks"),
    ("cloudformation", "change_sets"),
    ("rds", "events"),  # Of what happened, not of what is.
    ("rds", "resource_map"),  # Names the other containers once more.
    ("iam", "aws_managed_policies"),
    ("sqs", "deleted_at"),
    ("iam", "inline_policies"),  # They are parts of their role, user or group.
}


def _instances(backend):
    """Instances that are not terminated; EC2 shows those for another while."""
    return {
        "instances": [
            instance.id
            for reservation in backend.reservations.values()
            for instance in reservation.instances
            if instance.state != "terminated"
        ]
    }


def _nat_gateways(backend):
    """NAT gateways that are not deleted; EC2 shows those for another while."""
    return {
        "nat_gateways": [nat.id for nat in backend.nat_gateways.values() if nat.state != "deleted"]
    }


def _capacity_reservations(backend):
    """Capacity reservations that are not cancelled; EC2 shows those for another while."""
    found = getattr(backend, "capacity_reservations", {}).values()
    return {"capacity_reservations": [each.id for each in found if each.state == "active"]}


def _endpoints(backend):
    """VPC endpoints that are not deleted."""
    return {
        "vpc_endpoints": [
            name for name, endpoint in backend.vpc_end_points.items() if endpoint.state != "deleted"
        ]
    }


def _clusters(backend):
    """Clusters, and what hangs on them."""
    found = {"clusters": list(backend.clusters)}
    for cluster in backend.clusters.values():
        for kind in ("nodegroups", "addons", "access_entries", "associations"):
            names = [f"{cluster.name}/{name}" for name in getattr(cluster, kind)]
            found.setdefault(kind, []).extend(names)
    return found


def _roles(backend):
    """Roles; those that services made for themselves apart."""
    found = {"roles": [], "service_linked_roles": []}
    for role in backend.roles.values():
        linked = role.path.startswith("/aws-service-role/")
        found["service_linked_roles" if linked else "roles"].append(role.name)
    return found


def _policies(backend):
    """Managed policies by name; AWS's own are known from the start."""
    return {
        "managed_policies": [
            policy.name
            for arn, policy in backend.managed_policies.items()
            if ":iam::aws:" not in arn
        ]
    }


def _access_keys(backend):
    """Keys of users; those of role sessions end by themselves."""
    return {"access_keys": [key for key in backend.access_keys if not key.startswith("ASIA")]}


def _buses(backend):
    """Event buses beside the default one, and rules on any."""
    buses = [name for name in backend.event_buses if name != "default"]
    rules = [
        name if bus.name == "default" else f"{bus.name}/{name}"
        for bus in backend.event_buses.values()
        for name in bus.rules
    ]
    return {"event_buses": buses, "rules": rules}


def _parameters(backend):
    """Parameters, without AWS's public ones."""
    names = [name for name in dict.keys(backend._parameters) if not name.startswith("/aws/service")]
    return {"parameters": names}


def _keys(backend):
    """Keys of KMS that are the customer's; AWS makes one per service that encrypts."""
    return {
        "keys": [
            key.id
            for key in backend.keys.values()
            if not any(alias.startswith("alias/aws/") for alias in key.aliases)
        ]
    }


def _named_by_users(attribute):
    """Things of RDS whose defaults come by themselves."""

    def find(backend):
        names = getattr(backend, attribute)
        return {attribute: [name for name in names if not name.startswith("default")]}

    return find


# (service, attribute) -> how to find what it holds.
_FINDERS = {
    ("ec2", "reservations"): _instances,
    ("ec2", "nat_gateways"): _nat_gateways,
    ("ec2", "capacity_reservations"): _capacity_reservations,
    ("ec2", "vpc_end_points"): _endpoints,
    ("eks", "clusters"): _clusters,
    ("iam", "roles"): _roles,
    ("iam", "access_keys"): _access_keys,
    ("iam", "managed_policies"): _policies,
    ("events", "event_buses"): _buses,
    ("ssm", "_parameters"): _parameters,
    ("kms", "keys"): _keys,
    ("rds", "db_parameter_groups"): _named_by_users("db_parameter_groups"),
    ("rds", "option_groups"): _named_by_users("option_groups"),
}

# id(backend) -> {attribute: ids that were there from the start}
_AT_FIRST = {}


def everything(with_defaults=False):
    """`{"region/service/kind": [ids]}` of everything there is, sorted."""
    found = {}
    for service in list(BackendDict._instances):
        for account, region, backend in list(service.iter_backends()):
            at_first = {} if with_defaults else _AT_FIRST.get(id(backend), {})
            for kind, ids in _held(service.service_name, backend).items():
                known = at_first.get(kind, ())
                rest = sorted({str(name) for name in ids} - set(known))
                if rest:
                    found[_place(account, region, service.service_name, kind)] = rest
    return dict(sorted(found.items()))


def forget_everything():
    """Every service as if it had never been touched."""
    from .logs import control_plane

    with backend_lock:
        for service in BackendDict._instances:
            service.clear()
        BackendDict._instances.clear()
        _AT_FIRST.clear()
    control_plane.forget()


def _place(account, region, service, kind):
    region = "global" if region in ("aws", "global") else region
    place = f"{region}/{service}/{kind}"
    return place if account == DEFAULT_ACCOUNT else f"{account}:{place}"


def _held(service, backend):
    """Ids of everything a backend holds, by kind."""
    held = {}
    for attribute, value in list(vars(backend).items()):
        finder = _FINDERS.get((service, attribute))
        if finder:
            held.update(finder(backend))
        elif (service, attribute) in _NO_RESOURCES or (None, attribute) in _NO_RESOURCES:
            continue
        elif _is_container(value):
            ids = _ids(value)
            if ids:
                held[attribute] = ids
    return held


def _ids(value):
    """Ids of the things in a container, however it is nested."""
    ids = []
    pairs = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in list(pairs):
        if _is_container(item):
            inner = _ids(item)
            # A dict of plain values is one thing, described.
            plain = isinstance(item, Mapping) and item and not _holds_things(item)
            ids += [str(key)] if plain and key is not None else inner
        elif item is not None:
            ids.append(_id(key, item))
    return ids


def _is_container(value):
    return isinstance(value, (Mapping, Sequence, Set)) and not isinstance(value, (str, bytes))


def _holds_things(mapping):
    return any(hasattr(item, "__dict__") or _is_container(item) for item in mapping.values())


def _id(key, item):
    if isinstance(item, (str, int, float, bool)):
        return str(item if key is None else key)
    for attribute in ("id", "arn", "name"):
        value = getattr(item, attribute, None)
        if isinstance(value, str):
            return value
    return str(key) if key is not None else type(item).__name__


@mend(AccountSpecificBackend, "__getitem__")
def _notice_new(original, self, region_name):
    """Remembers what a service holds at the moment it comes to be."""
    present = dict.get(self, "aws" if region_name == "global" else region_name)
    if present is not None:
        return present
    backend = original(self, region_name)
    held = _held(self.service_name, backend)
    _AT_FIRST[id(backend)] = {kind: frozenset(map(str, ids)) for kind, ids in held.items()}
    return backend
