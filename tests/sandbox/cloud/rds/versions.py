"""Engine versions that RDS offers, and what can be upgraded to what."""

from moto.core.responses import ActionResult
from moto.rds.exceptions import RDSClientError
from moto.rds.responses import RDSResponse

# engine -> versions, oldest first. The last of each major version is its default.
VERSIONS = {
    "mariadb": ("10.6.24", "10.11.13", "10.11.15", "11.4.8", "11.4.9", "11.8.3", "11.8.5"),
    "mysql": ("8.0.43", "8.0.44", "8.4.6", "8.4.7"),
    "postgres": ("14.20", "15.15", "16.10", "16.11", "17.6", "17.7", "18.1"),
}
_DEFAULT_MAJOR = {"mariadb": "11.8", "mysql": "8.4", "postgres": "17"}
LOG_TYPES = {
    "mariadb": ("audit", "error", "general", "slowquery"),
    "mysql": ("audit", "error", "general", "slowquery"),
    "postgres": ("postgresql", "upgrade"),
}
_CLASSES = tuple(
    f"db.{family}.{size}"
    for family, sizes in {
        "t3": ("micro", "small", "medium", "large"),
        "t4g": ("micro", "small", "medium", "large"),
        "m6g": ("large", "xlarge", "2xlarge"),
        "m6i": ("large", "xlarge", "2xlarge"),
        "m7g": ("large", "xlarge", "2xlarge"),
        "r6g": ("large", "xlarge", "2xlarge"),
        "r6i": ("large", "xlarge", "2xlarge"),
        "r7g": ("large", "xlarge", "2xlarge"),
    }.items()
    for size in sizes
)


def major_of(engine, version):
    """`10.11.13` -> `10.11` for MariaDB and MySQL; `16.10` -> `16` for PostgreSQL."""
    parts = version.split(".")
    return parts[0] if engine == "postgres" else ".".join(parts[:2])


def resolve(engine, wanted):
    """The full version that `wanted` (full, major, or None) means, or the error of RDS."""
    offered = VERSIONS.get(engine)
    if offered is None:
        return wanted
    wanted = wanted or _DEFAULT_MAJOR[engine]
    if wanted in offered:
        return wanted
    matching = [version for version in offered if major_of(engine, version) == wanted]
    if not matching:
        raise RDSClientError(
            "InvalidParameterCombination", f"Cannot find version {wanted} for {engine}"
        )
    return matching[-1]


def numbers(version):
    """`10.11.13` -> (10, 11, 13), to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def check_class(instance_class):
    """Raise the error of RDS for a class that does not exist."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    known = instance_class in _CLASSES or instance_class.removeprefix("db.") in INSTANCE_TYPES
    if not instance_class.startswith("db.") or not known:
        raise RDSClientError(
            "InvalidParameterValue", f"Invalid DB Instance class: {instance_class}"
        )


def _family(engine, version):
    return f"{engine}{major_of(engine, version)}"


def _engine_version(engine, version):
    offered = VERSIONS[engine]
    return {
        "Engine": engine,
        "EngineVersion": version,
        "MajorEngineVersion": major_of(engine, version),
        "DBParameterGroupFamily": _family(engine, version),
        "DBEngineDescription": engine,
        "DBEngineVersionDescription": f"{engine} {version}",
        "ValidUpgradeTarget": [
            {
                "Engine": engine,
                "EngineVersion": target,
                "Description": f"{engine} {target}",
                "AutoUpgrade": False,
                "IsMajorVersionUpgrade": major_of(engine, target) != major_of(engine, version),
            }
            for target in offered
            if numbers(target) > numbers(version)
        ],
        "ExportableLogTypes": list(LOG_TYPES[engine]),
        "SupportsLogExportsToCloudwatchLogs": True,
        "SupportsReadReplica": True,
        "Status": "available",
    }


def _describe_db_engine_versions(self):
    """Versions of the engines that are played, with the filters of RDS that matter."""
    engine, version = self.params.get("Engine"), self.params.get("EngineVersion")
    found = []
    for name in [engine] if engine in VERSIONS else ([] if engine else VERSIONS):
        if self.params.get("DefaultOnly"):
            major = major_of(name, version) if version else _DEFAULT_MAJOR[name]
            found.append(_engine_version(name, resolve(name, major)))
            continue
        for offered in VERSIONS[name]:
            if version in (None, offered, major_of(name, offered)):
                found.append(_engine_version(name, offered))
    return ActionResult({"DBEngineVersions": found})


def _describe_db_major_engine_versions(self):
    """Major versions; the dates at which their support ends are not played."""
    engine = self.params.get("Engine")
    found = [
        {"Engine": name, "MajorEngineVersion": major}
        for name, offered in VERSIONS.items()
        if engine in (None, name)
        for major in dict.fromkeys(major_of(name, version) for version in offered)
    ]
    return ActionResult({"DBMajorEngineVersions": found})


def _describe_orderable_db_instance_options(self):
    """Classes per engine version and storage type, in every zone of the region."""
    from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

    engine = self.params.get("Engine")
    version, wanted = self.params.get("EngineVersion"), self.params.get("DBInstanceClass")
    zones = [{"Name": zone.name} for zone in RegionsAndZonesBackend.zones.get(self.region, [])]
    versions = [resolve(engine, version)] if version else VERSIONS.get(engine, ())
    found = [
        {
            "Engine": engine,
            "EngineVersion": offered,
            "DBInstanceClass": instance_class,
            "LicenseModel": "general-public-license",
            "AvailabilityZones": zones,
            "MultiAZCapable": True,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": storage,
            "MinStorageSize": 20,
            "MaxStorageSize": 65536,
        }
        for offered in versions
        for instance_class in _CLASSES
        if wanted in (None, instance_class)
        for storage in ("gp2", "gp3", "io1")
    ]
    return ActionResult({"OrderableDBInstanceOptions": found})


RDSResponse.describe_db_engine_versions = _describe_db_engine_versions
RDSResponse.describe_db_major_engine_versions = _describe_db_major_engine_versions
RDSResponse.describe_orderable_db_instance_options = _describe_orderable_db_instance_options
