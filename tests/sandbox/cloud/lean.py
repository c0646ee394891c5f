"""Importing moto in a fraction of the time, and answering each call in a fraction of the time.

Must be imported before anything of moto. Nothing here changes what a call answers.
"""

import functools
import importlib
import json
import os
import sys
import types

# moto reads these when it is imported.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "sandbox")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "sandbox")
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

# CloudFormation of moto imports every service it has a resource of. These it can do without; some
# want packages that are not installed.
_NOT_FOR_STACKS = (
    "apigateway",
    "awslambda",
    "batch",
    "cloudwatch",
    "datapipeline",
    "dynamodb",
    "ecr",
    "ecs",
    "efs",
    "emr",
    "iot",
    "kinesis",
    "redshift",
    "route53",
    "sagemaker",
    "stepfunctions",
)


def _know_regions_by_heart():
    """boto3 reads megabytes of models to list regions; the partitions file is enough for us."""
    import boto3.session
    import botocore

    path = os.path.join(os.path.dirname(botocore.__file__), "data", "partitions.json")
    with open(path, encoding="utf-8") as file:
        partitions = json.load(file)["partitions"]
    regions = {
        partition["id"]: sorted(name for name in partition["regions"] if "-global" not in name)
        for partition in partitions
    }

    def get_available_regions(self, service, partition_name="aws", allow_non_regional=False):
        return list(regions.get(partition_name, []))

    def get_available_partitions(self):
        return list(regions)

    boto3.session.Session.get_available_regions = get_available_regions
    boto3.session.Session.get_available_partitions = get_available_partitions


def import_cloudformation():
    """Import moto's CloudFormation without the services that no stack here has resources of."""
    stand_ins = []
    for service in _NOT_FOR_STACKS:
        name = f"moto.{service}"
        if name in sys.modules:
            continue
        package = types.ModuleType(name)
        package.__path__ = []
        models = types.ModuleType(f"{name}.models")
        package.models = models
        sys.modules[name] = package
        sys.modules[f"{name}.models"] = models
        stand_ins += [name, f"{name}.models"]
    try:
        return importlib.import_module("moto.cloudformation.responses")
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def _cache_what_moto_works_out_anew():
    """Facts about moto's own classes and models, which moto looks up again on every call."""
    import moto.core.errors as errors
    import moto.core.responses as responses
    import moto.core.utils as utils

    responses.method_names_from_class = functools.cache(
        lambda owner: frozenset(utils.method_names_from_class(owner))
    )
    names = functools.cache(utils.camelcase_to_underscores)
    utils.camelcase_to_underscores = names
    responses.camelcase_to_underscores = names

    factory = errors.ErrorLookupFactory()
    errors.ErrorLookupFactory = lambda: factory


def _find_accounts_quickly():
    """Which account an access key belongs to, without making up every partition of every account."""
    import moto.core.responses  # noqa: F401
    import moto.iam.models as iam

    def get_account_id_from(access_key):
        for account_id, account in list(iam.iam_backends.items()):
            for backend in list(account.values()):
                if access_key in backend.access_keys:
                    return account_id
        return iam.DEFAULT_ACCOUNT_ID

    iam.get_account_id_from = get_account_id_from


_know_regions_by_heart()
import moto.core.models  # noqa: E402, F401

_cache_what_moto_works_out_anew()
_find_accounts_quickly()
