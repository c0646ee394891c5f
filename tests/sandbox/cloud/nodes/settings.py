"""What a test has set for nodes and pods: faults, rules for pods, load. Forgotten by `reset`."""

FAULTS = (
    "never-registers",
    "never-ready",
    "goes-silent",
    "boots-slowly",
    "leaves-interface",
    "impaired",
    "retires",
)
_MATCH = ("instance", "nodegroup", "type", "zone", "lifecycle", "tags")
_RULE = ("namespace", "workload", "image", "fail", "readySeconds", "holdSeconds", "runSeconds")
_FAILURES = ("image", "crash", "never-ready")
_LOAD = (
    "namespace",
    "workload",
    "cpuTotal",
    "cpuPerReplica",
    "memoryTotal",
    "memoryPerReplica",
)
_WORKLOADS = ("deployment", "statefulset", "daemonset", "job", "replicaset", "pod")


class BadSetting(ValueError):
    """A setting that nodes or pods do not know how to play."""


class Fault:
    """One way in which nodes misbehave, for the instances that match, or the first few of them."""

    def __init__(self, asked):
        _known(asked, ("fault", "match", "count", "seconds"), "a fault")
        if asked.get("fault") not in FAULTS:
            raise BadSetting(f"unknown fault `{asked.get('fault')}`; there is {', '.join(FAULTS)}")
        self.kind = asked["fault"]
        self.match = dict(asked.get("match", {}))
        _known(self.match, _MATCH, "`match`")
        self.count = asked.get("count")
        self.seconds = float(asked.get("seconds", 0))
        self.taken = set()

    def as_dict(self):
        """The fault as it was asked for, and whom it has struck."""
        return {
            "fault": self.kind,
            "match": self.match,
            "count": self.count,
            "seconds": self.seconds,
            "struck": sorted(self.taken),
        }

    def strikes(self, member):
        """Whether it is this instance's; an instance that it struck once stays struck."""
        name = member["id"]
        if name in self.taken:
            return True
        if self.count is not None and len(self.taken) >= self.count:
            return False
        for key, wanted in self.match.items():
            if key == "tags":
                if any(member["tags"].get(tag) != value for tag, value in wanted.items()):
                    return False
            elif member["id" if key == "instance" else key] != wanted:
                return False
        self.taken.add(name)
        return True


class Settings:
    """All of them, with a version that grows with every change."""

    def __init__(self):
        self.version = 0
        self.clear()

    def clear(self):
        """Nothing set."""
        self.version += 1
        self.faults = []
        self.rules = []
        # (namespace, workload) -> load
        self.load = {}

    def set_faults(self, asked):
        """These faults and no others."""
        self.faults = [Fault(entry) for entry in _list(asked)]
        self.version += 1

    def set_rules(self, asked):
        """These rules for pods and no others; the first that matches counts."""
        for rule in _list(asked):
            _known(rule, _RULE, "a rule for pods")
            if rule.get("fail") not in (None, *_FAILURES):
                raise BadSetting(f"`fail` is one of {', '.join(_FAILURES)}")
            if "workload" in rule:
                _check_workload(rule["workload"])
        self.rules = _list(asked)
        self.version += 1

    def set_load(self, asked):
        """Load of these workloads; that of others stays."""
        for entry in _list(asked):
            _known(entry, _LOAD, "a load")
            if "namespace" not in entry or "workload" not in entry:
                raise BadSetting("a load has a `namespace` and a `workload`")
            _check_workload(entry["workload"])
        for entry in _list(asked):
            self.load[(entry["namespace"], entry["workload"])] = entry
        self.version += 1

    def clear_load(self):
        """No load."""
        self.load = {}
        self.version += 1


def _list(asked):
    entries = asked if isinstance(asked, list) else [asked]
    if not all(isinstance(entry, dict) for entry in entries):
        raise BadSetting("a JSON object, or a list of them")
    return entries


def _known(asked, names, what):
    if not isinstance(asked, dict):
        raise BadSetting(f"{what} is a JSON object")
    unknown = sorted(set(asked) - set(names))
    if unknown:
        raise BadSetting(f"unknown `{unknown[0]}` in {what}; there is {', '.join(names)}")


def _check_workload(workload):
    kind, _, name = str(workload).partition("/")
    if kind not in _WORKLOADS or not name:
        raise BadSetting(f"a workload is `KIND/NAME` with one of {', '.join(_WORKLOADS)}")


SETTINGS = Settings()
