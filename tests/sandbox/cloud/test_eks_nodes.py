"""Add-ons and node groups: their states, and the instances that come and go with a group."""

import base64

from .testing import LONG, CloudTest, client, tagged


class Nodes(CloudTest):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")

    def up(self, **more):
        """A cluster with a network and a node group."""
        made = self.cluster()
        self.network = made["resourcesVpcConfig"]
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        self.node_arn = self.node_role()
        asked = {"subnets": self.network["subnetIds"], "nodeRole": self.node_arn, **more}
        self.eks.create_nodegroup(clusterName="shop", nodegroupName="system", **asked)
        return self.described()

    def described(self):
        answer = self.eks.describe_nodegroup(clusterName="shop", nodegroupName="system")
        return answer["nodegroup"]

    def instances(self):
        wanted = [
            {"Name": "tag:eks:nodegroup-name", "Values": ["system"]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        found = self.ec2.describe_instances(Filters=wanted)["Reservations"]
        return [instance for entry in found for instance in entry["Instances"]]

    def addon(self, name):
        return self.eks.describe_addon(clusterName="shop", addonName=name)["addon"]

    def test_a_group_has_eks_s_defaults(self):
        group = self.up()
        self.assertEqual(group["status"], "ACTIVE")
        self.assertEqual(group["scalingConfig"], {"minSize": 1, "maxSize": 2, "desiredSize": 2})
        self.assertEqual(group["instanceTypes"], ["t3.medium"])
        self.assertEqual(group["amiType"], "AL2023_x86_64_STANDARD")
        self.assertEqual(group["diskSize"], 20)
        self.assertEqual(group["updateConfig"], {"maxUnavailable": 1})
        self.assertEqual(len(group["resources"]["autoScalingGroups"]), 1)

    def test_its_instances_are_real_and_marked(self):
        self.up(scalingConfig={"minSize": 1, "maxSize": 3, "desiredSize": 3})
        instances = self.instances()
        self.assertEqual(len(instances), 3)
        self.assertEqual({i["SubnetId"] for i in instances}, set(self.network["subnetIds"]))
        for instance in instances:
            tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            self.assertEqual(tags["eks:cluster-name"], "shop")
            self.assertEqual(tags["kubernetes.io/cluster/shop"], "owned")
            groups = [group["GroupId"] for group in instance["SecurityGroups"]]
            self.assertEqual(groups, [self.network["clusterSecurityGroupId"]])
            self.assertIn(":instance-profile/eks-", instance["IamInstanceProfile"]["Arn"])
        online = client("ssm").describe_instance_information()["InstanceInformationList"]
        self.assertEqual({entry["PingStatus"] for entry in online}, {"Online"})
        self.assertEqual(len(online), 3)

    def test_all_of_it_goes_with_the_group(self):
        self.up()
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        self.assertEqual(self.instances(), [])
        kinds = " ".join(self.inventory())
        for kind in ("instances", "launch_templates", "instance_profiles", "volumes"):
            self.assertNotIn(kind, kinds)

    def test_an_instance_holds_subnet_and_group_until_it_is_gone(self):
        self.up()
        self.weather(delete_seconds={"instance": LONG})
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        self.eks.delete_cluster(name="shop")
        subnet = self.network["subnetIds"][0]
        self.refused("DependencyViolation", "dependencies", self.ec2.delete_subnet, SubnetId=subnet)

        self.later()
        self.ec2.delete_subnet(SubnetId=subnet)

    def test_the_user_s_launch_template_is_honoured(self):
        cluster = self.cluster()
        network = cluster["resourcesVpcConfig"]
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        group = self.group(network["vpcId"])
        template = self.ec2.create_launch_template(
            LaunchTemplateName="lt",
            LaunchTemplateData={
                "InstanceType": "m5.large",
                "SecurityGroupIds": [group],
                "UserData": base64.b64encode(b"#!/bin/sh").decode(),
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 33}}],
                "TagSpecifications": tagged("instance", colour="blue"),
            },
        )["LaunchTemplate"]
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=network["subnetIds"],
            nodeRole=self.node_role(),
            launchTemplate={"name": "lt"},
        )
        described = self.described()["launchTemplate"]
        self.assertEqual(
            described, {"id": template["LaunchTemplateId"], "name": "lt", "version": "1"}
        )
        instance = self.instances()[0]
        self.assertEqual(instance["InstanceType"], "m5.large")
        self.assertEqual([g["GroupId"] for g in instance["SecurityGroups"]], [group])
        self.assertIn({"Key": "colour", "Value": "blue"}, instance["Tags"])
        volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        self.assertEqual(self.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"], 33)

    def test_templates_that_eks_cannot_use_are_refused(self):
        network = self.cluster()["resourcesVpcConfig"]
        asked = {
            "clusterName": "shop",
            "nodegroupName": "system",
            "subnets": network["subnetIds"],
            "nodeRole": self.node_role(),
            "launchTemplate": {"name": "lt"},
        }
        self.refused("InvalidRequestException", "not found", self.eks.create_nodegroup, **asked)
        self.ec2.create_launch_template(
            LaunchTemplateName="lt", LaunchTemplateData={"IamInstanceProfile": {"Name": "p"}}
        )
        self.refused(
            "InvalidRequestException", "instance profile", self.eks.create_nodegroup, **asked
        )
        self.refused(
            "InvalidParameterException",
            "Disk size",
            self.eks.create_nodegroup,
            **{**asked, "diskSize": 30},
        )

    def test_groups_that_cannot_be_are_refused(self):
        network = self.cluster()["resourcesVpcConfig"]
        good = {
            "clusterName": "shop",
            "nodegroupName": "system",
            "subnets": network["subnetIds"],
            "nodeRole": self.node_role(),
        }

        def refused(words, **changed):
            self.refused(
                "InvalidParameterException", words, self.eks.create_nodegroup, **{**good, **changed}
            )

        refused("does not exist", nodeRole="arn:aws:iam::123456789012:role/nobody")
        refused("ec2.amazonaws.com", nodeRole=self.role("wrong", "eks.amazonaws.com"))
        refused("do not exist", instanceTypes=["t3.colossal"])
        refused("max size", scalingConfig={"minSize": 1, "maxSize": 1, "desiredSize": 2})
        refused("newer than", version="1.36")
        refused("1.32 or earlier", amiType="AL2_x86_64")
        refused("subnet-nowhere", subnets=["subnet-nowhere"])

    def test_nodes_do_not_join_without_a_network(self):
        made = self.cluster()
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=made["resourcesVpcConfig"]["subnetIds"],
            nodeRole=self.node_role(),
        )
        group = self.described()
        self.assertEqual(group["status"], "CREATE_FAILED")
        self.assertEqual(group["health"]["issues"][0]["code"], "NodeCreationFailure")

    def test_a_group_without_capacity_says_so(self):
        self.weather(insufficient_capacity=["t3.medium"])
        group = self.up()
        self.assertEqual(group["status"], "CREATE_FAILED")
        self.assertEqual(group["health"]["issues"][0]["code"], "AsgInstanceLaunchFailures")
        self.assertIn("InsufficientInstanceCapacity", group["health"]["issues"][0]["message"])

    def test_settings_are_added_and_removed(self):
        self.up(labels={"a": "1", "b": "2"}, taints=[{"key": "k", "effect": "NO_SCHEDULE"}])
        update = self.eks.update_nodegroup_config(
            clusterName="shop",
            nodegroupName="system",
            labels={"addOrUpdateLabels": {"c": "3"}, "removeLabels": ["a"]},
            taints={
                "addOrUpdateTaints": [{"key": "l", "value": "v", "effect": "NO_EXECUTE"}],
                "removeTaints": [{"key": "k", "effect": "NO_SCHEDULE"}],
            },
            scalingConfig={"minSize": 3, "maxSize": 4},
            updateConfig={"maxUnavailablePercentage": 50},
        )["update"]
        answer = self.eks.describe_update(
            name="shop", nodegroupName="system", updateId=update["id"]
        )
        self.assertEqual(answer["update"]["status"], "Successful")
        group = self.described()
        self.assertEqual(group["labels"], {"b": "2", "c": "3"})
        self.assertEqual(group["taints"], [{"key": "l", "value": "v", "effect": "NO_EXECUTE"}])
        self.assertEqual(group["scalingConfig"], {"minSize": 3, "maxSize": 4, "desiredSize": 3})
        self.assertEqual(group["updateConfig"], {"maxUnavailablePercentage": 50})
        self.assertEqual(len(self.instances()), 3)

    def test_a_new_version_replaces_the_nodes_and_never_goes_back(self):
        self.up(version="1.34")
        before = {instance["InstanceId"] for instance in self.instances()}
        self.eks.update_nodegroup_version(clusterName="shop", nodegroupName="system")
        group = self.described()
        self.assertEqual(group["version"], "1.35")
        self.assertTrue(group["releaseVersion"].startswith("1.35."))
        after = {instance["InstanceId"] for instance in self.instances()}
        self.assertEqual(len(after), 2)
        self.assertFalse(before & after)
        self.refused(
            "InvalidParameterException",
            "downgraded",
            self.eks.update_nodegroup_version,
            clusterName="shop",
            nodegroupName="system",
            version="1.34",
        )

    def test_one_update_of_a_group_at_a_time(self):
        self.up()
        self.weather(seconds={"update": LONG})
        asked = {"clusterName": "shop", "nodegroupName": "system"}
        self.eks.update_nodegroup_config(**asked, labels={"addOrUpdateLabels": {"a": "b"}})
        self.assertEqual(self.described()["status"], "UPDATING")
        self.refused(
            "ResourceInUseException",
            "in progress",
            self.eks.update_nodegroup_config,
            **asked,
            scalingConfig={"maxSize": 5},
        )

    def test_what_needs_nodes_is_degraded_until_there_are_some(self):
        self.cluster()
        self.eks.create_addon(clusterName="shop", addonName="coredns")
        self.eks.create_addon(clusterName="shop", addonName="kube-proxy")
        self.assertEqual(self.addon("kube-proxy")["status"], "ACTIVE")
        waiting = self.addon("coredns")
        self.assertEqual(waiting["status"], "DEGRADED")
        self.assertEqual(waiting["health"]["issues"][0]["code"], "InsufficientNumberOfReplicas")
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        subnets = self.eks.describe_cluster(name="shop")["cluster"]["resourcesVpcConfig"][
            "subnetIds"
        ]
        self.eks.create_nodegroup(
            clusterName="shop", nodegroupName="system", subnets=subnets, nodeRole=self.node_role()
        )
        self.assertEqual(self.addon("coredns")["status"], "ACTIVE")
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        self.assertEqual(self.addon("coredns")["status"], "DEGRADED")

    def test_an_add_on_lives_from_create_to_delete(self):
        self.cluster()
        self.weather(seconds={"addon": LONG})
        made = self.eks.create_addon(
            clusterName="shop",
            addonName="vpc-cni",
            addonVersion="v1.20.4-eksbuild.2",
            configurationValues='{"env": {"A": "b"}}',
            tags={"a": "b"},
        )["addon"]
        self.assertEqual(made["status"], "CREATING")
        self.later()
        self.assertTrue(self.addon("vpc-cni")["status"] == "ACTIVE")
        self.assertEqual(self.addon("vpc-cni")["configurationValues"], '{"env": {"A": "b"}}')
        update = self.eks.update_addon(
            clusterName="shop",
            addonName="vpc-cni",
            addonVersion="v1.21.1-eksbuild.3",
            resolveConflicts="OVERWRITE",
        )["update"]
        self.assertEqual(update["type"], "AddonUpdate")
        self.assertEqual(self.addon("vpc-cni")["status"], "UPDATING")
        self.later()
        self.assertTrue(self.addon("vpc-cni")["status"] == "ACTIVE")
        self.assertEqual(self.addon("vpc-cni")["addonVersion"], "v1.21.1-eksbuild.3")
        self.eks.delete_addon(clusterName="shop", addonName="vpc-cni")
        self.assertEqual(self.addon("vpc-cni")["status"], "DELETING")
        self.later()
        self.assertTrue(not self.eks.list_addons(clusterName="shop")["addons"])

    def test_add_ons_that_cannot_be_are_refused(self):
        self.cluster()
        bad = "InvalidParameterException"
        create = self.eks.create_addon
        self.refused(bad, "not supported", create, clusterName="shop", addonName="no-such")
        self.refused(
            bad, "version", create, clusterName="shop", addonName="coredns", addonVersion="v0.0.1"
        )
        self.refused(
            bad,
            "JSON",
            create,
            clusterName="shop",
            addonName="coredns",
            configurationValues="{oops",
        )
        create(clusterName="shop", addonName="vpc-cni", addonVersion="v1.19.6-eksbuild.1")
        self.refused(
            "ResourceInUseException",
            "already exists",
            create,
            clusterName="shop",
            addonName="vpc-cni",
        )
        self.refused(
            bad,
            "1 minor version",
            self.eks.update_addon,
            clusterName="shop",
            addonName="vpc-cni",
            addonVersion="v1.21.1-eksbuild.3",
        )

    def test_an_add_on_conflicts_with_what_a_cluster_came_with(self):
        self.cluster(bootstrapSelfManagedAddons=True)
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        self.assertEqual(self.addon("vpc-cni")["status"], "CREATE_FAILED")
        self.eks.delete_addon(clusterName="shop", addonName="vpc-cni")
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni", resolveConflicts="OVERWRITE")
        self.assertEqual(self.addon("vpc-cni")["status"], "ACTIVE")

    def test_versions_of_add_ons_say_what_they_go_with(self):
        answer = self.eks.describe_addon_versions(kubernetesVersion="1.35", addonName="coredns")
        versions = answer["addons"][0]["addonVersions"]
        defaults = [v for v in versions if v["compatibilities"][0]["defaultVersion"]]
        self.assertEqual(len(defaults), 1)
        names = {entry["addonName"] for entry in self.eks.describe_addon_versions()["addons"]}
        self.assertLessEqual({"vpc-cni", "kube-proxy", "coredns", "metrics-server"}, names)
