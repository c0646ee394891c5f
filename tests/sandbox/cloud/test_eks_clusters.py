"""Clusters: what is checked, what they leave in the VPC, what holds them back from going."""

from .testing import LONG, REGION, CloudTest, client, cloud


class Clusters(CloudTest):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")

    def test_a_cluster_comes_with_all_that_eks_shows(self):
        made = self.cluster(version="1.34", tags={"team": "web"})
        network = made["resourcesVpcConfig"]
        self.assertEqual(made["status"], "ACTIVE")
        self.assertEqual(made["version"], "1.34")
        self.assertEqual(made["tags"], {"team": "web"})
        self.assertEqual(made["accessConfig"], {"authenticationMode": "API"})
        self.assertEqual(made["upgradePolicy"], {"supportType": "EXTENDED"})
        self.assertEqual(made["kubernetesNetworkConfig"]["serviceIpv4Cidr"], "172.20.0.0/16")
        self.assertTrue(made["identity"]["oidc"]["issuer"].startswith(f"https://oidc.eks.{REGION}"))
        self.assertTrue(made["endpoint"].startswith("https://"))
        self.assertEqual(network["publicAccessCidrs"], ["0.0.0.0/0"])
        self.assertEqual(made["logging"]["clusterLogging"][0]["enabled"], False)

    def test_nothing_of_the_control_plane_is_shown_before_it_is_there(self):
        self.weather(create_seconds={"cluster": LONG})
        made = self.cluster()
        self.assertEqual(made["status"], "CREATING")
        self.assertNotIn("endpoint", made)
        self.assertNotIn("clusterSecurityGroupId", made["resourcesVpcConfig"])
        self.later()
        self.assertTrue(self.eks.describe_cluster(name="shop")["cluster"]["status"] == "ACTIVE")

    def test_the_cluster_security_group_is_a_real_one_and_goes_with_the_cluster(self):
        made = self.cluster()
        group_id = made["resourcesVpcConfig"]["clusterSecurityGroupId"]
        group = self.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
        self.assertRegex(group["GroupName"], r"^eks-cluster-sg-shop-\d+$")
        tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
        self.assertEqual(tags["kubernetes.io/cluster/shop"], "owned")
        self.assertEqual(tags["aws:eks:cluster-name"], "shop")
        pairs = group["IpPermissions"][0]["UserIdGroupPairs"]
        self.assertEqual(pairs[0]["GroupId"], group_id)
        self.eks.delete_cluster(name="shop")
        self.refused(
            "InvalidGroup.NotFound",
            group_id,
            self.ec2.describe_security_groups,
            GroupIds=[group_id],
        )

    def test_interfaces_of_the_control_plane_hold_the_subnets(self):
        made = self.cluster()
        wanted = [{"Name": "description", "Values": ["Amazon EKS shop"]}]
        found = self.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
        self.assertEqual(len(found), 2)
        self.assertTrue(all(eni["RequesterManaged"] for eni in found))
        self.assertEqual({eni["Status"] for eni in found}, {"in-use"})
        subnet_id = made["resourcesVpcConfig"]["subnetIds"][0]
        self.refused(
            "DependencyViolation", "has dependencies", self.ec2.delete_subnet, SubnetId=subnet_id
        )
        self.refused(
            "InvalidParameterValue",
            "in use",
            self.ec2.delete_network_interface,
            NetworkInterfaceId=found[0]["NetworkInterfaceId"],
        )
        self.eks.delete_cluster(name="shop")
        self.ec2.delete_subnet(SubnetId=subnet_id)

    def test_a_group_that_is_still_used_outlives_the_cluster(self):
        made = self.cluster()
        group_id = made["resourcesVpcConfig"]["clusterSecurityGroupId"]
        other = self.group(made["resourcesVpcConfig"]["vpcId"])
        self.ec2.authorize_security_group_ingress(
            GroupId=other,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 1,
                    "ToPort": 2,
                    "UserIdGroupPairs": [{"GroupId": group_id}],
                }
            ],
        )
        self.eks.delete_cluster(name="shop")
        found = self.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        self.assertEqual(len(found), 1)

    def test_roles_and_networks_that_eks_cannot_use_are_refused(self):
        vpc = self.vpc()
        subnets = self.subnets(vpc)
        good = self.role("good", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
        network = {"subnetIds": subnets}

        def refused(words, role=good, network=network, **more):
            self.refused(
                "InvalidParameterException",
                words,
                self.eks.create_cluster,
                name="c",
                roleArn=role,
                resourcesVpcConfig=network,
                **more,
            )

        refused("does not exist", role="arn:aws:iam::123456789012:role/nobody")
        refused("trusted entity", role=self.role("wrong", "ec2.amazonaws.com"))
        refused("Managed Policies", role=self.role("bare", "eks.amazonaws.com"))
        refused("two different AZs", network={"subnetIds": subnets[:1]})
        refused("subnet-nowhere", network={"subnetIds": ["subnet-nowhere"]})
        refused("sg-nowhere", network={"subnetIds": subnets, "securityGroupIds": ["sg-nowhere"]})
        refused("unsupported Kubernetes version", version="1.12")
        refused("extended support", version="1.32", upgradePolicy={"supportType": "STANDARD"})
        refused(
            "cannot be false",
            network={"subnetIds": subnets, "endpointPublicAccess": False},
        )
        self.assertEqual(self.eks.list_clusters()["clusters"], [])

    def test_a_new_role_is_believed_late(self):
        self.weather(role_delay_seconds=LONG)
        vpc = self.vpc()
        asked = {
            "name": "c",
            "roleArn": self.role("late", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
            "resourcesVpcConfig": {"subnetIds": self.subnets(vpc)},
        }
        self.refused(
            "InvalidParameterException", "does not exist", self.eks.create_cluster, **asked
        )

        self.later()
        self.eks.create_cluster(**asked)

    def test_a_zone_without_eks_is_refused(self):
        us = client("ec2", "us-east-1")
        zones = us.describe_availability_zones()["AvailabilityZones"]
        zone = next(zone["ZoneName"] for zone in zones if zone["ZoneId"] == "use1-az3")
        other = next(zone["ZoneName"] for zone in zones if zone["ZoneId"] != "use1-az3")
        vpc = us.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            us.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=name)[
                "Subnet"
            ]["SubnetId"]
            for i, name in enumerate((zone, other))
        ]
        self.refused(
            "UnsupportedAvailabilityZoneException",
            "does not currently have sufficient capacity",
            client("eks", "us-east-1").create_cluster,
            name="c",
            roleArn=self.role("r", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
            resourcesVpcConfig={"subnetIds": subnets},
        )

    def test_deletion_is_held_back_by_protection_and_node_groups(self):
        made = self.cluster(deletionProtection=True)
        self.refused("InvalidRequestException", "protection", self.eks.delete_cluster, name="shop")
        self.eks.update_cluster_config(name="shop", deletionProtection=False)
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=made["resourcesVpcConfig"]["subnetIds"],
            nodeRole=self.node_role(),
        )
        self.refused(
            "ResourceInUseException", "nodegroups attached", self.eks.delete_cluster, name="shop"
        )
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        self.eks.delete_cluster(name="shop")
        self.refused(
            "ResourceNotFoundException",
            "No cluster found for name: shop",
            self.eks.describe_cluster,
            name="shop",
        )

    def test_a_cluster_takes_its_time_to_go(self):
        self.cluster()
        self.weather(delete_seconds={"cluster": LONG})
        self.assertEqual(self.eks.delete_cluster(name="shop")["cluster"]["status"], "DELETING")
        self.later()
        self.assertTrue(not self.eks.list_clusters()["clusters"])

    def test_eks_makes_its_own_service_linked_role(self):
        self.cluster()
        found = cloud().ask("GET", "inventory")["global/iam/service_linked_roles"]
        self.assertEqual(found, ["AWSServiceRoleForAmazonEKS"])

    def test_the_same_token_makes_one_cluster(self):
        made = self.cluster(clientRequestToken="t")
        network = {"subnetIds": made["resourcesVpcConfig"]["subnetIds"]}
        again = self.eks.create_cluster(
            name="shop",
            roleArn=made["roleArn"],
            resourcesVpcConfig=network,
            accessConfig={"authenticationMode": "API"},
            bootstrapSelfManagedAddons=False,
            clientRequestToken="t",
        )
        self.assertEqual(again["cluster"]["arn"], made["arn"])
        self.refused(
            "ResourceInUseException",
            "already exists",
            self.eks.create_cluster,
            name="shop",
            roleArn=made["roleArn"],
            resourcesVpcConfig=network,
            clientRequestToken="another",
        )

    def test_the_log_group_appears_with_logging_and_comes_back_late(self):
        logs = client("logs")
        name = "/aws/eks/shop/cluster"

        def there():
            groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            return [group["logGroupName"] for group in groups] == [name]

        self.weather(late_log_writes=True)
        self.cluster(logging={"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]})
        self.assertTrue(there())
        self.eks.delete_cluster(name="shop")
        logs.delete_log_group(logGroupName=name)
        self.assertFalse(there())
        self.later()
        self.assertTrue(there())
        logs.delete_log_group(logGroupName=name)
        self.assertFalse(there())

    def test_versions_are_offered_with_their_dates(self):
        found = self.eks.describe_cluster_versions()["clusterVersions"]
        by_version = {entry["clusterVersion"]: entry for entry in found}
        self.assertEqual(sum(entry["defaultVersion"] for entry in found), 1)
        self.assertEqual(by_version["1.35"]["versionStatus"], "STANDARD_SUPPORT")
        self.assertEqual(by_version["1.32"]["versionStatus"], "EXTENDED_SUPPORT")
        self.assertEqual(by_version["1.34"]["endOfStandardSupportDate"].year, 2026)

    def test_everything_can_be_tagged_by_arn(self):
        cluster = self.cluster()
        addon = self.eks.create_addon(clusterName="shop", addonName="vpc-cni")["addon"]
        entry = self.eks.describe_access_entry(
            clusterName="shop",
            principalArn=self.eks.list_access_entries(clusterName="shop")["accessEntries"][0],
        )["accessEntry"]
        association = self.eks.create_pod_identity_association(
            clusterName="shop",
            namespace="a",
            serviceAccount="b",
            roleArn=self.role("pods", "pods.eks.amazonaws.com"),
        )["association"]
        arns = (
            cluster["arn"],
            addon["addonArn"],
            entry["accessEntryArn"],
            association["associationArn"],
        )
        for arn in arns:
            self.eks.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
            self.eks.untag_resource(resourceArn=arn, tagKeys=["a"])
            tags = self.eks.list_tags_for_resource(resourceArn=arn)["tags"]
            self.assertEqual(tags, {"b": "2"}, arn)
