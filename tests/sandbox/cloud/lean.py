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


class _Offerings:
    """Which instance types a region has, read when first asked for; moto reads all regions' at once."""

    def __init__(self, load, path):
        self._load = lambda: load(path)
        self._kind = path.split(os.sep)[-2]
        self._read = None
        # While moto is imported it goes through every list once, for nothing that we need.
        self._importing = True

    def done_importing(self):
        """From now on, whoever looks gets an answer."""
        self._importing = False

    def __iter__(self):
        if self._importing:
            return iter(())
        if self._read is None:
            self._read = [{**offer, "LocationType": self._kind} for offer in self._load()]
        return iter(self._read)


def _read_offerings_late():
    import moto.utilities.utils as utils

    load = utils.load_resource

    def load_resource(path):
        if "instance_type_offerings" in path:
            return _Offerings(load, path)
        return load(path)

    utils.load_resource = load_resource
    import moto.ec2.models.instance_types as instance_types

    utils.load_resource = load
    for regions in instance_types.INSTANCE_TYPE_OFFERINGS.values():
        for offerings in regions.values():
            offerings.done_importing()


def import_cloudformation():
    """Import moto's CloudFormation without the services that no stack here has resources of."""
    stand_ins = []
    for service in _NOT_FOR_STACKS:
        name = f"moto.{service}"
        if name in sys.modules:
            continue
        package = types.ModuleType(name)
        package.__path__ = []
        sys.modules[name] = package
        stand_ins.append(name)
        for part in ("models", "utils"):
            module = types.ModuleType(f"{name}.{part}")
            # Custom resources would ask for a Lambda function by way of this.
            module.get_backend = None
            setattr(package, part, module)
            sys.modules[f"{name}.{part}"] = module
            stand_ins.append(f"{name}.{part}")
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


def _pick_values_quickly():
    """moto works out anew, for every value of every answer, under which names it may be found."""
    import moto.core.serialize as serialize
    from moto.core.constants import MISSING

    original = serialize.ResponseSerializer.get_value

    def names_of(serializer, value, key, shape):
        known = shape.__dict__.setdefault("names_by_type", {})
        names = known.get((type(value), key))
        if names is None:
            context = serialize.AttributePickerContext(
                obj=value,
                key=key,
                shape=shape,
                operation_model=serializer.operation_model,
                service_model=serializer.operation_model.service_model,
            )
            picker = serializer._value_picker
            names = tuple(dict.fromkeys(picker.get_possible_keys(context)))
            known[(type(value), key)] = names
        return names

    def get_value(self, value, key, shape):
        if type(self._value_picker) is not serialize.XFormedAttributePicker:
            return original(self, value, key, shape)
        found = MISSING
        if hasattr(value, "__getitem__"):
            for name in names_of(self, value, key, shape):
                try:
                    found = value[name]
                    break
                except (KeyError, IndexError, TypeError, AttributeError):
                    continue
        else:
            for name in names_of(self, value, key, shape):
                found = getattr(value, name, MISSING)
                if found is not MISSING:
                    break
        found = None if found is MISSING else found
        transformers = self._value_picker.response_transformers
        if not transformers:
            return found
        ends = self.__dict__.get("transformed_keys")
        if ends is None:
            ends = self.transformed_keys = {path.rsplit(".", 1)[-1] for path in transformers}
        if key in ends:
            path = ".".join((*self.path, key))
            for wanted, transform in transformers.items():
                if path.endswith(wanted):
                    return transform(found)
        return found

    serialize.ResponseSerializer.get_value = get_value


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


class _Form(dict):
    """A form that knows under which names it has something."""

    def __init__(self, values):
        super().__init__(values.to_dict())
        self._branches = set()
        for name in self:
            while name not in self._branches:
                self._branches.add(name)
                name = name.rpartition(".")[0]

    def has(self, prefix):
        """Whether there is such a name, or one below it."""
        return prefix in self._branches


def _read_forms_quickly():
    """moto goes through the whole form for every structure that might be in it: a launch that may
    take any of two hundred offers takes a sixth of a second then.
    """
    from moto.core.parse import QueryParser

    read = QueryParser._do_parse

    def _do_parse(self, request_dict, shape):
        return read(self, {**request_dict, "values": _Form(request_dict["values"])}, shape)

    def _gonna_recurse(self, query_params, prefix):
        return prefix != "" and not query_params.has(prefix)

    QueryParser._do_parse = _do_parse
    QueryParser._gonna_recurse = _gonna_recurse


_know_regions_by_heart()
import moto.core.models  # noqa: F401

_cache_what_moto_works_out_anew()
_pick_values_quickly()
_read_forms_quickly()
_read_offerings_late()
_find_accounts_quickly()
