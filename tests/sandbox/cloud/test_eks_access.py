"""Access entries, their policies, and pod identity associations."""

from .testing import LONG, CloudTest, client

ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
ME = "arn:aws:iam::123456789012:user/sandbox"


class AccessEntries(CloudTest):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")

    def create(self, arn, **more):
        return self.eks.create_access_entry(clusterName="shop", principalArn=arn, **more)

    def test_the_creator_is_admin_unless_told_otherwise(self):
        self.cluster()
        self.assertEqual(self.eks.list_access_entries(clusterName="shop")["accessEntries"], [ME])
        policies = self.eks.list_associated_access_policies(clusterName="shop", principalArn=ME)
        self.assertEqual(policies["associatedAccessPolicies"][0]["policyArn"], ADMIN)
        self.eks.delete_cluster(name="shop")

    def test_no_entry_for_a_creator_who_wants_none(self):
        self.cluster(
            accessConfig={
                "authenticationMode": "API",
                "bootstrapClusterCreatorAdminPermissions": False,
            }
        )
        self.assertEqual(self.eks.list_access_entries(clusterName="shop")["accessEntries"], [])

    def test_an_entry_lives_from_create_to_delete(self):
        self.cluster()
        arn = self.role("dev", "ec2.amazonaws.com")
        made = self.create(arn, kubernetesGroups=["devs"], tags={"a": "b"})["accessEntry"]
        self.assertEqual(made["type"], "STANDARD")
        self.assertEqual(made["kubernetesGroups"], ["devs"])
        self.assertEqual(
            made["username"], "arn:aws:sts::123456789012:assumed-role/dev/{{SessionName}}"
        )
        self.refused("ResourceInUseException", "already in use", self.create, arn)
        self.eks.update_access_entry(clusterName="shop", principalArn=arn, kubernetesGroups=["ops"])
        entry = self.eks.describe_access_entry(clusterName="shop", principalArn=arn)["accessEntry"]
        self.assertEqual((entry["kubernetesGroups"], entry["tags"]), (["ops"], {"a": "b"}))
        self.eks.delete_access_entry(clusterName="shop", principalArn=arn)
        self.refused(
            "ResourceNotFoundException",
            "principalArn could not be found",
            self.eks.describe_access_entry,
            clusterName="shop",
            principalArn=arn,
        )

    def test_policies_are_associated_rescoped_and_taken_away(self):
        self.cluster()
        arn = self.role("dev", "ec2.amazonaws.com")
        self.create(arn)
        who = {"clusterName": "shop", "principalArn": arn, "policyArn": VIEW}
        self.eks.associate_access_policy(**who, accessScope={"type": "cluster"})
        scope = {"type": "namespace", "namespaces": ["a"]}
        self.eks.associate_access_policy(**who, accessScope=scope)
        found = self.eks.list_associated_access_policies(clusterName="shop", principalArn=arn)
        self.assertEqual(found["associatedAccessPolicies"][0]["accessScope"], scope)
        listed = self.eks.list_access_entries(clusterName="shop", associatedPolicyArn=VIEW)
        self.assertEqual(listed["accessEntries"], [arn])
        self.eks.disassociate_access_policy(**who)
        found = self.eks.list_associated_access_policies(clusterName="shop", principalArn=arn)
        self.assertEqual(found["associatedAccessPolicies"], [])

    def test_what_eks_refuses(self):
        self.cluster()
        arn = self.role("dev", "ec2.amazonaws.com")
        bad = "InvalidParameterException"
        self.refused(
            bad, "cannot start with system:", self.create, arn, kubernetesGroups=["system:masters"]
        )
        self.refused(bad, "EC2_LINUX", self.create, arn, type="EC2_LINUX", kubernetesGroups=["g"])
        self.refused(bad, "invalid principal", self.create, "arn:aws:iam::123456789012:role/nobody")
        linked = (
            "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX"
        )
        self.refused(bad, "Service Linked Role", self.create, linked)
        self.create(arn, type="EC2_LINUX")
        self.refused(
            "InvalidRequestException",
            "EC2_LINUX",
            self.eks.associate_access_policy,
            clusterName="shop",
            principalArn=arn,
            policyArn=VIEW,
            accessScope={"type": "cluster"},
        )
        self.refused(
            bad,
            "policyArn",
            self.eks.associate_access_policy,
            clusterName="shop",
            principalArn=ME,
            policyArn="arn:aws:eks::aws:cluster-access-policy/Nothing",
            accessScope={"type": "cluster"},
        )

    def test_a_new_principal_is_believed_late(self):
        self.cluster()
        self.weather(role_delay_seconds=LONG)
        arn = self.role("dev", "ec2.amazonaws.com")
        self.refused("InvalidParameterException", "invalid principal", self.create, arn)

        self.later()
        self.create(arn)

    def test_without_the_api_there_are_no_entries(self):
        self.cluster(accessConfig={"authenticationMode": "CONFIG_MAP"})
        self.refused(
            "InvalidRequestException",
            "authentication mode",
            self.eks.list_access_entries,
            clusterName="shop",
        )

    def test_a_node_group_brings_the_entry_of_its_role_and_takes_it_away(self):
        made = self.cluster()
        role = self.node_role()
        self.eks.create_addon(clusterName="shop", addonName="vpc-cni")
        self.eks.create_nodegroup(
            clusterName="shop",
            nodegroupName="system",
            subnets=made["resourcesVpcConfig"]["subnetIds"],
            nodeRole=role,
        )
        entry = self.eks.describe_access_entry(clusterName="shop", principalArn=role)["accessEntry"]
        self.assertEqual(
            (entry["type"], entry["kubernetesGroups"]), ("EC2_LINUX", ["system:nodes"])
        )
        self.eks.delete_nodegroup(clusterName="shop", nodegroupName="system")
        self.assertEqual(self.eks.list_access_entries(clusterName="shop")["accessEntries"], [ME])


class PodIdentity(CloudTest):
    def setUp(self):
        super().setUp()
        self.eks = client("eks")
        self.cluster()
        self.arn = self.role("pods", "pods.eks.amazonaws.com")

    def create(self, **more):
        asked = {"namespace": "web", "serviceAccount": "front", "roleArn": self.arn, **more}
        return self.eks.create_pod_identity_association(clusterName="shop", **asked)["association"]

    def test_an_association_lives_from_create_to_delete(self):
        made = self.create(tags={"a": "b"})
        named = {"clusterName": "shop", "associationId": made["associationId"]}
        other = self.role("other", "pods.eks.amazonaws.com")
        self.eks.update_pod_identity_association(**named, roleArn=other)
        found = self.eks.describe_pod_identity_association(**named)["association"]
        self.assertEqual((found["roleArn"], found["tags"]), (other, {"a": "b"}))
        listed = self.eks.list_pod_identity_associations(clusterName="shop", namespace="web")
        self.assertEqual(len(listed["associations"]), 1)
        listed = self.eks.list_pod_identity_associations(clusterName="shop", namespace="elsewhere")
        self.assertEqual(listed["associations"], [])
        self.eks.delete_pod_identity_association(**named)
        self.refused(
            "ResourceNotFoundException",
            made["associationId"],
            self.eks.describe_pod_identity_association,
            **named,
        )

    def test_one_role_per_service_account(self):
        self.create()
        with self.assertRaises(self.eks.exceptions.ResourceInUseException):
            self.create(clientRequestToken="another")

    def test_the_same_token_makes_one_association(self):
        first, second = self.create(clientRequestToken="t"), self.create(clientRequestToken="t")
        self.assertEqual(first["associationId"], second["associationId"])

    def test_a_role_must_be_there_and_trust_pods(self):
        for words, arn in (
            ("does not exist", "arn:aws:iam::123456789012:role/nobody"),
            ("Trust policy", self.role("wrong", "ec2.amazonaws.com")),
        ):
            self.refused(
                "InvalidParameterException",
                words,
                self.eks.create_pod_identity_association,
                clusterName="shop",
                namespace="a",
                serviceAccount="b",
                roleArn=arn,
            )
