"""Reading back: filters and tags of every service that a stack is found and compared by."""

import base64

from .testing import REGION, ZONES, CloudTest, client, tagged, tags

HERE = "123456789012"


def wanted(**pairs):
    """Filters of EC2; `__` in a name stands for a dot, `_` for a dash."""
    names = {name.replace("__", ".").replace("_", "-"): value for name, value in pairs.items()}
    return [
        {"Name": name, "Values": value if isinstance(value, list) else [value]}
        for name, value in names.items()
    ]


class Filters(CloudTest):
    def setUp(self):
        super().setUp()
        self.vpc_id = self.vpc()
        self.subnet_id = self.subnets(self.vpc_id, 1)[0]

    def count(self, member, function, **pairs):
        return len(function(Filters=wanted(**pairs))[member])

    def test_zones(self):
        find = self.ec2.describe_availability_zones
        self.assertEqual(
            self.count("AvailabilityZones", find, zone_type="availability-zone", state="available"),
            len(find()["AvailabilityZones"]),
        )
        self.assertEqual(self.count("AvailabilityZones", find, zone_name=ZONES[0]), 1)

    def test_networks(self):
        count, ec2, vpc = self.count, self.ec2, self.vpc_id
        gateway = self.gateway(vpc)
        self.assertEqual(
            count("InternetGateways", ec2.describe_internet_gateways, attachment__vpc_id=vpc), 1
        )
        self.assertEqual(
            count("InternetGateways", ec2.describe_internet_gateways, internet_gateway_id=gateway),
            1,
        )
        self.assertEqual(count("Vpcs", ec2.describe_vpcs, cidr="10.0.0.0/16"), 1)
        self.assertEqual(count("Vpcs", ec2.describe_vpcs, is_default="true"), 1)
        self.assertEqual(
            count("Subnets", ec2.describe_subnets, vpc_id=vpc, availability_zone=ZONES[0]), 1
        )
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=table, SubnetId=self.subnet_id)
        find = ec2.describe_route_tables
        self.assertEqual(count("RouteTables", find, association__subnet_id=self.subnet_id), 1)
        self.assertEqual(count("RouteTables", find, route_table_id=table), 1)
        self.assertEqual(count("RouteTables", find, association__main="true", vpc_id=vpc), 1)
        find = ec2.describe_network_acls
        acl = find(Filters=wanted(vpc_id=vpc))["NetworkAcls"][0]
        name = acl["Associations"][0]["NetworkAclAssociationId"]
        self.assertEqual(count("NetworkAcls", find, network_acl_id=acl["NetworkAclId"]), 1)
        self.assertEqual(count("NetworkAcls", find, association__association_id=name), 1)
        self.assertEqual(count("NetworkAcls", find, association__subnet_id=self.subnet_id), 1)
        self.assertEqual(count("NetworkAcls", find, default="true", vpc_id=vpc), 1)

    def test_security_groups_and_their_rules(self):
        count, ec2 = self.count, self.ec2
        first, second = self.group(self.vpc_id, "first"), self.group(self.vpc_id, "second")
        ec2.authorize_security_group_ingress(
            GroupId=first,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "UserIdGroupPairs": [{"GroupId": second, "Description": "words"}],
                }
            ],
            TagSpecifications=tagged("security-group-rule", a="b"),
        )
        find = ec2.describe_security_groups
        self.assertEqual(count("SecurityGroups", find, group_name="first", vpc_id=self.vpc_id), 1)
        self.assertEqual(count("SecurityGroups", find, ip_permission__group_id=second), 1)
        find = ec2.describe_security_group_rules
        self.assertEqual(count("SecurityGroupRules", find, group_id=first), 2)
        rules = find(Filters=wanted(group_id=first) + [{"Name": "tag:a", "Values": ["b"]}])
        rule = rules["SecurityGroupRules"][0]
        self.assertEqual((rule["FromPort"], rule["Description"]), (443, "words"))
        self.assertEqual(rule["ReferencedGroupInfo"]["GroupId"], second)
        self.assertEqual(rule["Tags"], tags(a="b"))
        ec2.revoke_security_group_ingress(
            GroupId=first, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
        )
        self.assertEqual(count("SecurityGroupRules", find, group_id=first), 1)
        egress = find(Filters=wanted(group_id=first))["SecurityGroupRules"][0]
        self.assertEqual((egress["IsEgress"], egress["CidrIpv4"]), (True, "0.0.0.0/0"))
        ec2.revoke_security_group_egress(
            GroupId=first, SecurityGroupRuleIds=[egress["SecurityGroupRuleId"]]
        )
        self.assertEqual(count("SecurityGroupRules", find, group_id=first), 0)

    def test_rules_are_made_all_or_none_and_changed_in_place(self):
        ec2 = self.ec2
        first, second = self.group(self.vpc_id, "first"), self.group(self.vpc_id, "second")

        def to(port, **more):
            return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **more}

        wide = {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "one"}]}
        made = ec2.authorize_security_group_ingress(
            GroupId=first,
            IpPermissions=[to(1, **wide), to(2, UserIdGroupPairs=[{"GroupId": second}])],
        )["SecurityGroupRules"]
        self.assertEqual([rule["FromPort"] for rule in made], [1, 2])
        again = {"IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "other words"}]}
        self.refused(
            "InvalidPermission.Duplicate",
            "",
            ec2.authorize_security_group_ingress,
            GroupId=first,
            IpPermissions=[to(3, **wide), to(1, **again)],
        )
        ids = [rule["SecurityGroupRuleId"] for rule in made]
        ec2.modify_security_group_rules(
            GroupId=first,
            SecurityGroupRules=[
                {
                    "SecurityGroupRuleId": ids[0],
                    "SecurityGroupRule": {
                        "IpProtocol": "-1",
                        "CidrIpv4": "10.1.0.0/16",
                        "Description": "x",
                    },
                },
                {
                    "SecurityGroupRuleId": ids[1],
                    "SecurityGroupRule": {
                        "IpProtocol": "udp",
                        "FromPort": 5,
                        "ToPort": 6,
                        "ReferencedGroupId": first,
                    },
                },
            ],
        )
        shown = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
        by_id = {rule["SecurityGroupRuleId"]: rule for rule in shown}
        self.assertEqual(by_id[ids[0]]["CidrIpv4"], "10.1.0.0/16")
        self.assertEqual(by_id[ids[0]]["Description"], "x")
        self.assertEqual(by_id[ids[1]]["ReferencedGroupInfo"]["GroupId"], first)
        self.assertEqual((by_id[ids[1]]["FromPort"], by_id[ids[1]]["IpProtocol"]), (5, "udp"))
        self.assertEqual(
            self.count("SecurityGroupRules", ec2.describe_security_group_rules, group_id=first), 3
        )

    def test_interfaces_and_instances(self):
        count, ec2 = self.count, self.ec2
        group = self.group(self.vpc_id)
        loose = ec2.create_network_interface(
            SubnetId=self.subnet_id, Groups=[group], Description="aws-K8S-i-0"
        )["NetworkInterface"]["NetworkInterfaceId"]
        instance = ec2.run_instances(
            ImageId=self.image(),
            InstanceType="t3.micro",
            SubnetId=self.subnet_id,
            SecurityGroupIds=[group],
            MinCount=1,
            MaxCount=1,
            UserData="#!/bin/sh",
            TagSpecifications=tagged("instance", a="b"),
        )["Instances"][0]["InstanceId"]
        find = ec2.describe_network_interfaces
        for pairs in (
            {"status": "available"},
            {"status": "in-use"},
            {"description": "aws-K8S-*"},
            {"network_interface_id": loose},
            {"attachment__instance_id": instance},
        ):
            self.assertEqual(count("NetworkInterfaces", find, **pairs), 1, pairs)
        for pairs in ({"vpc_id": self.vpc_id}, {"subnet_id": self.subnet_id}, {"group_id": group}):
            self.assertEqual(count("NetworkInterfaces", find, **pairs), 2, pairs)
        find = ec2.describe_instances
        for pairs in (
            {"instance_state_name": ["pending", "running", "stopping", "stopped"]},
            {"vpc_id": self.vpc_id},
            {"subnet_id": self.subnet_id},
            {"tag_key": "a"},
            {"instance_id": instance},
        ):
            self.assertEqual(count("Reservations", find, **pairs), 1, pairs)
        data = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
        self.assertEqual(base64.b64decode(data["UserData"]["Value"]), b"#!/bin/sh")

    def test_volumes_snapshots_and_tags(self):
        ec2 = self.ec2
        volume = ec2.create_volume(
            AvailabilityZone=ZONES[0], Size=1, TagSpecifications=tagged("volume", a="b")
        )["VolumeId"]
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=tagged("snapshot", a="b"))
        mine = [{"Name": "tag:a", "Values": ["b"]}]
        self.assertEqual(self.count("Volumes", ec2.describe_volumes, status="available"), 1)
        self.assertEqual(len(ec2.describe_snapshots(Filters=mine)["Snapshots"]), 1)
        self.assertEqual(
            ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"][0]["VolumeId"],
            volume,
        )
        self.assertEqual(self.count("Tags", ec2.describe_tags, key="a"), 2)
        self.assertEqual(self.count("Tags", ec2.describe_tags, resource_id=volume), 1)
        self.assertEqual(self.count("Tags", ec2.describe_tags, resource_type="volume"), 1)
        ec2.delete_tags(Resources=[volume], Tags=[{"Key": "a"}])
        self.assertEqual(self.count("Tags", ec2.describe_tags, resource_id=volume), 0)

    def test_attributes_of_a_vpc_are_changed_and_read(self):
        ask = self.ec2.describe_vpc_attribute
        self.assertFalse(
            ask(VpcId=self.vpc_id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
        )
        self.ec2.modify_vpc_attribute(VpcId=self.vpc_id, EnableDnsHostnames={"Value": True})
        self.assertTrue(
            ask(VpcId=self.vpc_id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
        )
        self.assertTrue(
            ask(VpcId=self.vpc_id, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"]
        )

    def test_what_is_not_there_has_the_code_of_ec2(self):
        for code, function, asked in (
            ("InvalidVpcID.NotFound", "describe_vpcs", {"VpcIds": ["vpc-00000000"]}),
            ("InvalidSubnetID.NotFound", "describe_subnets", {"SubnetIds": ["subnet-00000000"]}),
            ("InvalidGroup.NotFound", "describe_security_groups", {"GroupIds": ["sg-00000000"]}),
            (
                "InvalidRouteTableID.NotFound",
                "describe_route_tables",
                {"RouteTableIds": ["rtb-00000000"]},
            ),
            (
                "InvalidNetworkAclID.NotFound",
                "describe_network_acls",
                {"NetworkAclIds": ["acl-00000000"]},
            ),
            (
                "InvalidInternetGatewayID.NotFound",
                "describe_internet_gateways",
                {"InternetGatewayIds": ["igw-00000000"]},
            ),
            (
                "InvalidAllocationID.NotFound",
                "describe_addresses",
                {"AllocationIds": ["eipalloc-00000000"]},
            ),
            ("InvalidInstanceID.NotFound", "describe_instances", {"InstanceIds": ["i-00000000"]}),
            ("InvalidVolume.NotFound", "describe_volumes", {"VolumeIds": ["vol-00000000"]}),
            (
                "InvalidLaunchTemplateId.NotFound",
                "describe_launch_templates",
                {"LaunchTemplateIds": ["lt-00000000000000000"]},
            ),
            (
                "InvalidLaunchTemplateName.NotFoundException",
                "describe_launch_templates",
                {"LaunchTemplateNames": ["nowhere"]},
            ),
            (
                "InvalidNetworkInterfaceID.NotFound",
                "describe_network_interfaces",
                {"NetworkInterfaceIds": ["eni-00000000"]},
            ),
            (
                "InvalidVpcEndpointId.NotFound",
                "describe_vpc_endpoints",
                {"VpcEndpointIds": ["vpce-00000000"]},
            ),
            ("InvalidVpcID.NotFound", "delete_vpc", {"VpcId": "vpc-00000000"}),
            ("InvalidSubnetID.NotFound", "delete_subnet", {"SubnetId": "subnet-00000000"}),
            ("InvalidGroup.NotFound", "delete_security_group", {"GroupId": "sg-00000000"}),
            (
                "InvalidRouteTableID.NotFound",
                "delete_route_table",
                {"RouteTableId": "rtb-00000000"},
            ),
            (
                "InvalidNetworkAclID.NotFound",
                "delete_network_acl",
                {"NetworkAclId": "acl-00000000"},
            ),
            (
                "InvalidAllocationID.NotFound",
                "release_address",
                {"AllocationId": "eipalloc-00000000"},
            ),
            (
                "InvalidRoute.NotFound",
                "delete_route",
                {"RouteTableId": "main", "DestinationCidrBlock": "1.2.3.0/24"},
            ),
        ):
            with self.subTest(function=function, code=code):
                if asked.get("RouteTableId") == "main":
                    found = self.ec2.describe_route_tables(Filters=wanted(vpc_id=self.vpc_id))
                    asked["RouteTableId"] = found["RouteTables"][0]["RouteTableId"]
                self.refused(code, "", getattr(self.ec2, function), **asked)


class Tags(CloudTest):
    """Set, read and taken away, by each service's own calls."""

    def check(self, add, read, remove):
        add({"a": "1", "b": "2"})
        remove(["a"])
        self.assertEqual(read(), {"b": "2"})

    def plain(self, entries):
        return {entry["Key"]: entry["Value"] for entry in entries}

    def test_iam(self):
        self.role("r", "ec2.amazonaws.com")
        self.iam.create_instance_profile(InstanceProfileName="p")
        url = "https://oidc.eks.eu-west-1.amazonaws.com/id/A"
        arn = self.iam.create_open_id_connect_provider(Url=url, ClientIDList=["a"])
        provider = {"OpenIDConnectProviderArn": arn["OpenIDConnectProviderArn"]}
        for kind, named in (
            ("role", {"RoleName": "r"}),
            ("instance_profile", {"InstanceProfileName": "p"}),
            ("open_id_connect_provider", provider),
        ):
            self.check(
                lambda pairs: getattr(self.iam, f"tag_{kind}")(**named, Tags=tags(**pairs)),
                lambda: self.plain(getattr(self.iam, f"list_{kind}_tags")(**named)["Tags"]),
                lambda keys: getattr(self.iam, f"untag_{kind}")(**named, TagKeys=keys),
            )
        self.iam.add_client_id_to_open_id_connect_provider(**provider, ClientID="b")
        self.iam.remove_client_id_from_open_id_connect_provider(**provider, ClientID="a")
        found = self.iam.get_open_id_connect_provider(**provider)
        self.assertEqual(found["ClientIDList"], ["b"])

    def test_logs(self):
        logs = client("logs")
        logs.create_log_group(logGroupName="g", tags={"c": "3"})
        arn = f"arn:aws:logs:{REGION}:{HERE}:log-group:g"
        logs.untag_resource(resourceArn=arn, tagKeys=["c"])
        self.check(
            lambda pairs: logs.tag_resource(resourceArn=arn, tags=pairs),
            lambda: logs.list_tags_for_resource(resourceArn=arn)["tags"],
            lambda keys: logs.untag_resource(resourceArn=arn, tagKeys=keys),
        )
        logs.put_retention_policy(logGroupName="g", retentionInDays=7)
        group = logs.describe_log_groups(logGroupNamePrefix="g")["logGroups"][0]
        self.assertEqual(group["retentionInDays"], 7)

    def test_events(self):
        events = client("events")
        arn = events.put_rule(Name="r", EventPattern='{"source": ["aws.ec2"]}', Tags=tags(c="3"))[
            "RuleArn"
        ]
        events.untag_resource(ResourceARN=arn, TagKeys=["c"])
        self.check(
            lambda pairs: events.tag_resource(ResourceARN=arn, Tags=tags(**pairs)),
            lambda: self.plain(events.list_tags_for_resource(ResourceARN=arn)["Tags"]),
            lambda keys: events.untag_resource(ResourceARN=arn, TagKeys=keys),
        )

    def test_queues(self):
        sqs = client("sqs")
        url = sqs.create_queue(QueueName="q", tags={"c": "3"})["QueueUrl"]
        sqs.untag_queue(QueueUrl=url, TagKeys=["c"])
        self.check(
            lambda pairs: sqs.tag_queue(QueueUrl=url, Tags=pairs),
            lambda: sqs.list_queue_tags(QueueUrl=url)["Tags"],
            lambda keys: sqs.untag_queue(QueueUrl=url, TagKeys=keys),
        )
        with self.assertRaises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_url(QueueName="nowhere")

    def test_databases(self):
        rds = client("rds")
        subnets = self.subnets(self.vpc())
        group = rds.create_db_subnet_group(
            DBSubnetGroupName="g", DBSubnetGroupDescription="d", SubnetIds=subnets, Tags=tags(c="3")
        )["DBSubnetGroup"]["DBSubnetGroupArn"]
        rds.remove_tags_from_resource(ResourceName=group, TagKeys=["c"])
        self.check(
            lambda pairs: rds.add_tags_to_resource(ResourceName=group, Tags=tags(**pairs)),
            lambda: self.plain(rds.list_tags_for_resource(ResourceName=group)["TagList"]),
            lambda keys: rds.remove_tags_from_resource(ResourceName=group, TagKeys=keys),
        )

    def test_stacks_of_the_tagging_api(self):
        self.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", a="b"))
        client("sqs").create_queue(QueueName="q", tags={"a": "b"})
        tagging = client("resourcegroupstaggingapi")
        found = tagging.get_resources(TagFilters=[{"Key": "a", "Values": ["b"]}])
        arns = sorted(entry["ResourceARN"] for entry in found["ResourceTagMappingList"])
        self.assertEqual(len(arns), 2, arns)
