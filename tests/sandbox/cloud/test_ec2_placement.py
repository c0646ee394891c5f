"""Placement: groups as EC2 has them, and instances that say where they are."""

from .testing import CloudTest


class Placement(CloudTest):
    def setUp(self):
        super().setUp()
        self.subnet_id = self.subnets(self.vpc(), 1)[0]

    def placed(self, **placement):
        made = self.ec2.run_instances(
            ImageId=self.image(),
            InstanceType="m5.large",
            SubnetId=self.subnet_id,
            MinCount=1,
            MaxCount=1,
            Placement=placement,
        )
        shown = self.ec2.describe_instances(InstanceIds=[made["Instances"][0]["InstanceId"]])
        return shown["Reservations"][0]["Instances"][0]

    def test_an_instance_shows_its_group_and_its_tenancy(self):
        group = self.ec2.create_placement_group(GroupName="near", Strategy="cluster")
        group_id = group["PlacementGroup"]["GroupId"]
        here = self.placed(GroupId=group_id, Tenancy="dedicated")["Placement"]
        self.assertEqual(
            (here["GroupId"], here["GroupName"], here["Tenancy"]), (group_id, "near", "dedicated")
        )
        elsewhere = self.placed()["Placement"]
        self.assertEqual((elsewhere.get("GroupId"), elsewhere["Tenancy"]), (None, "default"))

    def test_a_fleet_that_names_a_zone_is_placed_as_its_template_says(self):
        data = {"ImageId": self.image(), "Placement": {"Tenancy": "dedicated"}}
        self.ec2.create_launch_template(LaunchTemplateName="alone", LaunchTemplateData=data)
        zone = self.ec2.describe_subnets(SubnetIds=[self.subnet_id])["Subnets"][0]
        fleet = self.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": "alone",
                        "Version": "$Latest",
                    },
                    "Overrides": [
                        {
                            "InstanceType": "m5.large",
                            "SubnetId": self.subnet_id,
                            "AvailabilityZone": zone["AvailabilityZone"],
                        }
                    ],
                }
            ],
            TargetCapacitySpecification={
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "on-demand",
            },
        )
        instance_ids = fleet["Instances"][0]["InstanceIds"]
        shown = self.ec2.describe_instances(InstanceIds=instance_ids)["Reservations"]
        self.assertEqual(shown[0]["Instances"][0]["Placement"]["Tenancy"], "dedicated")

    def test_groups_are_found_by_name_and_id_and_stay_while_they_are_used(self):
        group = self.ec2.create_placement_group(GroupName="near", Strategy="spread")
        group_id = group["PlacementGroup"]["GroupId"]
        for name, value in (("group-id", group_id), ("group-name", "near")):
            found = self.ec2.describe_placement_groups(
                Filters=[{"Name": name, "Values": [value]}]
            )["PlacementGroups"]
            self.assertEqual([one["GroupId"] for one in found], [group_id])
        self.refused(
            "InvalidPlacementGroup.Duplicate",
            "near",
            self.ec2.create_placement_group,
            GroupName="near",
            Strategy="spread",
        )
        self.refused("InvalidPlacementGroup.Unknown", "far", self.placed, GroupName="far")
        instance = self.placed(GroupName="near")
        delete = self.ec2.delete_placement_group
        self.refused("InvalidPlacementGroup.InUse", "near", delete, GroupName="near")
        self.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
        self.later()
        delete(GroupName="near")
        self.assertEqual(self.ec2.describe_placement_groups()["PlacementGroups"], [])
