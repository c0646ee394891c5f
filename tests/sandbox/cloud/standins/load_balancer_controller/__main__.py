"""Starts the stand-in with the arguments of the real controller; those that it does not play it ignores."""

import argparse
import os
import signal
import sys
import threading

import boto3
from botocore.config import Config

from . import webhooks
from .api import Api, Watched, say
from .controller import KINDS, Controller
from .leader import Leader


def main():
    """Webhooks and health at once, the work once this replica leads."""
    settings = _settings()
    say("this is a stand-in for the AWS Load Balancer Controller v3.5 of the local cloud")
    api, changed = Api(), threading.Event()
    watched = {kind: Watched(api, path, changed) for kind, path in KINDS.items()}
    webhooks.serve(watched)
    leader = Leader(api, os.environ.get("HOSTNAME", str(os.getpid())))

    def end(*_):
        leader.release()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    ec2, elb = (_client(service, settings) for service in ("ec2", "elbv2"))
    threading.Thread(
        target=_work, args=(leader, api, watched, changed, ec2, elb, settings), daemon=True
    ).start()
    leader.lost.wait()
    say("leader election lost")
    os._exit(1)


def _work(leader, api, watched, changed, ec2, elb, settings):
    leader.wait()
    say("became the leader")
    Controller(api, watched, changed, ec2, elb, settings).run()


def _client(service, settings):
    return boto3.client(
        service, region_name=settings.region, config=Config(retries={"max_attempts": 10})
    )


def _settings():
    parser = argparse.ArgumentParser(prog="controller", allow_abbrev=False)
    parser.add_argument("--cluster-name", dest="cluster")
    parser.add_argument("--ingress-class", default="alb")
    parser.add_argument("--aws-region", dest="region")
    parser.add_argument("--aws-vpc-id", dest="vpc")
    parser.add_argument("--default-target-type", dest="target_type", default="instance")
    parser.add_argument("--default-load-balancer-scheme", dest="scheme", default="internal")
    parser.add_argument("--default-tags", default="")
    settings, _ = parser.parse_known_args()
    if not settings.cluster:
        sys.exit("unable to load controller config: cluster name must be specified")
    for name, words in (("region", "AWS region"), ("vpc", "VPC ID")):
        if not getattr(settings, name):
            sys.exit(
                f"unable to initialize AWS cloud: failed to get {words}: failed to fetch it from "
                "instance metadata: the pod is more than one hop away"
            )
    pairs = (text.partition("=") for text in settings.default_tags.split(",") if "=" in text)
    settings.tags = {key: value for key, _, value in pairs}
    return settings


main()
