"""Databases: checks, states, the secret, changes that wait, and what holds what."""

import json

from .testing import LONG, CloudTest, client, tags

BAD = "InvalidParameterCombination"


class Databases(CloudTest):
    def setUp(self):
        super().setUp()
        self.rds = client("rds")
        self.vpc_id = self.vpc()
        self.subnet_ids = self.subnets(self.vpc_id)
        self.group_id = self.group(self.vpc_id)

    def subnet_group(self):
        self.rds.create_db_subnet_group(
            DBSubnetGroupName="group", DBSubnetGroupDescription="d", SubnetIds=self.subnet_ids
        )

    def asked(self, **more):
        return {
            "DBInstanceIdentifier": "db",
            "DBInstanceClass": "db.t3.small",
            "Engine": "mariadb",
            "EngineVersion": "10.11",
            "AllocatedStorage": 20,
            "MasterUsername": "admin",
            "ManageMasterUserPassword": True,
            "DBSubnetGroupName": "group",
            "VpcSecurityGroupIds": [self.group_id],
            "StorageEncrypted": True,
            **more,
        }

    def create(self, **more):
        self.subnet_group()
        self.rds.create_db_instance(**self.asked(**more))
        return self.described()

    def described(self):
        return self.rds.describe_db_instances(DBInstanceIdentifier="db")["DBInstances"][0]

    def modify(self, **asked):
        return self.rds.modify_db_instance(DBInstanceIdentifier="db", **asked)["DBInstance"]

    def test_a_database_comes_with_what_rds_shows(self):
        made = self.create(Tags=tags(a="b"), BackupRetentionPeriod=7)
        self.assertEqual(made["DBInstanceStatus"], "available")
        self.assertEqual(made["EngineVersion"], "10.11.15")
        self.assertEqual(made["StorageType"], "gp3")
        self.assertEqual(made["TagList"], tags(a="b"))
        self.assertEqual(made["Endpoint"]["Port"], 3306)
        self.assertTrue(made["StorageEncrypted"])
        self.assertTrue(made["KmsKeyId"].startswith("arn:aws:kms:"))
        self.assertEqual(made["PendingModifiedValues"], {})
        self.assertEqual(made["DBSubnetGroup"]["VpcId"], self.vpc_id)

    def test_the_password_is_made_kept_and_taken_along(self):
        made = self.create()
        secrets = client("secretsmanager")
        arn = made["MasterUserSecret"]["SecretArn"]
        value = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
        self.assertEqual(value["username"], "admin")
        self.assertGreater(len(value["password"]), 20)
        self.assertNotIn("MasterUserPassword", made)
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        self.refused("ResourceNotFoundException", "", secrets.get_secret_value, SecretId=arn)

    def test_states_take_their_time(self):
        self.weather(seconds={"database": LONG})
        made = self.create()
        self.assertEqual(made["DBInstanceStatus"], "creating")
        self.assertNotIn("Endpoint", made)
        skip = {"DBInstanceIdentifier": "db", "SkipFinalSnapshot": True}
        self.refused("InvalidDBInstanceState", "creating", self.rds.delete_db_instance, **skip)
        self.later()
        self.assertTrue(self.described()["DBInstanceStatus"] == "available")
        self.rds.delete_db_instance(**skip)
        self.assertEqual(self.described()["DBInstanceStatus"], "deleting")
        self.refused(
            "DependencyViolation",
            self.group_id,
            self.ec2.delete_security_group,
            GroupId=self.group_id,
        )
        self.refused(
            "InvalidDBSubnetGroupStateFault",
            "still using it",
            self.rds.delete_db_subnet_group,
            DBSubnetGroupName="group",
        )
        self.later()
        self.assertTrue(not self.rds.describe_db_instances()["DBInstances"])
        self.rds.delete_db_subnet_group(DBSubnetGroupName="group")
        self.ec2.delete_security_group(GroupId=self.group_id)
        for subnet in self.subnet_ids:
            self.ec2.delete_subnet(SubnetId=subnet)
        self.ec2.delete_vpc(VpcId=self.vpc_id)
        self.assertEqual(self.inventory(), {})

    def test_deletion_is_held_back_and_leaves_a_snapshot(self):
        self.create(DeletionProtection=True, Tags=tags(a="b"), CopyTagsToSnapshot=True)
        last = {"DBInstanceIdentifier": "db", "FinalDBSnapshotIdentifier": "last"}
        self.refused(BAD, "protected", self.rds.delete_db_instance, **last)
        self.modify(DeletionProtection=False)
        self.refused(
            BAD, "is required unless", self.rds.delete_db_instance, DBInstanceIdentifier="db"
        )
        self.refused(
            BAD, "cannot be specified", self.rds.delete_db_instance, **last, SkipFinalSnapshot=True
        )
        self.rds.delete_db_instance(**last)
        snapshot = self.rds.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]
        self.assertEqual((snapshot["SnapshotType"], snapshot["Encrypted"]), ("manual", True))
        self.assertEqual(snapshot["TagList"], tags(a="b"))
        self.assertEqual(len(self.inventory()["eu-west-1/rds/database_snapshots"]), 1)

    def test_slow_changes_wait_unless_told_otherwise(self):
        self.create()
        shown = self.modify(DBInstanceClass="db.t3.medium", BackupRetentionPeriod=3)
        self.assertEqual(shown["PendingModifiedValues"], {"DBInstanceClass": "db.t3.medium"})
        self.assertEqual(
            (shown["DBInstanceClass"], shown["BackupRetentionPeriod"]), ("db.t3.small", 3)
        )
        self.weather(seconds={"update": LONG})
        shown = self.modify(AllocatedStorage=40, ApplyImmediately=True)
        self.assertEqual(shown["DBInstanceStatus"], "modifying")
        self.refused(
            "InvalidDBInstanceState",
            "available state",
            self.rds.modify_db_instance,
            DBInstanceIdentifier="db",
            MultiAZ=True,
        )
        self.later()
        self.assertTrue(self.described()["DBInstanceStatus"] == "available")
        shown = self.described()
        self.assertEqual(
            (shown["DBInstanceClass"], shown["AllocatedStorage"]), ("db.t3.medium", 40)
        )
        self.assertEqual(shown["PendingModifiedValues"], {})

    def test_quick_changes_are_there_at_once(self):
        self.create()
        other = self.group(self.vpc_id, "other")
        self.modify(VpcSecurityGroupIds=[other], DeletionProtection=True)
        shown = self.described()
        self.assertEqual(shown["VpcSecurityGroups"][0]["VpcSecurityGroupId"], other)
        self.assertTrue(shown["DeletionProtection"])
        self.ec2.delete_security_group(GroupId=self.group_id)
        self.refused("DependencyViolation", other, self.ec2.delete_security_group, GroupId=other)

    def test_changes_that_cannot_be_are_refused(self):
        self.create(AllocatedStorage=100)
        for words, asked in (
            ("cannot be less", {"AllocatedStorage": 50}),
            ("10 percent", {"AllocatedStorage": 105}),
            ("AllowMajorVersionUpgrade", {"EngineVersion": "11.4"}),
            ("Cannot upgrade", {"EngineVersion": "10.6"}),
            ("Cannot find version", {"EngineVersion": "99.9"}),
            ("must specify MasterUserPassword", {"ManageMasterUserPassword": False}),
        ):
            self.refused(
                BAD, words, self.rds.modify_db_instance, DBInstanceIdentifier="db", **asked
            )

    def test_instances_that_cannot_be_are_refused(self):
        self.subnet_group()
        elsewhere = self.group(self.vpc("10.9.0.0/16"), "elsewhere")
        for code, words, changed in (
            (BAD, "MasterUserPassword", {"MasterUserPassword": "secret123"}),
            (BAD, "Cannot find version", {"EngineVersion": "9.9"}),
            (BAD, "different VPCs", {"VpcSecurityGroupIds": [elsewhere]}),
            ("InvalidParameterValue", "sg-0", {"VpcSecurityGroupIds": ["sg-0"]}),
            ("InvalidParameterValue", "Invalid DB Instance class", {"DBInstanceClass": "db.huge"}),
            ("InvalidParameterValue", "Invalid storage size", {"AllocatedStorage": 5}),
            ("DBSubnetGroupNotFoundFault", "nowhere", {"DBSubnetGroupName": "nowhere"}),
            ("InvalidParameterValue", "must be provided", {"ManageMasterUserPassword": False}),
            (
                "InvalidParameterValue",
                "reserved word",
                {"Engine": "postgres", "EngineVersion": "17", "MasterUsername": "admin"},
            ),
        ):
            self.refused(code, words, self.rds.create_db_instance, **self.asked(**changed))
        self.assertEqual(self.rds.describe_db_instances()["DBInstances"], [])

    def test_subnet_groups_cover_two_zones_and_stay_when_changed(self):
        asked = {"DBSubnetGroupName": "group", "DBSubnetGroupDescription": "d"}
        self.refused(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "at least 2 AZs",
            self.rds.create_db_subnet_group,
            **asked,
            SubnetIds=self.subnet_ids[:1],
        )
        self.subnet_group()
        self.refused(
            "DBSubnetGroupAlreadyExists",
            "group",
            self.rds.create_db_subnet_group,
            **asked,
            SubnetIds=self.subnet_ids,
        )
        third = self.ec2.create_subnet(
            VpcId=self.vpc_id, CidrBlock="10.0.9.0/24", AvailabilityZone="eu-west-1c"
        )["Subnet"]["SubnetId"]
        self.rds.modify_db_subnet_group(
            DBSubnetGroupName="group", SubnetIds=[*self.subnet_ids, third]
        )
        found = self.rds.describe_db_subnet_groups(DBSubnetGroupName="group")["DBSubnetGroups"]
        self.assertEqual(len(found[0]["Subnets"]), 3)

    def test_engine_versions_and_classes_are_listed(self):
        found = self.rds.describe_db_engine_versions(Engine="mariadb", EngineVersion="10.11")
        self.assertEqual(
            [entry["EngineVersion"] for entry in found["DBEngineVersions"]],
            ["10.11.13", "10.11.15"],
        )
        found = self.rds.describe_orderable_db_instance_options(
            Engine="mysql", EngineVersion="8.4.7", DBInstanceClass="db.t4g.micro"
        )
        self.assertEqual(len(found["OrderableDBInstanceOptions"]), 3)

    def test_exported_logs_leave_their_groups_behind(self):
        self.create(EnableCloudwatchLogsExports=["error"])
        self.rds.delete_db_instance(DBInstanceIdentifier="db", SkipFinalSnapshot=True)
        groups = client("logs").describe_log_groups()["logGroups"]
        self.assertEqual([g["logGroupName"] for g in groups], ["/aws/rds/instance/db/error"])
