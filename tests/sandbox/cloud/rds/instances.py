"""DB instances: checked, slow to come and to go, with interfaces in the VPC and a secret of their own."""

import json
import random
import secrets
import string

from moto.ec2.models import ec2_backends
from moto.rds.exceptions import DBInstanceAlreadyExists, DBInstanceNotFoundError, RDSClientError
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend

from .. import identity, trust
from ..clock import after
from ..ec2 import interfaces
from ..iam import ensure_service_linked_role
from ..mend import mend
from ..weather import WEATHER
from . import versions

_RESERVED_NAMES = {
    "postgres": ("admin", "rdsadmin", "postgres_admin", "user"),
    "mysql": ("rdsadmin",),
    "mariadb": ("rdsadmin",),
}
_LEAST_STORAGE = {"gp2": 20, "gp3": 20, "io1": 100, "io2": 100, "standard": 5}


@mend(MasterUserSecret, "_generate_secret_string")
def _generate_secret_string(original, self):
    """A password of its own for each database, and the name of its user."""
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(28))
    return json.dumps({"username": self.resource.master_username, "password": password})


@mend(MasterUserSecret, "_generate_secret_description")
def _generate_secret_description(original, self):
    """`instance` is the right word for our kind of instance too."""
    return f"The secret associated with the primary RDS DB instance: {self.resource.arn}"


@mend(RDSBackend, "create_db_instance")
def create_db_instance(original, self, db_kwargs):
    """After the checks of RDS: creating, with an interface in the subnet group; available later."""
    name = db_kwargs["db_instance_identifier"]
    if name in self.databases:
        raise DBInstanceAlreadyExists()
    kwargs = {key: value for key, value in db_kwargs.items() if value is not None}
    ec2 = ec2_backends[self.account_id][self.region_name]
    vpc_id = _vpc_of(self, ec2, kwargs)
    _check(self, ec2, kwargs, vpc_id)
    if not kwargs.get("vpc_security_group_ids"):
        kwargs["vpc_security_group_ids"] = [ec2.get_default_security_group(vpc_id).id]
    kwargs["engine_version"] = versions.resolve(kwargs["engine"], kwargs.get("engine_version"))
    kwargs.setdefault("storage_type", "io1" if kwargs.get("iops") else "gp3")
    if kwargs.get("storage_encrypted") and not kwargs.get("kms_key_id"):
        kwargs["kms_key_id"] = self.kms.describe_key("alias/aws/rds").arn
    ensure_service_linked_role(self.account_id, self.partition, "rds.amazonaws.com")
    before = set(self.database_snapshots)
    database = original(self, kwargs)
    for snapshot_name in set(self.database_snapshots) - before:
        if not database.backup_retention_period:
            del self.database_snapshots[snapshot_name]
    database.network_type = kwargs.get("network_type", "IPV4")
    database.engine_lifecycle_support = kwargs.get(
        "engine_lifecycle_support", "open-source-rds-extended-support"
    )
    database.dbi_resource_id = "db-" + "".join(
        random.choices(string.ascii_uppercase + "234567", k=26)
    )
    database.status = "creating"
    database.has_endpoint = False
    _make_interfaces(self, ec2, database)
    after(WEATHER.now.to_be_ready("database"), lambda: _become_available(self, database))
    return database


def _vpc_of(backend, ec2, kwargs):
    group_name = kwargs.get("db_subnet_group_name")
    if group_name:
        return backend.describe_db_subnet_groups(group_name)[0].vpc_id
    return ec2.default_vpc.id


def _check(backend, ec2, kwargs, vpc_id):
    """What RDS refuses a new instance for."""
    engine = kwargs.get("engine", "")
    versions.check_class(kwargs.get("db_instance_class", ""))
    versions.resolve(engine, kwargs.get("engine_version"))
    if kwargs.get("manage_master_user_password"):
        if kwargs.get("master_user_password"):
            raise RDSClientError(
                "InvalidParameterCombination",
                "You can't specify MasterUserPassword when you specify ManageMasterUserPassword.",
            )
    elif not kwargs.get("master_user_password"):
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUserPassword must be provided and must not be blank.",
        )
    user = kwargs.get("master_username", "")
    if user.lower() in _RESERVED_NAMES.get(engine, ()):
        raise RDSClientError(
            "InvalidParameterValue",
            f"MasterUsername {user} cannot be used as it is a reserved word used by the engine",
        )
    storage, size = kwargs.get("storage_type", "gp3"), int(kwargs.get("allocated_storage") or 20)
    if size < _LEAST_STORAGE.get(storage, 20):
        raise RDSClientError(
            "InvalidParameterValue",
            f"Invalid storage size for engine name {engine} and storage type {storage}: {size}",
        )
    for group_id in kwargs.get("vpc_security_group_ids", []):
        check_group(ec2, group_id, vpc_id)
    role_arn = kwargs.get("monitoring_role_arn")
    if role_arn:
        role = identity.find_role(role_arn)
        if role is None or not trust.is_believed(role):
            raise RDSClientError(
                "InvalidParameterValue",
                "IAM role ARN value is invalid or does not include the required permissions for: "
                "ENHANCED_MONITORING",
            )


def check_group(ec2, group_id, vpc_id):
    """A security group that is there, in the VPC of the database."""
    group = ec2.get_security_group_from_id(group_id)
    if group is None:
        raise RDSClientError(
            "InvalidParameterValue", f"Invalid security group , groupId= {group_id}, groupName=."
        )
    if group.vpc_id != vpc_id:
        raise RDSClientError(
            "InvalidParameterCombination",
            "The DB instance and EC2 security group are in different VPCs. The DB instance is in "
            f"{vpc_id} and the EC2 security group is in {group.vpc_id}",
        )


def _make_interfaces(backend, ec2, database):
    """An interface where the instance runs; a second one for its standby."""
    group = getattr(database, "db_subnet_group", None)
    subnets = list(group._subnets) if group else list(ec2.get_default_subnets().values())
    wanted = database.availability_zone
    subnets.sort(key=lambda subnet: (subnet.availability_zone != wanted, subnet.availability_zone))
    database.availability_zone = subnets[0].availability_zone
    database.enis = []
    zones = set()
    for subnet in subnets:
        if subnet.availability_zone not in zones and len(zones) < (2 if database.multi_az else 1):
            zones.add(subnet.availability_zone)
            database.enis.append(
                interfaces.create(
                    ec2,
                    subnet,
                    "RDSNetworkInterface",
                    f"database {database.db_instance_identifier}",
                    database.vpc_security_group_ids,
                )
            )


def _become_available(backend, database):
    if database.status == "creating":
        database.status = "available"
    database.has_endpoint = True
    write_logs(backend, database)


def write_logs(backend, database):
    """The log groups of what the instance exports appear; nobody ever removes them."""
    from moto.logs.models import logs_backends

    logs = logs_backends[backend.account_id][backend.region_name]
    for kind in database.enabled_cloudwatch_logs_exports:
        name = f"/aws/rds/instance/{database.db_instance_identifier}/{kind}"
        if name not in logs.groups:
            logs.create_log_group(name, {})


_moto_endpoint = DBInstance.endpoint.fget


def _endpoint(self):
    """There is no endpoint before there is an instance."""
    if not getattr(self, "has_endpoint", True):
        return None
    return {**_moto_endpoint(self), "HostedZoneId": "Z2R2ITUGPM61AM"}


DBInstance.endpoint = property(_endpoint)
DBInstance.pending_modified_values = property(lambda self: self.__dict__.get("pending") or {})


@mend(RDSBackend, "delete_db_instance")
def delete_db_instance(
    original,
    self,
    db_instance_identifier,
    final_db_snapshot_identifier=None,
    skip_final_snapshot=False,
    delete_automated_backups=True,
):
    """Deleting for a while; interfaces and secret go with the instance, the last snapshot stays."""
    database = self.databases.get(db_instance_identifier)
    if database is None:
        raise DBInstanceNotFoundError(db_instance_identifier)
    if database.deletion_protection:
        raise RDSClientError(
            "InvalidParameterCombination",
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        )
    if bool(final_db_snapshot_identifier) == bool(skip_final_snapshot):
        word = "cannot be specified when" if skip_final_snapshot else "is required unless"
        raise RDSClientError(
            "InvalidParameterCombination",
            f"FinalDBSnapshotIdentifier {word} SkipFinalSnapshot is specified.",
        )
    if database.status in ("creating", "deleting", "modifying"):
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Instance {database.db_instance_identifier} is currently {database.status} - try again "
            "later.",
        )
    if final_db_snapshot_identifier:
        self.create_db_snapshot(
            db_instance_identifier, final_db_snapshot_identifier, snapshot_type="manual"
        )
    database.status = "deleting"

    def gone():
        ec2 = ec2_backends[self.account_id][self.region_name]
        for eni in database.enis:
            interfaces.remove(ec2, eni)
        original(
            self,
            db_instance_identifier,
            None,
            True,
            delete_automated_backups is not False,
        )

    after(WEATHER.now.to_be_gone("database"), gone)
    return database
