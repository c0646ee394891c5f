"""The network: what holds on to what, NAT gateways, addresses, endpoints, tokens, filters."""

from .testing import LONG, REGION, ZONES, CloudTest, client, tagged

VIOLATION = "DependencyViolation"


class Dependencies(CloudTest):
    def test_a_vpc_goes_when_only_what_came_with_it_is_left(self):
        vpc = self.vpc()
        self.ec2.delete_vpc(VpcId=vpc)
        self.assertEqual(self.inventory(), {})

    def test_everything_in_a_vpc_holds_it(self):
        vpc = self.vpc()

        def held():
            self.refused(VIOLATION, "has dependencies", self.ec2.delete_vpc, VpcId=vpc)

        subnet = self.subnets(vpc, 1)[0]
        held()
        self.ec2.delete_subnet(SubnetId=subnet)
        gateway = self.gateway(vpc)
        held()
        self.refused(
            VIOLATION, "dependencies", self.ec2.delete_internet_gateway, InternetGatewayId=gateway
        )
        self.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        self.ec2.delete_internet_gateway(InternetGatewayId=gateway)
        group = self.group(vpc)
        held()
        self.ec2.delete_security_group(GroupId=group)
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        held()
        self.ec2.delete_route_table(RouteTableId=table)
        acl = self.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
        held()
        self.ec2.delete_network_acl(NetworkAclId=acl)
        self.ec2.delete_vpc(VpcId=vpc)
        self.assertEqual(self.inventory(), {})

    def test_an_interface_holds_its_subnet_and_its_group(self):
        vpc = self.vpc()
        subnet, group = self.subnets(vpc, 1)[0], self.group(vpc)
        eni = self.ec2.create_network_interface(SubnetId=subnet, Groups=[group])
        self.refused(VIOLATION, subnet, self.ec2.delete_subnet, SubnetId=subnet)
        self.refused(VIOLATION, group, self.ec2.delete_security_group, GroupId=group)
        name = eni["NetworkInterface"]["NetworkInterfaceId"]
        self.ec2.delete_network_interface(NetworkInterfaceId=name)
        self.ec2.delete_subnet(SubnetId=subnet)
        self.ec2.delete_security_group(GroupId=group)

    def test_groups_that_name_each_other_hold_each_other(self):
        vpc = self.vpc()
        first, second = self.group(vpc, "first"), self.group(vpc, "second")

        def rule(group):
            pairs = [{"GroupId": group}]
            return [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": pairs}]

        self.ec2.authorize_security_group_ingress(GroupId=first, IpPermissions=rule(second))
        self.ec2.authorize_security_group_ingress(GroupId=second, IpPermissions=rule(second))
        self.refused(VIOLATION, second, self.ec2.delete_security_group, GroupId=second)
        self.ec2.revoke_security_group_ingress(GroupId=first, IpPermissions=rule(second))
        self.ec2.delete_security_group(GroupId=second)

    def test_what_came_with_a_vpc_cannot_be_deleted_by_itself(self):
        vpc = self.vpc()
        mine = [{"Name": "vpc-id", "Values": [vpc]}]
        group = self.ec2.describe_security_groups(Filters=mine)["SecurityGroups"][0]["GroupId"]
        table = self.ec2.describe_route_tables(Filters=mine)["RouteTables"][0]["RouteTableId"]
        acl = self.ec2.describe_network_acls(Filters=mine)["NetworkAcls"][0]["NetworkAclId"]
        self.refused("CannotDelete", "default", self.ec2.delete_security_group, GroupId=group)
        self.refused(VIOLATION, table, self.ec2.delete_route_table, RouteTableId=table)
        self.refused(
            "InvalidParameterValue", "default", self.ec2.delete_network_acl, NetworkAclId=acl
        )

    def test_a_subnet_takes_its_associations_along(self):
        vpc = self.vpc()
        subnet = self.subnets(vpc, 1)[0]
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        self.refused(VIOLATION, table, self.ec2.delete_route_table, RouteTableId=table)
        self.ec2.delete_subnet(SubnetId=subnet)
        self.ec2.delete_route_table(RouteTableId=table)

    def test_a_gateway_stays_while_addresses_are_mapped(self):
        vpc = self.vpc()
        gateway, subnet = self.gateway(vpc), self.subnets(vpc, 1)[0]
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        eni = self.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
        association = self.ec2.associate_address(
            AllocationId=address, NetworkInterfaceId=eni["NetworkInterfaceId"]
        )["AssociationId"]
        asked = {"InternetGatewayId": gateway, "VpcId": vpc}
        self.refused(VIOLATION, "mapped public address", self.ec2.detach_internet_gateway, **asked)
        self.ec2.disassociate_address(AssociationId=association)
        self.ec2.detach_internet_gateway(**asked)


class Network(CloudTest):
    def test_subnets_are_made_in_zones_of_the_region(self):
        vpc = self.vpc()
        self.refused(
            "InvalidParameterValue",
            "us-east-1a",
            self.ec2.create_subnet,
            VpcId=vpc,
            CidrBlock="10.0.0.0/24",
            AvailabilityZone="us-east-1a",
        )
        made = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]
        self.assertTrue(made["AvailabilityZone"].startswith(REGION))

    def test_a_subnet_keeps_its_route_table(self):
        vpc = self.vpc()
        subnet = self.subnets(vpc, 1)[0]
        tables = [
            self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in "ab"
        ]
        first = self.ec2.associate_route_table(RouteTableId=tables[0], SubnetId=subnet)
        again = self.ec2.associate_route_table(RouteTableId=tables[0], SubnetId=subnet)
        self.assertEqual(first["AssociationId"], again["AssociationId"])
        self.refused(
            "Resource.AlreadyAssociated",
            "conflicts with an existing association",
            self.ec2.associate_route_table,
            RouteTableId=tables[1],
            SubnetId=subnet,
        )

    def test_an_acl_of_one_s_own_denies_the_rest(self):
        acl = self.ec2.create_network_acl(VpcId=self.vpc())["NetworkAcl"]
        numbers = sorted((entry["RuleNumber"], entry["Egress"]) for entry in acl["Entries"])
        self.assertEqual(numbers, [(32767, False), (32767, True)])
        self.refused(
            "InvalidNetworkAclEntry.NotFound",
            "100",
            self.ec2.delete_network_acl_entry,
            NetworkAclId=acl["NetworkAclId"],
            RuleNumber=100,
            Egress=False,
        )
        self.refused(
            "InvalidAssociationID.NotFound",
            "aclassoc-nowhere",
            self.ec2.replace_network_acl_association,
            AssociationId="aclassoc-nowhere",
            NetworkAclId=acl["NetworkAclId"],
        )

    def test_routes_go_somewhere(self):
        vpc = self.vpc()
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
        self.refused(
            "InvalidNatGatewayID.NotFound",
            "nat-nowhere",
            self.ec2.create_route,
            **route,
            NatGatewayId="nat-nowhere",
        )
        loose = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.refused(
            "InvalidParameterValue",
            "different networks",
            self.ec2.create_route,
            **route,
            GatewayId=loose,
        )

    def test_several_filter_values_are_alternatives(self):
        vpc = self.vpc()
        groups = [self.group(vpc, name) for name in ("one", "two")]
        subnet = self.subnets(vpc, 1)[0]
        self.ec2.create_network_interface(SubnetId=subnet, Groups=groups)
        for wanted in ([groups[0]], [groups[0], "sg-elsewhere"], groups):
            found = self.ec2.describe_network_interfaces(
                Filters=[{"Name": "group-id", "Values": wanted}]
            )
            self.assertEqual(len(found["NetworkInterfaces"]), 1, wanted)

    def test_every_kind_is_found_by_tag(self):
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", a="b"))
        vpc = vpc["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(
            VpcId=vpc, CidrBlock="10.0.0.0/24", TagSpecifications=tagged("subnet", a="b")
        )["Subnet"]["SubnetId"]
        gateway = self.ec2.create_internet_gateway(
            TagSpecifications=tagged("internet-gateway", a="b")
        )
        gateway = gateway["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        address = self.ec2.allocate_address(
            Domain="vpc", TagSpecifications=tagged("elastic-ip", a="b")
        )["AllocationId"]
        self.ec2.create_nat_gateway(
            SubnetId=subnet, AllocationId=address, TagSpecifications=tagged("natgateway", a="b")
        )
        self.ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table", a="b"))
        self.ec2.create_network_acl(VpcId=vpc, TagSpecifications=tagged("network-acl", a="b"))
        self.ec2.create_security_group(
            GroupName="g",
            Description="d",
            VpcId=vpc,
            TagSpecifications=tagged("security-group", a="b"),
        )
        self.ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=f"com.amazonaws.{REGION}.s3",
            TagSpecifications=tagged("vpc-endpoint", a="b"),
        )
        self.ec2.create_launch_template(
            LaunchTemplateName="t",
            LaunchTemplateData={"InstanceType": "t3.micro"},
            TagSpecifications=tagged("launch-template", a="b"),
        )
        self.ec2.create_volume(
            AvailabilityZone=ZONES[0], Size=1, TagSpecifications=tagged("volume", a="b")
        )
        self.ec2.run_instances(
            ImageId=self.image(),
            InstanceType="t3.micro",
            SubnetId=subnet,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=tagged("instance", a="b"),
        )
        mine = {"Filters": [{"Name": "tag:a", "Values": ["b"]}]}
        alien = {"Filters": [{"Name": "tag:a", "Values": ["c"]}]}
        for member, function in (
            ("Vpcs", self.ec2.describe_vpcs),
            ("Subnets", self.ec2.describe_subnets),
            ("InternetGateways", self.ec2.describe_internet_gateways),
            ("Addresses", self.ec2.describe_addresses),
            ("NatGateways", self.ec2.describe_nat_gateways),
            ("RouteTables", self.ec2.describe_route_tables),
            ("NetworkAcls", self.ec2.describe_network_acls),
            ("SecurityGroups", self.ec2.describe_security_groups),
            ("VpcEndpoints", self.ec2.describe_vpc_endpoints),
            ("LaunchTemplates", self.ec2.describe_launch_templates),
            ("Volumes", self.ec2.describe_volumes),
            ("Reservations", self.ec2.describe_instances),
        ):
            # NAT gateways alone are filtered by `Filter`.
            rename = (lambda f: {"Filter": f["Filters"]}) if member == "NatGateways" else dict
            self.assertEqual(len(function(**rename(mine))[member]), 1, member)
            self.assertEqual(len(function(**rename(alien))[member]), 0, member)
        self.assertGreaterEqual(len(self.ec2.describe_tags(**mine)["Tags"]), 12)
        self.assertEqual(self.ec2.describe_tags(**alien)["Tags"], [])

    def test_tags_of_aws_are_not_for_users(self):
        self.refused(
            "InvalidParameterValue",
            "aws:",
            self.ec2.create_tags,
            Resources=[self.vpc()],
            Tags=[{"Key": "aws:x", "Value": "y"}],
        )


class NatAndAddresses(CloudTest):
    def setUp(self):
        super().setUp()
        self.vpc_id = self.vpc()
        self.subnet = self.subnets(self.vpc_id, 1)[0]

    def create(self, **more):
        self.address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        asked = {"SubnetId": self.subnet, "AllocationId": self.address, **more}
        self.nat = self.ec2.create_nat_gateway(**asked)["NatGateway"]["NatGatewayId"]
        return self.described()

    def described(self):
        return self.ec2.describe_nat_gateways(NatGatewayIds=[self.nat])["NatGateways"][0]

    def test_a_gateway_takes_its_time_and_holds_what_it_has(self):
        self.gateway(self.vpc_id)
        self.weather(seconds={"nat": LONG})
        made = self.create()
        self.assertEqual(made["State"], "pending")
        eni = made["NatGatewayAddresses"][0]["NetworkInterfaceId"]
        shown = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])[
            "NetworkInterfaces"
        ][0]
        self.assertEqual(shown["InterfaceType"], "nat_gateway")
        self.assertTrue(shown["PrivateIpAddress"].startswith("10.0.0."))
        self.later()
        self.assertTrue(self.described()["State"] == "available")
        self.refused(
            "InvalidIPAddress.InUse", "in use", self.ec2.release_address, AllocationId=self.address
        )
        self.refused(VIOLATION, self.subnet, self.ec2.delete_subnet, SubnetId=self.subnet)
        association = self.ec2.describe_addresses(AllocationIds=[self.address])["Addresses"][0]
        self.refused(
            "AuthFailure",
            "permission",
            self.ec2.disassociate_address,
            AssociationId=association["AssociationId"],
        )
        self.ec2.delete_nat_gateway(NatGatewayId=self.nat)
        self.assertEqual(self.described()["State"], "deleting")
        self.refused(
            "InvalidIPAddress.InUse", "in use", self.ec2.release_address, AllocationId=self.address
        )
        self.later()
        self.assertTrue(self.described()["State"] == "deleted")
        self.ec2.release_address(AllocationId=self.address)
        self.ec2.delete_subnet(SubnetId=self.subnet)
        self.assertNotIn("nat_gateways", " ".join(self.inventory()))

    def test_without_a_way_out_it_fails(self):
        made = self.create()
        self.assertEqual((made["State"], made["FailureCode"]), ("failed", "Gateway.NotAttached"))
        self.ec2.release_address(AllocationId=self.address)

    def test_a_route_into_a_deleted_gateway_is_a_black_hole(self):
        self.gateway(self.vpc_id)
        self.create()
        table = self.ec2.create_route_table(VpcId=self.vpc_id)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=self.nat
        )

        def state():
            routes = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0][
                "Routes"
            ]
            return next(r["State"] for r in routes if r["DestinationCidrBlock"] == "0.0.0.0/0")

        self.assertEqual(state(), "active")
        self.ec2.delete_nat_gateway(NatGatewayId=self.nat)
        self.assertEqual(state(), "blackhole")

    def test_an_address_is_for_one(self):
        self.gateway(self.vpc_id)
        self.create()
        self.refused(
            "Resource.AlreadyAssociated",
            self.address,
            self.ec2.create_nat_gateway,
            SubnetId=self.subnet,
            AllocationId=self.address,
        )

    def test_what_is_not_there_has_an_error(self):
        self.refused(
            "NatGatewayNotFound",
            "nat-nowhere",
            self.ec2.describe_nat_gateways,
            NatGatewayIds=["nat-nowhere"],
        )
        self.refused(
            "NatGatewayNotFound",
            "nat-nowhere",
            self.ec2.delete_nat_gateway,
            NatGatewayId="nat-nowhere",
        )


class Endpoints(CloudTest):
    def setUp(self):
        super().setUp()
        self.vpc_id = self.vpc()
        self.subnet_ids = self.subnets(self.vpc_id)
        self.group_id = self.group(self.vpc_id)

    def interface(self, service="sts", **more):
        asked = {
            "VpcId": self.vpc_id,
            "VpcEndpointType": "Interface",
            "ServiceName": f"com.amazonaws.{REGION}.{service}",
            "SubnetIds": self.subnet_ids,
            "SecurityGroupIds": [self.group_id],
            "PrivateDnsEnabled": True,
            **more,
        }
        return self.ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]

    def test_an_interface_endpoint_holds_subnets_and_groups_until_it_is_gone(self):
        self.weather(seconds={"endpoint": LONG})
        made = self.interface()
        name = made["VpcEndpointId"]
        self.assertEqual(made["State"], "pending")
        self.assertEqual(len(made["NetworkInterfaceIds"]), 2)

        def state():
            found = self.ec2.describe_vpc_endpoints(VpcEndpointIds=[name])["VpcEndpoints"]
            return found[0]["State"]

        self.later()
        self.assertTrue(state() == "available")
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[name])
        self.assertEqual(state(), "deleting")
        self.refused(
            VIOLATION, self.group_id, self.ec2.delete_security_group, GroupId=self.group_id
        )
        self.later()
        self.assertTrue(not self.ec2.describe_vpc_endpoints()["VpcEndpoints"])
        self.ec2.delete_security_group(GroupId=self.group_id)
        self.ec2.delete_subnet(SubnetId=self.subnet_ids[0])
        answer = self.ec2.delete_vpc_endpoints(VpcEndpointIds=[name])
        self.assertEqual(answer["Unsuccessful"][0]["Error"]["Code"], "InvalidVpcEndpoint.NotFound")

    def test_interfaces_follow_the_subnets(self):
        made = self.interface(SubnetIds=self.subnet_ids[:1])
        self.ec2.modify_vpc_endpoint(
            VpcEndpointId=made["VpcEndpointId"], AddSubnetIds=self.subnet_ids[1:]
        )
        found = self.ec2.describe_vpc_endpoints()["VpcEndpoints"][0]
        self.assertEqual(len(found["NetworkInterfaceIds"]), 2)

    def test_one_private_name_per_vpc(self):
        self.interface()
        with self.assertRaisesRegex(self.ec2.exceptions.ClientError, "private-dns-enabled"):
            self.interface()

    def test_one_endpoint_per_token(self):
        made = [self.interface(ClientToken="t")["VpcEndpointId"] for _ in range(2)]
        self.assertEqual(made[0], made[1])


class Tokens(CloudTest):
    """A repeated token returns the same thing; with another request it is refused."""

    def check(self, function, member, name, asked, other):
        first = function(**asked, ClientToken="t")[member][name]
        second = function(**asked, ClientToken="t")[member][name]
        self.assertEqual(first, second)
        self.refused(
            "IdempotentParameterMismatch",
            "client token",
            function,
            **{**asked, **other},
            ClientToken="t",
        )
        third = function(**{**asked, **other}, ClientToken="another")[member][name]
        self.assertNotEqual(first, third)

    def test_route_tables_and_acls(self):
        first, second = self.vpc(), self.vpc("10.1.0.0/16")
        for function, member, name in (
            (self.ec2.create_route_table, "RouteTable", "RouteTableId"),
            (self.ec2.create_network_acl, "NetworkAcl", "NetworkAclId"),
        ):
            self.check(function, member, name, {"VpcId": first}, {"VpcId": second})

    def test_nat_gateways(self):
        vpc = self.vpc()
        self.gateway(vpc)
        subnet = self.subnets(vpc, 1)[0]
        addresses = [self.ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(2)]
        asked = {"SubnetId": subnet, "AllocationId": addresses[0]}
        self.check(
            self.ec2.create_nat_gateway,
            "NatGateway",
            "NatGatewayId",
            asked,
            {"AllocationId": addresses[1]},
        )

    def test_launch_templates(self):
        asked = {"LaunchTemplateName": "a", "LaunchTemplateData": {"InstanceType": "t3.micro"}}
        self.check(
            self.ec2.create_launch_template,
            "LaunchTemplate",
            "LaunchTemplateId",
            asked,
            {"LaunchTemplateName": "b"},
        )
        version = {"LaunchTemplateName": "a", "LaunchTemplateData": {"InstanceType": "t3.small"}}
        self.check(
            self.ec2.create_launch_template_version,
            "LaunchTemplateVersion",
            "VersionNumber",
            version,
            {"LaunchTemplateData": {"InstanceType": "t3.large"}},
        )

    def test_instances_and_what_a_token_of_the_dead_answers(self):
        asked = {"ImageId": self.image(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        made = [
            self.ec2.run_instances(**asked, ClientToken="t")["Instances"][0]["InstanceId"]
            for _ in range(2)
        ]
        self.assertEqual(made[0], made[1])
        self.ec2.terminate_instances(InstanceIds=made[:1])
        self.refused(
            "IdempotentInstanceTerminated",
            "terminated",
            self.ec2.run_instances,
            **asked,
            ClientToken="t",
        )


class LoadBalancers(CloudTest):
    def test_a_load_balancer_holds_its_network_until_it_is_gone(self):
        elb = client("elbv2")
        vpc = self.vpc()
        gateway = self.gateway(vpc)
        subnets, group = self.subnets(vpc), self.group(vpc)
        self.weather(seconds={"loadbalancer": LONG})
        made = elb.create_load_balancer(
            Name="web", Subnets=subnets, SecurityGroups=[group], Scheme="internet-facing"
        )["LoadBalancers"][0]
        self.assertEqual(made["State"]["Code"], "provisioning")
        described = self.ec2.describe_network_interfaces()["NetworkInterfaces"][0]["Description"]
        self.assertTrue(described.startswith("ELB app/web/"))
        arn = made["LoadBalancerArn"]

        def state():
            found = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
            return found[0]["State"]["Code"]

        self.later()
        self.assertTrue(state() == "active")
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=arn,
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}],
        )
        self.refused(
            "OperationNotPermitted", "protection", elb.delete_load_balancer, LoadBalancerArn=arn
        )
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=arn,
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
        )
        elb.delete_load_balancer(LoadBalancerArn=arn)
        self.assertEqual(elb.describe_load_balancers()["LoadBalancers"], [])
        self.refused(VIOLATION, group, self.ec2.delete_security_group, GroupId=group)
        self.refused(
            VIOLATION,
            "mapped public address",
            self.ec2.detach_internet_gateway,
            InternetGatewayId=gateway,
            VpcId=vpc,
        )
        self.later()
        self.assertTrue(not self.ec2.describe_network_interfaces()["NetworkInterfaces"])
        self.ec2.delete_security_group(GroupId=group)
