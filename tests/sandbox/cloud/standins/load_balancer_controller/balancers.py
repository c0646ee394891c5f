"""Load balancers, listeners, rules and target groups, found again by their tags."""

from botocore.exceptions import ClientError

from .network import pairs_of, tags_of
from .stacks import short_name


class Balancers:
    """The load balancing side of AWS for one cluster."""

    def __init__(self, elb, network, settings):
        self._elb, self._network, self._settings = elb, network, settings

    def _tags(self, stack, resource):
        return {
            "elbv2.k8s.aws/cluster": self._settings.cluster,
            f"{stack.prefix}/stack": stack.name,
            f"{stack.prefix}/resource": resource,
        }

    def group_tags(self, stack):
        """What the stack's own security group is known by."""
        return self._tags(stack, "ManagedLBSecurityGroup")

    def mine(self, stack):
        """Load balancers and target groups of a stack: `{resource: arn}` twice, and descriptions."""
        balancers = self._elb.describe_load_balancers()["LoadBalancers"]
        groups = self._elb.describe_target_groups()["TargetGroups"]
        arns = [one["LoadBalancerArn"] for one in balancers]
        arns += [one["TargetGroupArn"] for one in groups]
        tags = {}
        for start in range(0, len(arns), 20):
            answer = self._elb.describe_tags(ResourceArns=arns[start : start + 20])
            for one in answer["TagDescriptions"]:
                tags[one["ResourceArn"]] = pairs_of(one["Tags"])

        def of_stack(arn):
            found = tags.get(arn, {})
            same = found.get("elbv2.k8s.aws/cluster") == self._settings.cluster
            return same and found.get(f"{stack.prefix}/stack") == stack.name

        balancer = next((one for one in balancers if of_stack(one["LoadBalancerArn"])), None)
        mine = {
            tags[one["TargetGroupArn"]][f"{stack.prefix}/resource"]: one
            for one in groups
            if of_stack(one["TargetGroupArn"])
        }
        return balancer, mine

    def ensure(self, stack):
        """Everything of a stack. Returns the load balancer's name in DNS and `{Backend: ARN}`."""
        balancer, present = self.mine(stack)
        security = self._security_groups(stack)
        if balancer is None:
            balancer = self._make_balancer(stack, security)
        targets = {}
        for backend in stack.backends():
            resource = f"{backend.namespace}/{backend.service}:{backend.port}"
            found = present.pop(resource, None) or self._make_targets(stack, backend, resource)
            targets[backend] = found["TargetGroupArn"]
        self._ensure_listeners(stack, balancer["LoadBalancerArn"], targets)
        return balancer["DNSName"], targets, [group["TargetGroupArn"] for group in present.values()]

    def _security_groups(self, stack):
        named = stack.settings.get("security-groups")
        if named:
            return [one.strip() for one in named.split(",")]
        return [
            self._network.front_group(stack, self.group_tags(stack)),
            self._network.back_group(),
        ]

    def _make_balancer(self, stack, security):
        namespace, _, name = stack.name.partition("/")
        tags = {**self._settings.tags, **self._tags(stack, "LoadBalancer")}
        for text in stack.settings.get(
            "tags", stack.settings.get("additional-resource-tags", "")
        ).split(","):
            key, _, value = text.partition("=")
            if key.strip():
                tags[key.strip()] = value.strip()
        made = self._elb.create_load_balancer(
            Name=stack.settings.get("load-balancer-name", stack.settings.get("name"))
            or short_name(namespace, name or namespace, stack.kind),
            Type="network" if stack.is_network else "application",
            Scheme=stack.scheme,
            IpAddressType="ipv4",
            Subnets=self._network.subnets(stack),
            SecurityGroups=security,
            Tags=tags_of(tags),
        )["LoadBalancers"][0]
        attributes = stack.settings.get(
            "load-balancer-attributes", stack.settings.get("attributes", "")
        )
        wanted = [one.partition("=") for one in attributes.split(",") if "=" in one]
        if wanted:
            self._elb.modify_load_balancer_attributes(
                LoadBalancerArn=made["LoadBalancerArn"],
                Attributes=[
                    {"Key": key.strip(), "Value": value.strip()} for key, _, value in wanted
                ],
            )
        return made

    def _make_targets(self, stack, backend, resource):
        health = {}
        if not stack.is_network:
            health = {"HealthCheckProtocol": "HTTP", "HealthCheckPath": backend.health_path}
        port = backend.port if isinstance(backend.port, int) else 1
        return self._elb.create_target_group(
            Name=short_name(backend.namespace, backend.service, stack.name, backend.port),
            Protocol=backend.protocol,
            Port=port,
            VpcId=self._settings.vpc,
            TargetType=backend.target_type,
            Tags=tags_of({**self._settings.tags, **self._tags(stack, resource)}),
            **health,
        )["TargetGroups"][0]

    def _ensure_listeners(self, stack, arn, targets):
        present = {
            one["Port"]: one
            for one in self._elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
        }
        for port, protocol, certificates in stack.listeners:
            listener = present.pop(port, None)
            if listener is None:
                wanted = {
                    "LoadBalancerArn": arn,
                    "Port": port,
                    "Protocol": protocol,
                    "DefaultActions": [self._default_action(stack, port, targets)],
                    "Tags": tags_of({**self._settings.tags, **self._tags(stack, str(port))}),
                }
                if certificates:
                    wanted["Certificates"] = [{"CertificateArn": one} for one in certificates[:1]]
                listener = self._elb.create_listener(**wanted)["Listeners"][0]
            if not stack.is_network:
                self._ensure_rules(stack, port, listener["ListenerArn"], targets)
        for listener in present.values():
            self._elb.delete_listener(ListenerArn=listener["ListenerArn"])

    @staticmethod
    def _default_action(stack, port, targets):
        if stack.is_network:
            backend = next(one for _, path, _, one in stack.rules if path == str(port))
            return {"Type": "forward", "TargetGroupArn": targets[backend]}
        if stack.default:
            return {"Type": "forward", "TargetGroupArn": targets[stack.default]}
        answer = {"StatusCode": "404", "ContentType": "text/plain"}
        return {"Type": "fixed-response", "FixedResponseConfig": answer}

    def _ensure_rules(self, stack, port, listener, targets):
        wanted = []
        for host, path, path_type, backend in stack.rules:
            conditions = [_condition("host-header", [host])] if host else []
            values = [path]
            if path_type == "Prefix":
                values = ["/*"] if path == "/" else [path, path.rstrip("/") + "/*"]
            conditions.append(_condition("path-pattern", values))
            wanted.append((conditions, targets[backend]))
        rules = self._elb.describe_rules(ListenerArn=listener)["Rules"]
        present = [rule for rule in rules if not rule.get("IsDefault")]
        if [_shape(rule) for rule in present] == [(_plain(c), arn) for c, arn in wanted]:
            return
        for rule in present:
            self._elb.delete_rule(RuleArn=rule["RuleArn"])
        for number, (conditions, arn) in enumerate(wanted, 1):
            self._elb.create_rule(
                ListenerArn=listener,
                Priority=number,
                Conditions=conditions,
                Actions=[{"Type": "forward", "TargetGroupArn": arn}],
                Tags=tags_of(self._tags(stack, f"{port}:{number}")),
            )

    def remove_balancer(self, stack):
        """The load balancer goes, with its listeners. Returns the ARNs of its target groups."""
        balancer, groups = self.mine(stack)
        if balancer:
            arn = balancer["LoadBalancerArn"]
            for listener in self._elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
                self._elb.delete_listener(ListenerArn=listener["ListenerArn"])
            self._elb.delete_load_balancer(LoadBalancerArn=arn)
        return [group["TargetGroupArn"] for group in groups.values()]

    def remove_targets(self, arn):
        """A target group goes."""
        try:
            self._elb.delete_target_group(TargetGroupArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TargetGroupNotFound":
                raise

    def set_targets(self, arn, wanted):
        """Exactly these targets, `(id, port)` each. Whether anything changed."""
        answer = self._elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        present = {(one["Target"]["Id"], one["Target"]["Port"]) for one in answer}
        for call, targets in (
            (self._elb.register_targets, wanted - present),
            (self._elb.deregister_targets, present - wanted),
        ):
            if targets:
                call(
                    TargetGroupArn=arn,
                    Targets=[{"Id": name, "Port": port} for name, port in sorted(targets)],
                )


# The short form of a condition takes one value alone.
_CONFIG = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}


def _condition(field, values):
    return {"Field": field, _CONFIG[field]: {"Values": values}}


def _plain(conditions):
    return sorted((one["Field"], tuple(one[_CONFIG[one["Field"]]]["Values"])) for one in conditions)


def _shape(rule):
    return _plain(rule["Conditions"]), rule["Actions"][0].get("TargetGroupArn")
