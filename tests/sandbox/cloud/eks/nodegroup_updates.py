"""Changing a node group: settings in place, versions by new instances."""

from ..weather import WEATHER
from . import updates, versions
from .errors import bad_parameter, bad_request
from .node_instances import template_version
from .nodegroups import release_of, scaling_of
from .service import operation
from .vpc import ec2_of


def _ready(group, wanted):
    """Raise the error of EKS unless the group can be changed now."""
    updates.refuse_while_updating(group, wanted)
    if group.status not in ("ACTIVE", "DEGRADED"):
        raise bad_request(
            f"Nodegroup {group.name} cannot be updated as it is in {group.status} status",
            clusterName=group.cluster_name,
            nodegroupName=group.name,
        )


@operation("UpdateNodegroupConfig")
def update_nodegroup_config(backend, asked, caller):
    """Labels and taints by what to add and remove; sizes and update settings as a whole."""
    group = backend.cluster(asked["clusterName"]).nodegroup(asked["nodegroupName"])

    def make():
        _ready(group, "update nodegroup config")
        labels, label_params = _changed_labels(group, asked.get("labels", {}))
        taints, taint_params = _changed_taints(group, asked.get("taints", {}))
        scaling, scaling_params = _changed_scaling(group, asked.get("scalingConfig"))
        update_config, update_params = _changed_update_config(group, asked.get("updateConfig"))
        params = {**label_params, **taint_params, **scaling_params, **update_params}
        repair = asked.get("nodeRepairConfig", group.node_repair)
        if "nodeRepairConfig" in asked:
            params["NodeRepairEnabled"] = str(repair.get("enabled", False)).lower()
        if not params:
            raise bad_parameter(
                "No changes needed: the request names no setting",
                clusterName=group.cluster_name,
                nodegroupName=group.name,
            )

        def change():
            group.labels, group.taints = labels, taints
            group.scaling, group.update_config = scaling, update_config
            group.node_repair = repair
            group.nodes.scale()

        return updates.start(group, "ConfigUpdate", params, change)

    return backend.once("UpdateNodegroupConfig", asked, make)


@operation("UpdateNodegroupVersion")
def update_nodegroup_version(backend, asked, caller):
    """Another Kubernetes version, image release or template version; nodes are replaced."""
    group = backend.cluster(asked["clusterName"]).nodegroup(asked["nodegroupName"])

    def make():
        _ready(group, "update nodegroup version")
        version = asked.get("version")
        if version is None:
            version = group.version if "launchTemplate" in asked else group.cluster.version
        _check_version(group, version)
        release = asked.get("releaseVersion") or release_of(version)
        template = _new_template(backend, group, asked.get("launchTemplate"))
        params = {"Version": version, "ReleaseVersion": release}
        if template:
            params["LaunchTemplateName"] = template["name"]
            params["LaunchTemplateVersion"] = template["version"]

        def change():
            group.version, group.release_version = version, release
            group.launch_template = template or group.launch_template
            group.nodes.replace()

        seconds = WEATHER.now.to_be_ready("nodegroup")
        return updates.start(group, "VersionUpdate", params, change, seconds)

    return backend.once("UpdateNodegroupVersion", asked, make)


def _changed_labels(group, wanted):
    added, removed = wanted.get("addOrUpdateLabels", {}), wanted.get("removeLabels", [])
    both = set(added) & set(removed)
    if both:
        raise bad_parameter(f"Label {sorted(both)[0]} can't be both added and removed")
    labels = {key: value for key, value in group.labels.items() if key not in removed}
    params = {}
    if added:
        params["LabelsToAdd"] = added
    if removed:
        params["LabelsToRemove"] = removed
    return {**labels, **added}, params


def _changed_taints(group, wanted):
    added, removed = wanted.get("addOrUpdateTaints", []), wanted.get("removeTaints", [])
    gone = {_taint_key(taint) for taint in [*added, *removed]}
    taints = [taint for taint in group.taints if _taint_key(taint) not in gone]
    params = {}
    if added:
        params["TaintsToAdd"] = added
    if removed:
        params["TaintsToRemove"] = removed
    return taints + [dict(taint) for taint in added], params


def _taint_key(taint):
    return taint.get("key"), taint.get("effect")


def _changed_scaling(group, wanted):
    if not wanted:
        return group.scaling, {}
    names = {"minSize": "MinSize", "maxSize": "MaxSize", "desiredSize": "DesiredSize"}
    sizes = {**group.scaling, **wanted}
    if "desiredSize" not in wanted:
        sizes["desiredSize"] = min(max(sizes["desiredSize"], sizes["minSize"]), sizes["maxSize"])
    return scaling_of(sizes), {names[name]: str(value) for name, value in wanted.items()}


def _changed_update_config(group, wanted):
    if not wanted:
        return group.update_config, {}
    names = {
        "maxUnavailable": "MaxUnavailable",
        "maxUnavailablePercentage": "MaxUnavailablePercentage",
        "updateStrategy": "UpdateStrategy",
    }
    if "maxUnavailable" in wanted and "maxUnavailablePercentage" in wanted:
        raise bad_parameter("Only one of maxUnavailable and maxUnavailablePercentage can be given")
    return dict(wanted), {names[name]: str(value) for name, value in wanted.items()}


def _check_version(group, version):
    versions.check_offered(version)
    fields = {"clusterName": group.cluster_name, "nodegroupName": group.name}
    if versions.minor(version) < versions.minor(group.version):
        raise bad_parameter(
            f"Nodegroup version {group.version} can't be downgraded to {version}", **fields
        )
    if versions.minor(version) > versions.minor(group.cluster.version):
        raise bad_parameter(
            f"Requested Nodegroup version {version} can't be newer than the cluster version "
            f"{group.cluster.version}",
            **fields,
        )


def _new_template(backend, group, wanted):
    """The user's launch template in its new version."""
    if wanted is None:
        return None
    if group.launch_template is None:
        raise bad_request(
            "You cannot specify a launch template: the node group was created without one",
            nodegroupName=group.name,
        )
    if "id" in wanted and "name" in wanted:
        raise bad_parameter("Give the launch template's id or its name, not both")
    present = group.launch_template
    for key in ("id", "name"):
        if key in wanted and wanted[key] != present[key]:
            raise bad_request("You cannot change the launch template of a node group")
    group.launch_template = dict(wanted)
    try:
        template_version(ec2_of(backend), group)
        return group.launch_template
    finally:
        group.launch_template = present
