"""RDS: moto's, mended. Importing this package mends everything; each module says what."""

from . import changes, instances, subnet_groups, versions  # noqa: F401
