"""Updates of clusters: one at a time, one kind per call, one minor version at a time."""

from .testing import LONG, CloudTest, client


class ClusterUpdates(CloudTest):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")

    def described(self):
        return self.eks.describe_cluster(name="shop")["cluster"]

    def status_of(self, update):
        return self.eks.describe_update(name="shop", updateId=update["id"])["update"]["status"]

    def refused_update(self, words, **asked):
        self.refused(
            "InvalidParameterException", words, self.eks.update_cluster_config, name="shop", **asked
        )

    def test_versions_go_up_one_minor_at_a_time_and_never_down(self):
        self.cluster(version="1.33")
        for wanted, words in (
            ("1.35", "from 1.33 to 1.35"),
            ("1.32", "from 1.33 to 1.32"),
            ("1.33", "already at version"),
            ("2.0", "unsupported"),
        ):
            self.refused(
                "InvalidParameterException",
                words,
                self.eks.update_cluster_version,
                name="shop",
                version=wanted,
            )
        update = self.eks.update_cluster_version(name="shop", version="1.34")["update"]
        self.assertEqual((update["type"], update["status"]), ("VersionUpdate", "InProgress"))
        self.assertEqual(self.status_of(update), "Successful")
        self.assertEqual(self.described()["version"], "1.34")

    def test_node_groups_must_have_the_cluster_s_version_first(self):
        made = self.cluster(version="1.33")
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=made["resourcesVpcConfig"]["subnetIds"],
            nodeRole=self.node_role(),
            version="1.32",
        )
        self.refused(
            "InvalidRequestException",
            "must be updated to match cluster version",
            self.eks.update_cluster_version,
            name="shop",
            version="1.34",
        )

    def test_one_update_at_a_time(self):
        self.cluster(version="1.33")
        self.weather(seconds={"update": LONG})
        update = self.eks.update_cluster_version(name="shop", version="1.34")["update"]
        self.assertEqual(self.described()["status"], "UPDATING")
        self.refused(
            "ResourceInUseException",
            update["id"],
            self.eks.update_cluster_config,
            name="shop",
            deletionProtection=True,
        )
        self.refused("ResourceInUseException", "in progress", self.eks.delete_cluster, name="shop")
        self.later()
        self.assertTrue(self.status_of(update) == "Successful")
        self.assertEqual(self.described()["status"], "ACTIVE")
        self.assertEqual(self.eks.list_updates(name="shop")["updateIds"], [update["id"]])

    def test_one_kind_of_change_per_call(self):
        self.cluster()
        self.refused_update(
            "Only one type of update",
            deletionProtection=True,
            upgradePolicy={"supportType": "STANDARD"},
        )
        self.refused_update(
            "Only one type of update",
            resourcesVpcConfig={"endpointPrivateAccess": True, "securityGroupIds": []},
        )

    def test_what_is_so_already_is_refused(self):
        self.cluster()
        self.refused_update("No changes needed", deletionProtection=False)
        self.refused_update(
            "already at the desired configuration",
            resourcesVpcConfig={"endpointPublicAccess": True},
        )
        self.refused_update(
            "No changes needed for the logging config",
            logging={"clusterLogging": [{"types": ["api"], "enabled": False}]},
        )

    def test_every_kind_of_setting_is_changed_and_read_back(self):
        made = self.cluster(accessConfig={"authenticationMode": "CONFIG_MAP"})
        network = made["resourcesVpcConfig"]
        group = self.group(network["vpcId"])
        for asked in (
            {
                "resourcesVpcConfig": {
                    "endpointPrivateAccess": True,
                    "publicAccessCidrs": ["203.0.113.0/24"],
                }
            },
            {"resourcesVpcConfig": {"securityGroupIds": [group]}},
            {"logging": {"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]}},
            {"accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"}},
            {"upgradePolicy": {"supportType": "STANDARD"}},
            {"deletionProtection": True},
            {"zonalShiftConfig": {"enabled": True}},
        ):
            update = self.eks.update_cluster_config(name="shop", **asked)["update"]
            self.assertEqual(self.status_of(update), "Successful", asked)
        now = self.described()
        self.assertEqual(now["resourcesVpcConfig"]["publicAccessCidrs"], ["203.0.113.0/24"])
        self.assertTrue(now["resourcesVpcConfig"]["endpointPrivateAccess"])
        self.assertEqual(now["resourcesVpcConfig"]["securityGroupIds"], [group])
        self.assertEqual(
            now["logging"]["clusterLogging"][0], {"types": ["api", "audit"], "enabled": True}
        )
        self.assertEqual(now["accessConfig"]["authenticationMode"], "API_AND_CONFIG_MAP")
        self.assertEqual(now["upgradePolicy"], {"supportType": "STANDARD"})
        self.assertTrue(now["deletionProtection"])
        self.assertTrue(now["zonalShiftConfig"]["enabled"])
        wanted = [{"Name": "group-id", "Values": [group]}]
        self.assertEqual(
            len(self.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]), 2
        )

    def test_authentication_goes_toward_the_api_only(self):
        self.cluster()
        self.refused_update(
            "from API to CONFIG_MAP", accessConfig={"authenticationMode": "CONFIG_MAP"}
        )

    def test_encryption_is_added_once(self):
        self.cluster()
        asked = {
            "clusterName": "shop",
            "encryptionConfig": [
                {"resources": ["secrets"], "provider": {"keyArn": "arn:aws:kms:eu-west-1:1:key/k"}}
            ],
        }
        self.eks.associate_encryption_config(**asked)
        self.assertEqual(self.described()["encryptionConfig"], asked["encryptionConfig"])
        self.refused(
            "InvalidParameterException",
            "already enabled",
            self.eks.associate_encryption_config,
            **asked,
        )

    def test_the_same_token_makes_one_update(self):
        self.cluster(version="1.33")
        asked = {"name": "shop", "version": "1.34", "clientRequestToken": "t"}
        first = self.eks.update_cluster_version(**asked)["update"]
        second = self.eks.update_cluster_version(**asked)["update"]
        self.assertEqual(first["id"], second["id"])
