"""Kubernetes versions that EKS offers. The status of each is fixed, so that a run next year is the same."""

from .errors import bad_parameter
from .service import operation

DEFAULT_VERSION = "1.35"

# version -> (released, end of standard support, end of extended support, status)
VERSIONS = {
    "1.36": ("2026-06-10", "2027-08-10", "2028-08-10", "STANDARD_SUPPORT"),
    "1.35": ("2026-01-28", "2027-03-27", "2028-03-27", "STANDARD_SUPPORT"),
    "1.34": ("2025-10-02", "2026-12-02", "2027-12-02", "STANDARD_SUPPORT"),
    "1.33": ("2025-05-29", "2026-07-29", "2027-07-29", "EXTENDED_SUPPORT"),
    "1.32": ("2025-01-23", "2026-03-23", "2027-03-23", "EXTENDED_SUPPORT"),
    "1.31": ("2024-09-26", "2025-11-26", "2026-11-26", "EXTENDED_SUPPORT"),
}
_PATCH = {"1.36": "1.36.3", "1.35": "1.35.4", "1.34": "1.34.4", "1.33": "1.33.8", "1.32": "1.32.12"}


def minor(version):
    """`1.35` -> 35."""
    return int(version.split(".")[1])


def patch_of(version):
    """The patch release behind a minor version."""
    return _PATCH.get(version, f"{version}.14")


def check_offered(version):
    """Raise the error of EKS for a version that it does not offer."""
    if version not in VERSIONS:
        raise bad_parameter(f"unsupported Kubernetes version {version}")


def in_extended_support(version):
    """Whether a version has left standard support."""
    return VERSIONS[version][3] == "EXTENDED_SUPPORT"


@operation("DescribeClusterVersions")
def describe_cluster_versions(backend, asked, caller):
    """All versions, newest first, or those that were asked for."""
    wanted = asked.get("clusterVersions")
    status = asked.get("versionStatus") or asked.get("status")
    answer = []
    for version, (released, standard, extended, state) in VERSIONS.items():
        if wanted and version not in wanted:
            continue
        if asked.get("defaultOnly") and version != DEFAULT_VERSION:
            continue
        if status and status.upper() != state:
            continue
        answer.append(
            {
                "clusterVersion": version,
                "clusterType": "eks",
                "defaultPlatformVersion": "eks.10",
                "defaultVersion": version == DEFAULT_VERSION,
                "releaseDate": _seconds(released),
                "endOfStandardSupportDate": _seconds(standard),
                "endOfExtendedSupportDate": _seconds(extended),
                "status": state.lower().replace("_", "-"),
                "versionStatus": state,
                "kubernetesPatchVersion": patch_of(version),
            }
        )
    return {"clusterVersions": answer}


def _seconds(day):
    import calendar
    import time

    return calendar.timegm(time.strptime(day, "%Y-%m-%d"))
