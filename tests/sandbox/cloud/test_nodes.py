"""What the cloud tells simulated kubelets, without any."""

import json
import time
import urllib.error

from .testing import LONG, CloudTest, client, cloud


class TestNodesView(CloudTest):
    """The instances of a cluster, as a kubelet on them would find out."""

    def setUp(self):
        super().setUp()
        self.eks = client("eks")
        self.shop = self.cluster()

    def group(self, size=2):
        """A node group."""
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=self.shop["resourcesVpcConfig"]["subnetIds"],
            nodeRole=self.node_role(),
            scalingConfig={"minSize": 1, "maxSize": 5, "desiredSize": size},
        )

    def told(self):
        """The instances."""
        return cloud().ask("GET", "nodes?cluster=shop")["instances"]

    def test_a_node_is_up_once_its_boot_is_over(self):
        self.weather(seconds={"boot": LONG})
        self.group()
        self.assertEqual([one["stage"] for one in self.told()], ["booting"] * 2)
        self.later()
        self.assertEqual([one["stage"] for one in self.told()], ["up"] * 2)

    def test_an_entry_for_an_earlier_role_of_the_name_lets_nobody_in(self):
        self.group(1)
        self.assertIsNone(self.told()[0]["refused"])
        arn = "arn:aws:iam::123456789012:role/nodes"
        self.eks.delete_access_entry(clusterName="shop", principalArn=arn)
        self.assertIn("no access entry", self.told()[0]["refused"])
        self.eks.create_access_entry(clusterName="shop", principalArn=arn)
        self.assertIn("STANDARD", self.told()[0]["refused"])

    def test_a_fault_strikes_as_many_as_it_is_to(self):
        cloud().ask("PUT", "nodes/faults", {"fault": "never-registers", "count": 1})
        self.group(3)
        self.assertEqual(sorted(one["stage"] for one in self.told()), ["booting", "up", "up"])

    def test_a_node_can_leave_an_interface_behind(self):
        cloud().ask("PUT", "nodes/faults", {"fault": "leaves-interface", "count": 1})
        self.group()
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        left = [
            one
            for one in self.ec2.describe_network_interfaces()["NetworkInterfaces"]
            if one["Description"].startswith("aws-K8S-")
        ]
        self.assertEqual([one["Status"] for one in left], ["available"])
        self.assertEqual(self.told(), [])

    def test_a_status_check_can_fail_and_a_retirement_be_scheduled(self):
        self.group(2)
        self.assertEqual(self.statuses("instance-status.status", "impaired"), [])
        faults = [
            {"fault": "impaired", "count": 1, "seconds": 300},
            {"fault": "retires", "count": 1},
        ]
        cloud().ask("PUT", "nodes/faults", faults)
        [impaired] = self.statuses("instance-status.status", "impaired")
        since = impaired["InstanceStatus"]["Details"][0]["ImpairedSince"]
        self.assertLess(since.timestamp(), time.time() - 250)
        [retiring] = self.statuses("event.code", "instance-retirement")
        self.assertEqual(len(self.statuses("instance-status.status", "ok")), 1)
        self.assertEqual(retiring["Events"][0]["Code"], "instance-retirement")

    def statuses(self, name, value):
        """What EC2 says of instances for which a filter holds."""
        filters = [{"Name": name, "Values": [value]}]
        return self.ec2.describe_instance_status(Filters=filters)["InstanceStatuses"]

    def test_what_is_not_known_is_refused(self):
        for path, body in (
            ("nodes/faults", {"fault": "burns"}),
            ("load", {"namespace": "default"}),
            ("pods", {"workload": "backend"}),
        ):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                cloud().ask("PUT", path, body)
            with caught.exception as answer:
                self.assertEqual(answer.code, 400)
                self.assertIn("error", json.load(answer))
