"""Changing a DB instance: what is applied at once, what waits, and what is refused."""

from moto.ec2.models import ec2_backends
from moto.rds.exceptions import RDSClientError
from moto.rds.models import RDSBackend

from ..clock import after
from ..mend import mend
from ..weather import WEATHER
from . import versions
from .instances import check_group, write_logs

# Changes that wait for the maintenance window, or take a while with ApplyImmediately:
# moto's name -> the name in PendingModifiedValues.
_SLOW = {
    "db_instance_class": "DBInstanceClass",
    "engine_version": "EngineVersion",
    "allocated_storage": "AllocatedStorage",
    "iops": "Iops",
    "storage_type": "StorageType",
    "storage_throughput": "StorageThroughput",
    "multi_az": "MultiAZ",
    "ca_certificate_identifier": "CACertificateIdentifier",
}
# Said in a request, and nothing of the instance.
_NOT_ATTRIBUTES = (
    "db_instance_identifier",
    "apply_immediately",
    "allow_major_version_upgrade",
    "certificate_rotation_restart",
)


@mend(RDSBackend, "modify_db_instance")
def modify_db_instance(original, self, db_instance_identifier, db_kwargs):
    """Some at once; the rest with ApplyImmediately after a while, without it not before long."""
    database = self.describe_db_instances(db_instance_identifier)[0]
    if database.status != "available":
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Database instance is not in available state: {database.status}.",
        )
    asked = {key: value for key, value in db_kwargs.items() if value is not None}
    now_or_never = asked.get("apply_immediately", False)
    _check(self, database, asked)
    if "db_port_number" in asked:
        asked["port"] = asked.pop("db_port_number")
    if "enable_iam_database_authentication" not in asked:
        asked.pop("enable_iam_database_authentication", None)
    slow = {
        key: value
        for key, value in asked.items()
        if _is_slow(database, key, value) and getattr(database, key, None) != value
    }
    quick = {
        key: value
        for key, value in asked.items()
        if key not in slow and key not in _SLOW and key not in _NOT_ATTRIBUTES
    }
    original(self, db_instance_identifier, quick)
    _follow_groups(self, database)
    write_logs(self, database)
    pending = database.__dict__.setdefault("pending", {})
    waiting = database.__dict__.setdefault("waiting", {})
    waiting.update(slow)
    pending.update({_shown(key): value for key, value in slow.items()})
    if now_or_never and waiting:
        database.status = "modifying"
        after(WEATHER.now.to_be_ready("update"), lambda: _apply(database))
    return database


def _is_slow(database, key, value):
    if key == "backup_retention_period":
        # Switching backups on or off is a matter of its own; another number of days is not.
        return bool(value) != bool(database.backup_retention_period)
    return key in _SLOW


def _shown(key):
    return _SLOW.get(key, "BackupRetentionPeriod")


def _apply(database):
    """Everything that was pending takes effect, whoever asked for it when."""
    for key, value in database.waiting.items():
        setattr(database, key, value)
    database.waiting, database.pending = {}, {}
    if database.status == "modifying":
        database.status = "available"


def _check(backend, database, asked):
    """What RDS refuses a change for."""
    if "db_instance_class" in asked:
        versions.check_class(asked["db_instance_class"])
    if "engine_version" in asked:
        asked["engine_version"] = versions.resolve(database.engine, asked["engine_version"])
        _check_upgrade(database, asked)
    if "allocated_storage" in asked:
        _check_storage(database, int(asked["allocated_storage"]))
    if asked.get("manage_master_user_password") and asked.get("master_user_password"):
        raise RDSClientError(
            "InvalidParameterCombination",
            "You can't specify MasterUserPassword when you specify ManageMasterUserPassword.",
        )
    if asked.get("manage_master_user_password") is False and not asked.get("master_user_password"):
        raise RDSClientError(
            "InvalidParameterCombination",
            "You must specify MasterUserPassword when you turn off ManageMasterUserPassword.",
        )
    if asked.get("manage_master_user_password") and database.manage_master_user_password:
        asked.pop("manage_master_user_password")
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    group = getattr(database, "db_subnet_group", None)
    for group_id in asked.get("vpc_security_group_ids", []):
        check_group(ec2, group_id, group.vpc_id if group else ec2.default_vpc.id)


def _check_upgrade(database, asked):
    engine, wanted, present = database.engine, asked["engine_version"], database.engine_version
    if versions.numbers(wanted) < versions.numbers(present):
        raise RDSClientError(
            "InvalidParameterCombination",
            f"Cannot upgrade {engine} from {present} to {wanted}",
        )
    major = versions.major_of(engine, wanted) != versions.major_of(engine, present)
    if major and not asked.get("allow_major_version_upgrade"):
        raise RDSClientError(
            "InvalidParameterCombination",
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        )


def _check_storage(database, wanted):
    present = int(database.allocated_storage)
    if wanted < present:
        raise RDSClientError(
            "InvalidParameterCombination",
            f"Requested storage size ({wanted}) cannot be less than the current storage size "
            f"({present}).",
        )
    if present < wanted < present * 1.1:
        raise RDSClientError(
            "InvalidParameterCombination",
            "Storage size must be increased by at least 10 percent of the current value.",
        )


def _follow_groups(backend, database):
    """The interfaces have the groups of the instance."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    groups = [ec2.get_security_group_from_id(name) for name in database.vpc_security_group_ids]
    for eni in getattr(database, "enis", []):
        eni._group_set = [group for group in groups if group]
