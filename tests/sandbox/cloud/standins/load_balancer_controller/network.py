"""Subnets, security groups and node groups' security groups: what the load balancers stand in."""

import hashlib

from botocore.exceptions import ClientError

from .stacks import Unbuildable, short_name

_NODE_RULE = "elbv2.k8s.aws/targetGroupBinding=shared"
_FEWEST_ADDRESSES = 8


def tags_of(pairs):
    """Tags as AWS writes them."""
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def pairs_of(tags):
    """Tags as a dict."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


class Network:
    """The network side of EC2 for one cluster."""

    def __init__(self, ec2, settings):
        self._ec2, self._settings = ec2, settings

    def subnets(self, stack):
        """Ids of the subnets for a stack: named, or found by their tags, one in each zone."""
        named = stack.settings.get("subnets")
        of_vpc = [{"Name": "vpc-id", "Values": [self._settings.vpc]}]
        known = self._ec2.describe_subnets(Filters=of_vpc)["Subnets"]
        if named:
            wanted = {text.strip() for text in named.split(",")}
            return [
                one["SubnetId"]
                for one in known
                if one["SubnetId"] in wanted or pairs_of(one.get("Tags")).get("Name") in wanted
            ]
        role = "elb" if stack.scheme == "internet-facing" else "internal-elb"
        best = {}
        for subnet in sorted(known, key=lambda one: one["SubnetId"]):
            tags = pairs_of(subnet.get("Tags"))
            if tags.get(f"kubernetes.io/role/{role}") not in ("1", ""):
                continue
            clusters = [key for key in tags if key.startswith("kubernetes.io/cluster/")]
            own = f"kubernetes.io/cluster/{self._settings.cluster}" in clusters
            if clusters and not own or subnet["AvailableIpAddressCount"] < _FEWEST_ADDRESSES:
                continue
            zone = subnet["AvailabilityZone"]
            if zone not in best or own and not best[zone][0]:
                best[zone] = (own, subnet["SubnetId"])
        needed = 1 if stack.is_network else 2
        if len(best) < needed:
            raise Unbuildable(
                "couldn't auto-discover subnets: unable to resolve at least "
                f"{'one subnet' if needed == 1 else 'two subnets in different zones'}, evaluated "
                f"{len(known)} subnets: none with the tag kubernetes.io/role/{role}"
            )
        return sorted(subnet for _, subnet in best.values())

    def find_group(self, **tags):
        """The id of a security group with these tags, or None."""
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
        filters.append({"Name": "vpc-id", "Values": [self._settings.vpc]})
        found = self._ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return found[0]["GroupId"] if found else None

    def front_group(self, stack, tags):
        """The security group that lets callers in."""
        present = self.find_group(**tags)
        if present:
            return present
        namespace, _, name = stack.name.partition("/")
        group = self._make(
            short_name(namespace, name or namespace, "front"),
            "[k8s] Managed SecurityGroup for LoadBalancer",
            tags,
        )
        blocks = stack.settings.get("inbound-cidrs", "0.0.0.0/0").split(",")
        for port, _, _ in stack.listeners:
            self._allow(
                group,
                port,
                port,
                IpRanges=[{"CidrIp": block.strip(), "Description": ""} for block in blocks],
            )
        return group

    def back_group(self):
        """The security group that all load balancers of the cluster share towards the nodes."""
        tags = self.back_tags()
        present = self.find_group(**tags)
        if present:
            return present
        mark = hashlib.sha256(self._settings.cluster.encode()).hexdigest()[:10]
        name = f"k8s-traffic-{self._settings.cluster}-{mark}"
        return self._make(name, "[k8s] Shared Backend SecurityGroup for LoadBalancer", tags)

    def back_tags(self):
        """What the shared group is known by."""
        return {
            "elbv2.k8s.aws/cluster": self._settings.cluster,
            "elbv2.k8s.aws/resource": "backend-sg",
        }

    def _make(self, name, description, tags):
        wanted = {**tags, **self._settings.tags}
        return self._ec2.create_security_group(
            GroupName=name,
            Description=description,
            VpcId=self._settings.vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags_of(wanted)}],
        )["GroupId"]

    def _allow(self, group, first, last, **sources):
        permission = {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, **sources}
        try:
            self._ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                raise

    def open_nodes(self, instance_ids, back_group):
        """Let the load balancers reach the pods: a rule on the nodes' security group."""
        for group in self._node_groups(instance_ids):
            pair = {"GroupId": back_group, "Description": _NODE_RULE}
            self._allow(group, 0, 65535, UserIdGroupPairs=[pair])

    def _node_groups(self, instance_ids):
        """The one group with the cluster's tag on the interfaces of nodes; all if there is one only."""
        if not instance_ids:
            return set()
        found = set()
        answer = self._ec2.describe_instances(InstanceIds=sorted(instance_ids))
        held = {
            frozenset(group["GroupId"] for group in instance["SecurityGroups"])
            for reservation in answer["Reservations"]
            for instance in reservation["Instances"]
        }
        key = f"kubernetes.io/cluster/{self._settings.cluster}"
        for groups in held:
            if len(groups) == 1:
                found |= groups
                continue
            described = self._ec2.describe_security_groups(GroupIds=sorted(groups))
            tagged = [
                group["GroupId"]
                for group in described["SecurityGroups"]
                if key in pairs_of(group.get("Tags"))
            ]
            if len(tagged) != 1:
                raise Unbuildable(
                    f"expected exactly one securityGroup tagged with {key} for eni, got: {tagged}"
                )
            found.update(tagged)
        return found

    def close_nodes(self, back_group):
        """Take back every rule that names the shared group."""
        filters = [{"Name": "vpc-id", "Values": [self._settings.vpc]}]
        for group in self._ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            for permission in group["IpPermissions"]:
                pairs = [
                    pair
                    for pair in permission.get("UserIdGroupPairs", [])
                    if pair["GroupId"] == back_group
                ]
                if pairs:
                    mine = {
                        key: permission[key]
                        for key in ("IpProtocol", "FromPort", "ToPort")
                        if key in permission
                    }
                    mine["UserIdGroupPairs"] = [{"GroupId": pair["GroupId"]} for pair in pairs]
                    self._ec2.revoke_security_group_ingress(
                        GroupId=group["GroupId"], IpPermissions=[mine]
                    )

    def delete_group(self, group):
        """Whether a security group is gone now; interfaces hold on to it for a while."""
        try:
            self._ec2.delete_security_group(GroupId=group)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "DependencyViolation":
                return False
            if code != "InvalidGroup.NotFound":
                raise
        return True
