"""Instances: templates honoured in full, checks before launch, fleets filled by price and room."""

import base64

from .testing import LONG, REGION, ZONES, CloudTest, client, tagged


class Launches(CloudTest):
    def setUp(self):
        super().setUp()
        self.vpc_id = self.vpc()
        self.subnet_ids = self.subnets(self.vpc_id, 3)
        self.group_id = self.group(self.vpc_id)
        self.node_role("nodes")
        self.profile("nodes", "nodes")

    def template(self, name="lt", **data):
        data = {
            "ImageId": self.image(),
            "InstanceType": "m5.large",
            "SecurityGroupIds": [self.group_id],
            "IamInstanceProfile": {"Name": "nodes"},
            "UserData": base64.b64encode(b"hello").decode(),
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {"VolumeSize": 30, "VolumeType": "gp3", "Encrypted": True},
                }
            ],
            "TagSpecifications": tagged("instance", a="template", b="template")
            + tagged("volume", v="template"),
            **data,
        }
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def instances(self, ids=None):
        found = self.ec2.describe_instances(**({"InstanceIds": ids} if ids else {}))
        return [instance for entry in found["Reservations"] for instance in entry["Instances"]]

    def launch(self, **asked):
        asked = {"SubnetId": self.subnet_ids[0], "MinCount": 1, "MaxCount": 1, **asked}
        return self.ec2.run_instances(**asked)["Instances"]

    def test_a_launch_honours_its_template(self):
        template = self.template()
        made = self.launch(
            LaunchTemplate={"LaunchTemplateId": template},
            TagSpecifications=tagged("instance", b="request"),
            MaxCount=2,
        )
        self.assertEqual(len(made), 2)
        for instance in self.instances([one["InstanceId"] for one in made]):
            tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            self.assertEqual(instance["InstanceType"], "m5.large")
            self.assertEqual([g["GroupId"] for g in instance["SecurityGroups"]], [self.group_id])
            self.assertTrue(
                instance["IamInstanceProfile"]["Arn"].endswith("instance-profile/nodes")
            )
            self.assertEqual((tags["a"], tags["b"]), ("template", "request"))
            self.assertEqual(tags["aws:ec2launchtemplate:id"], template)
            self.assertEqual(instance["MetadataOptions"]["HttpTokens"], "required")
            self.assertEqual(instance["MetadataOptions"]["HttpPutResponseHopLimit"], 2)
            self.assertEqual(len(instance["BlockDeviceMappings"]), 1)
            volume_id = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
            volume = self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
            self.assertEqual((volume["Size"], volume["Encrypted"]), (30, True))
            self.assertEqual(volume["Tags"], [{"Key": "v", "Value": "template"}])
            data = self.ec2.describe_instance_attribute(
                InstanceId=instance["InstanceId"], Attribute="userData"
            )
            self.assertEqual(base64.b64decode(data["UserData"]["Value"]), b"hello")

    def test_a_template_s_own_tags_stay_out_of_its_data(self):
        self.ec2.create_launch_template(
            LaunchTemplateName="t",
            LaunchTemplateData={"InstanceType": "t3.micro"},
            TagSpecifications=tagged("launch-template", owner="me"),
        )
        versions = self.ec2.describe_launch_template_versions(LaunchTemplateName="t")
        data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        self.assertNotIn("TagSpecifications", data)
        found = self.ec2.describe_launch_templates()["LaunchTemplates"][0]
        self.assertEqual(found["Tags"], [{"Key": "owner", "Value": "me"}])

    def test_an_instance_takes_its_time_and_everything_goes_with_it(self):
        self.weather(seconds={"instance": LONG})
        name = self.launch(LaunchTemplate={"LaunchTemplateId": self.template()})[0]["InstanceId"]
        self.assertEqual(self.instances([name])[0]["State"]["Name"], "pending")
        self.later()
        self.assertTrue(self.instances([name])[0]["State"]["Name"] == "running")
        self.ec2.terminate_instances(InstanceIds=[name])
        self.assertEqual(self.instances([name])[0]["State"]["Name"], "shutting-down")
        self.refused(
            "DependencyViolation",
            self.group_id,
            self.ec2.delete_security_group,
            GroupId=self.group_id,
        )
        self.later()
        self.assertTrue(self.instances([name])[0]["State"]["Name"] == "terminated")
        self.assertEqual(self.instances([name])[0]["NetworkInterfaces"], [])
        self.ec2.delete_security_group(GroupId=self.group_id)
        kinds = " ".join(self.inventory())
        self.assertNotIn("instances", kinds)
        self.assertNotIn("volumes", kinds)
        self.assertNotIn("enis", kinds)

    def test_launches_that_cannot_be_are_refused(self):
        good = {
            "ImageId": self.image(),
            "InstanceType": "t3.micro",
            "SubnetId": self.subnet_ids[0],
            "MinCount": 1,
            "MaxCount": 1,
        }

        def refused(code, words, **changed):
            self.refused(code, words, self.ec2.run_instances, **{**good, **changed})

        refused("InvalidAMIID.NotFound", "ami-0", ImageId="ami-00000000000000000")
        refused("InvalidParameterValue", "architecture", ImageId=self.image("arm64"))
        refused("InvalidParameterValue", "t3.colossal", InstanceType="t3.colossal")
        refused("InvalidSubnetID.NotFound", "subnet-0", SubnetId="subnet-00000000000000000")
        refused("InvalidGroup.NotFound", "sg-0", SecurityGroupIds=["sg-00000000000000000"])
        elsewhere = self.group(self.vpc("10.9.0.0/16"), "elsewhere")
        refused("InvalidParameter", "different networks", SecurityGroupIds=[elsewhere])
        refused("InvalidKeyPair.NotFound", "nokey", KeyName="nokey")
        refused(
            "InvalidParameterValue",
            "Invalid IAM Instance Profile",
            IamInstanceProfile={"Name": "no"},
        )
        self.iam.create_instance_profile(InstanceProfileName="empty")
        refused(
            "InvalidParameterValue",
            "has no associated IAM Roles",
            IamInstanceProfile={"Name": "empty"},
        )
        self.assertEqual(self.instances(), [])

    def test_a_dry_run_proves_that_ec2_believes_in_a_profile(self):
        self.weather(role_delay_seconds=LONG)
        self.profile("fresh", "nodes")
        asked = {
            "ImageId": self.image(),
            "InstanceType": "t3.micro",
            "SubnetId": self.subnet_ids[0],
            "MinCount": 1,
            "MaxCount": 1,
            "IamInstanceProfile": {"Name": "fresh"},
            "DryRun": True,
        }
        self.refused(
            "InvalidParameterValue", "Invalid IAM Instance Profile", self.ec2.run_instances, **asked
        )

        self.later()
        self.refused("DryRunOperation", "would have succeeded", self.ec2.run_instances, **asked)
        self.assertFalse(
            any(call["mutating"] for call in self.calls() if call["action"] == "RunInstances")
        )

    def test_no_capacity_where_the_weather_says_so(self):
        self.weather(insufficient_capacity=[f"m5.large/{ZONES[0]}"])
        template = {"LaunchTemplateId": self.template()}
        self.refused(
            "InsufficientInstanceCapacity",
            ZONES[0],
            self.ec2.run_instances,
            LaunchTemplate=template,
            SubnetId=self.subnet_ids[0],
            MinCount=1,
            MaxCount=1,
        )
        self.assertEqual(len(self.launch(LaunchTemplate=template, SubnetId=self.subnet_ids[1])), 1)

    def test_public_addresses_follow_subnet_and_request(self):
        template = {"LaunchTemplateId": self.template()}
        plain = self.launch(LaunchTemplate=template)[0]
        self.assertNotIn("PublicIpAddress", plain)
        self.assertNotIn("Association", plain["NetworkInterfaces"][0])
        self.ec2.modify_subnet_attribute(
            SubnetId=self.subnet_ids[0], MapPublicIpOnLaunch={"Value": True}
        )
        name = self.launch(LaunchTemplate=template)[0]["InstanceId"]
        self.assertIn("PublicIpAddress", self.instances([name])[0])

    def fleet(self, overrides, total=1, spot=False, strategy=None, **more):
        template = {"LaunchTemplateName": "lt", "Version": "$Latest"}
        options = {
            "AllocationStrategy": strategy
            or ("price-capacity-optimized" if spot else "lowest-price")
        }
        return self.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {"LaunchTemplateSpecification": template, "Overrides": overrides}
            ],
            TargetCapacitySpecification={
                "TotalTargetCapacity": total,
                "DefaultTargetCapacityType": "spot" if spot else "on-demand",
            },
            **{"SpotOptions" if spot else "OnDemandOptions": options},
            **more,
        )

    def overrides(self, *types):
        return [{"InstanceType": t, "SubnetId": s} for t in types for s in self.subnet_ids]

    def test_a_fleet_takes_the_cheapest_and_honours_the_template(self):
        self.template()
        answer = self.fleet(
            self.overrides("m5.4xlarge", "m5.large", "m5.xlarge"),
            total=2,
            TagSpecifications=tagged("instance", c="fleet") + tagged("volume", w="fleet"),
        )
        self.assertEqual([entry["InstanceType"] for entry in answer["Instances"]], ["m5.large"])
        self.assertEqual(answer["Instances"][0]["Lifecycle"], "on-demand")
        ids = answer["Instances"][0]["InstanceIds"]
        self.assertEqual(len(ids), 2)
        for instance in self.instances(ids):
            tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            self.assertEqual([g["GroupId"] for g in instance["SecurityGroups"]], [self.group_id])
            self.assertTrue(instance["IamInstanceProfile"]["Arn"].endswith("/nodes"))
            self.assertEqual((tags["a"], tags["c"]), ("template", "fleet"))
            self.assertEqual(tags["aws:ec2:fleet-id"], answer["FleetId"])

    def test_a_fleet_follows_priorities(self):
        self.template()
        overrides = [
            {"InstanceType": "m5.large", "SubnetId": self.subnet_ids[0], "Priority": 2},
            {"InstanceType": "m5.xlarge", "SubnetId": self.subnet_ids[0], "Priority": 1},
        ]
        answer = self.fleet(overrides, strategy="prioritized")
        self.assertEqual(answer["Instances"][0]["InstanceType"], "m5.xlarge")

    def test_a_fleet_goes_round_what_is_missing_and_says_so(self):
        self.template()
        self.weather(insufficient_capacity=["m5.large"])
        answer = self.fleet(self.overrides("m5.large", "m5.xlarge"))
        self.assertEqual(answer["Instances"][0]["InstanceType"], "m5.xlarge")
        self.assertEqual(
            {entry["ErrorCode"] for entry in answer["Errors"]}, {"InsufficientInstanceCapacity"}
        )
        self.assertEqual(len(answer["Errors"]), 3)
        self.weather(insufficient_capacity=["*"])
        answer = self.fleet(self.overrides("m5.large"))
        self.assertEqual(answer["Instances"], [])
        self.assertEqual(len(answer["Errors"]), 3)

    def test_a_fleet_may_get_less_than_it_wants(self):
        self.template()
        self.weather(fleet_limit=2)
        answer = self.fleet(self.overrides("m5.large"), total=5)
        got = [name for entry in answer["Instances"] for name in entry["InstanceIds"]]
        self.assertEqual(len(got), 2)
        # The pool that gave what it had is empty; of the others nothing is known.
        self.assertEqual(len(answer["Errors"]), 1)

    def test_spot_needs_its_role_and_is_paid_by_the_history(self):
        self.template()
        overrides = self.overrides("m5.large", "c5.large", "r5.large")
        answer = self.fleet(overrides, spot=True)
        self.assertEqual(
            {entry["ErrorCode"] for entry in answer["Errors"]},
            {"AuthFailure.ServiceLinkedRoleCreationNotPermitted"},
        )
        self.iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
        answer = self.fleet(overrides, spot=True, strategy="lowest-price")
        history = self.ec2.describe_spot_price_history(
            InstanceTypes=["m5.large", "c5.large", "r5.large"]
        )
        prices = {
            (entry["InstanceType"], entry["AvailabilityZone"]): float(entry["SpotPrice"])
            for entry in history["SpotPriceHistory"]
            if entry["AvailabilityZone"] in ZONES
        }
        chosen = answer["Instances"][0]
        zone = chosen["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"]
        self.assertEqual(prices[(chosen["InstanceType"], zone)], min(prices.values()))
        self.assertEqual(self.instances(chosen["InstanceIds"])[0]["InstanceLifecycle"], "spot")

    def test_a_fleet_is_made_once_per_token(self):
        self.template()
        made = [self.fleet(self.overrides("m5.large"), ClientToken="t") for _ in range(2)]
        self.assertEqual(made[0]["Instances"], made[1]["Instances"])
        self.assertEqual(len(self.instances()), 1)


class ImagesAndPrices(CloudTest):
    def test_parameters_name_images_that_are_there(self):
        ssm = client("ssm")
        names = [
            f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{arch}/standard/recommended/image_id"
            for version in ("1.31", "1.33", "1.36")
            for arch in ("x86_64", "arm64")
        ] + [
            "/aws/service/bottlerocket/aws-k8s-1.35/x86_64/latest/image_id",
            "/aws/service/bottlerocket/aws-k8s-1.35-nvidia/arm64/latest/image_id",
            "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        ]
        answer = ssm.get_parameters(Names=names)
        self.assertEqual(answer["InvalidParameters"], [])
        ids = [parameter["Value"] for parameter in answer["Parameters"]]
        self.assertEqual(len(set(ids)), len(names))
        images = self.ec2.describe_images(ImageIds=ids)["Images"]
        self.assertEqual(len(images), len(names))
        self.assertEqual({image["State"] for image in images}, {"available"})
        by_path = ssm.get_parameters_by_path(
            Path="/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/arm64/standard",
            Recursive=True,
        )
        self.assertGreaterEqual(len(by_path["Parameters"]), 1)
        other = client("ssm", "us-east-1").get_parameter(Name=names[0])["Parameter"]["Value"]
        self.assertNotIn(other, ids)

    def test_only_instances_that_may_report_are_online(self):
        vpc = self.vpc()
        subnet = self.subnets(vpc, 1)[0]
        self.node_role("reports")
        self.profile("reports", "reports")
        self.role("silent", "ec2.amazonaws.com")
        self.profile("silent", "silent")
        ids = {}
        for name in ("reports", "silent"):
            ids[name] = self.ec2.run_instances(
                ImageId=self.image(),
                InstanceType="t3.micro",
                SubnetId=subnet,
                MinCount=1,
                MaxCount=1,
                IamInstanceProfile={"Name": name},
            )["Instances"][0]["InstanceId"]
        ssm = client("ssm")
        listed = ssm.describe_instance_information()["InstanceInformationList"]
        self.assertEqual([entry["InstanceId"] for entry in listed], [ids["reports"]])
        wanted = [{"Key": "InstanceIds", "Values": [ids["silent"]]}]
        listed = ssm.describe_instance_information(Filters=wanted)["InstanceInformationList"]
        self.assertEqual(listed, [])

    def test_the_catalogue_comes_in_pages(self):
        first = self.ec2.describe_instance_types()
        self.assertEqual(len(first["InstanceTypes"]), 100)
        pages = self.ec2.get_paginator("describe_instance_types").paginate()
        names = [known["InstanceType"] for page in pages for known in page["InstanceTypes"]]
        self.assertGreater(len(names), 700)
        self.assertEqual(len(set(names)), len(names))
        wanted = [{"Name": "instance-type", "Values": ["m5.*"]}]
        found = self.ec2.describe_instance_types(Filters=wanted)["InstanceTypes"]
        self.assertTrue(found and all(one["InstanceType"].startswith("m5.") for one in found))
        pages = self.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": ["m5.large"]}],
        )
        zones = {o["Location"] for page in pages for o in page["InstanceTypeOfferings"]}
        self.assertLessEqual(set(ZONES), zones)

    def test_prices_come_from_the_table(self):
        import json

        pricing = client("pricing", "us-east-1")
        filters = [
            {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m5.large"},
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION},
            {"Type": "TERM_MATCH", "Field": "operatingSystem", "Value": "Linux"},
        ]
        answer = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)
        self.assertEqual(len(answer["PriceList"]), 1)
        product = json.loads(answer["PriceList"][0])
        terms = next(iter(product["terms"]["OnDemand"].values()))
        dimension = next(iter(terms["priceDimensions"].values()))
        self.assertEqual(float(dimension["pricePerUnit"]["USD"]), 0.096)
        pages = pricing.get_paginator("get_products").paginate(ServiceCode="AmazonEC2")
        self.assertGreater(sum(len(page["PriceList"]) for page in pages), 1000)
