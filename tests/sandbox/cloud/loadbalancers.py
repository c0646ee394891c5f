"""Load balancers: interfaces in their subnets that hold on to security groups, and time to be ready."""

from moto.ec2.models import ec2_backends
from moto.elb.models import ELBBackend
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer

from .clock import after
from .ec2 import interfaces
from .mend import mend
from .weather import WEATHER
from .wire import ServiceError


# moto makes a load balancer active when somebody looks at it.
FakeLoadBalancer.activate = lambda self: None


def _fit(backend, owner, description, subnet_ids, group_ids, public, kind):
    """Interfaces for a load balancer, with public addresses where the world reaches it."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    made = []
    for subnet_id in subnet_ids:
        eni = interfaces.create(
            ec2, ec2.get_subnet(subnet_id), description, owner, group_ids, kind=kind
        )
        if public:
            from moto.ec2.utils import random_public_ip

            eni.public_ip = random_public_ip()
        made.append(eni)
    return made


def _let_go(backend, made):
    ec2 = ec2_backends[backend.account_id][backend.region_name]

    def gone():
        for eni in made:
            interfaces.remove(ec2, eni)

    after(WEATHER.now.to_be_gone("loadbalancer"), gone)


@mend(ELBv2Backend, "create_load_balancer")
def create_load_balancer(original, self, *args, **kwargs):
    """Provisioning for a while, with an interface in every subnet from the start."""
    balancer = original(self, *args, **kwargs)
    network = balancer.type == "network"
    subnet_ids = [subnet.id for subnet in balancer.subnets]
    balancer.enis = _fit(
        self,
        f"load balancer {balancer.name}",
        f"ELB {'net' if network else 'app'}/{balancer.name}/{balancer.arn.rsplit('/', 1)[-1]}",
        subnet_ids,
        balancer.security_groups or [],
        balancer.scheme == "internet-facing",
        "network_load_balancer" if network else "interface",
    )
    balancer.state = "provisioning"

    def active():
        balancer.state = "active"

    after(WEATHER.now.to_be_ready("loadbalancer"), active)
    return balancer


@mend(ELBv2Backend, "delete_load_balancer")
def delete_load_balancer(original, self, arn):
    """Gone at once from its API; its interfaces take a while."""
    balancer = self.load_balancers.get(arn)
    if (
        balancer is not None
        and str(balancer.attrs.get("deletion_protection.enabled")).lower() == "true"
    ):
        raise ServiceError(
            "OperationNotPermitted",
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        )
    original(self, arn)
    if balancer is not None:
        _let_go(self, getattr(balancer, "enis", []))


@mend(ELBBackend, "create_load_balancer")
def create_classic(original, self, name, *args, **kwargs):
    """The same for the classic kind."""
    balancer = original(self, name, *args, **kwargs)
    balancer.enis = _fit(
        self,
        f"load balancer {name}",
        f"ELB {name}",
        balancer.subnets or [],
        balancer.security_groups or [],
        balancer.scheme == "internet-facing",
        "interface",
    )
    return balancer


@mend(ELBBackend, "delete_load_balancer")
def delete_classic(original, self, load_balancer_name):
    """The same for the classic kind."""
    balancer = self.load_balancers.get(load_balancer_name)
    original(self, load_balancer_name)
    if balancer is not None:
        _let_go(self, getattr(balancer, "enis", []))
