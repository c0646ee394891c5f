"""Add-ons of a cluster. Their state changes with time, and with the nodes there are to run them."""

import json

from .. import identity, trust
from ..clock import after
from ..weather import WEATHER
from . import podidentity, updates
from .addon_catalogue import CATALOGUE, describe
from .errors import bad_parameter, bad_request, in_use
from .service import operation
from .store import new_uuid, now, page

_RESOLVE = ("NONE", "OVERWRITE", "PRESERVE")
# Installed in a cluster unless it was made without; the add-on of that name finds them there.
_SELF_MANAGED = ("vpc-cni", "kube-proxy", "coredns")
_NO_REPLICAS = {
    "code": "InsufficientNumberOfReplicas",
    "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
    "resourceIds": [],
}


class ClusterAddon:
    """One add-on in one cluster."""

    def __init__(self, backend, cluster, asked):
        self.cluster = cluster
        self.cluster_name = cluster.name
        self.name = asked["addonName"]
        self.words = f"addon {self.name}"
        self.kind = CATALOGUE[self.name]
        self.version = asked.get("addonVersion") or self.kind.versions[cluster.version][0]
        self.arn = backend.arn(f"addon/{cluster.name}/{self.name}/{new_uuid()}")
        self.role_arn = asked.get("serviceAccountRoleArn")
        self.configuration = asked.get("configurationValues")
        self.tags = dict(asked.get("tags", {}))
        self.namespace = asked.get("namespaceConfig", {}).get("namespace") or self.kind.namespace
        self.created_at = self.modified_at = now()
        self.status = "CREATING"
        self.issues = []
        self.updates = {}
        self.association_ids = []

    def health(self):
        """Status and issues of the moment: what needs nodes is degraded without."""
        if self.status in ("ACTIVE", "UPDATING") and self.kind.needs_nodes:
            if not self.cluster.has_nodes:
                return "DEGRADED", [_NO_REPLICAS]
        return self.status, self.issues

    def describe(self):
        """The add-on as the API shows it."""
        status, issues = self.health()
        return {
            "addonName": self.name,
            "clusterName": self.cluster_name,
            "status": status,
            "addonVersion": self.version,
            "health": {"issues": issues},
            "addonArn": self.arn,
            "createdAt": self.created_at,
            "modifiedAt": self.modified_at,
            "serviceAccountRoleArn": self.role_arn,
            "tags": self.tags,
            "publisher": self.kind.publisher,
            "owner": self.kind.owner,
            "configurationValues": self.configuration,
            "podIdentityAssociations": [
                self.cluster.associations[name].arn
                for name in self.association_ids
                if name in self.cluster.associations
            ],
            "namespaceConfig": {"namespace": self.namespace},
        }


@operation("CreateAddon")
def create_addon(backend, asked, caller):
    """A new add-on; ACTIVE once its time has come and it has what it needs."""
    cluster = backend.cluster(asked["clusterName"])

    def make():
        _check(cluster, asked)
        if asked["addonName"] in cluster.addons:
            raise in_use(
                "Addon already exists.", clusterName=cluster.name, addonName=asked["addonName"]
            )
        if cluster.status != "ACTIVE":
            raise bad_request(
                f"Cannot create addon because cluster {cluster.name} is in {cluster.status} state",
                clusterName=cluster.name,
                addonName=asked["addonName"],
            )
        addon = ClusterAddon(backend, cluster, asked)
        cluster.addons[addon.name] = addon
        podidentity.set_for_addon(backend, cluster, addon, asked.get("podIdentityAssociations", []))
        resolve = asked.get("resolveConflicts", "NONE")
        after(WEATHER.now.to_be_ready("addon"), lambda: _settle(addon, resolve))
        return lambda: _while_there(cluster, addon)

    return backend.once("CreateAddon", asked, make)


@operation("DescribeAddon")
def describe_addon(backend, asked, caller):
    """One add-on."""
    return {"addon": backend.cluster(asked["clusterName"]).addon(asked["addonName"]).describe()}


@operation("ListAddons")
def list_addons(backend, asked, caller):
    """The names of a cluster's add-ons."""
    return page(backend.cluster(asked["clusterName"]).addons, asked, "addons")


@operation("UpdateAddon")
def update_addon(backend, asked, caller):
    """Another version, configuration or role."""
    cluster = backend.cluster(asked["clusterName"])
    addon = cluster.addon(asked["addonName"])

    def make():
        updates.refuse_while_updating(addon, "update addon")
        if addon.status in ("CREATING", "DELETING"):
            raise in_use(
                f"Addon {addon.name} cannot be updated as it is currently in {addon.status} state",
                clusterName=cluster.name,
                addonName=addon.name,
            )
        _check(cluster, asked)
        version = asked.get("addonVersion", addon.version)
        if addon.name == "vpc-cni" and abs(_minor(version) - _minor(addon.version)) > 1:
            raise bad_parameter(
                "Updating VPC-CNI can only go up or down 1 minor version at a time",
                clusterName=cluster.name,
                addonName=addon.name,
            )
        podidentity.set_for_addon(
            backend, cluster, addon, asked.get("podIdentityAssociations"), replace=True
        )
        params = {
            "AddonVersion": version,
            "ResolveConflicts": asked.get("resolveConflicts", "NONE"),
        }
        if "configurationValues" in asked:
            params["ConfigurationValues"] = asked["configurationValues"]
        if "serviceAccountRoleArn" in asked:
            params["ServiceAccountRoleArn"] = asked["serviceAccountRoleArn"]

        def change():
            addon.version = version
            addon.configuration = asked.get("configurationValues", addon.configuration)
            addon.role_arn = asked.get("serviceAccountRoleArn", addon.role_arn)
            addon.issues = []

        seconds = WEATHER.now.to_be_ready("addon")
        return updates.start(addon, "AddonUpdate", params, change, seconds)

    return backend.once("UpdateAddon", asked, make)


@operation("DeleteAddon")
def delete_addon(backend, asked, caller):
    """The add-on goes, and the associations that came with it."""
    cluster = backend.cluster(asked["clusterName"])
    addon = cluster.addon(asked["addonName"])
    updates.refuse_while_updating(addon, "delete addon")
    if addon.status != "DELETING":
        addon.status = "DELETING"

        def gone():
            if cluster.addons.get(addon.name) is addon:
                del cluster.addons[addon.name]
            for name in addon.association_ids:
                cluster.associations.pop(name, None)

        after(WEATHER.now.to_be_gone("addon"), gone)
    return {"addon": addon.describe()}


@operation("DescribeAddonVersions")
def describe_addon_versions(backend, asked, caller):
    """What can be installed, in which versions."""
    name, version = asked.get("addonName"), asked.get("kubernetesVersion")
    if name and name not in CATALOGUE:
        raise bad_parameter(f"Addon {name} specified is not supported", addonName=name)
    found = []
    for addon in CATALOGUE.values():
        if name in (None, addon.name):
            if _one_of(asked, "owners", addon.owner) and _one_of(asked, "types", addon.kind):
                entry = describe(addon, version)
                if entry["addonVersions"]:
                    found.append(entry)
    return page(found, asked, "addons", key=lambda entry: entry["addonName"])


def _one_of(asked, member, value):
    return not asked.get(member) or value in asked[member]


def _check(cluster, asked):
    """What EKS refuses an add-on for."""
    name = asked["addonName"]
    fields = {"clusterName": cluster.name, "addonName": name}
    if name not in CATALOGUE:
        raise bad_parameter(f"Addon {name} specified is not supported", **fields)
    version = asked.get("addonVersion")
    if version and version not in CATALOGUE[name].versions[cluster.version]:
        raise bad_parameter(
            f"Addon version specified is not supported in {cluster.version} kubernetes version",
            **fields,
        )
    if asked.get("resolveConflicts", "NONE") not in _RESOLVE:
        raise bad_parameter("resolveConflicts must be NONE, OVERWRITE or PRESERVE", **fields)
    _check_configuration(asked.get("configurationValues"), fields)
    role_arn = asked.get("serviceAccountRoleArn")
    if role_arn:
        role = identity.find_role(role_arn)
        if role is None or not trust.is_believed(role):
            raise bad_parameter(f"Role {role_arn} does not exist", **fields)


def _check_configuration(text, fields):
    """Configuration values are an object in JSON or YAML."""
    if not text:
        return
    import yaml

    try:
        parsed = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        parsed = None
    if not isinstance(parsed, dict):
        raise bad_parameter(
            "ConfigurationValue provided in request is not supported: Invalid JSON or YAML",
            **fields,
        )


def _settle(addon, resolve):
    """Creation is over: active, or in conflict with what the cluster came with."""
    if addon.status != "CREATING":
        return
    if addon.cluster.self_managed_addons and addon.name in _SELF_MANAGED and resolve != "OVERWRITE":
        addon.status = "CREATE_FAILED"
        addon.issues = [
            {
                "code": "ConfigurationConflict",
                "message": "Conflicts found when trying to apply. Will not continue due to resolve "
                f"conflicts mode. Conflicts: DaemonSet.apps {addon.name} - .spec.template",
                "resourceIds": [],
            }
        ]
    else:
        addon.status = "ACTIVE"


def _minor(version):
    return int(version.lstrip("v").split(".")[1])


def _while_there(cluster, addon):
    if cluster.addons.get(addon.name) is addon:
        return {"addon": addon.describe()}
    return None
