"""Capacity reservations: found as EC2 finds them, used up by launches and free again when instances end."""

from .testing import ZONES, CloudTest, tagged


class Reservations(CloudTest):
    def setUp(self):
        super().setUp()
        self.vpc_id = self.vpc()
        self.subnet_ids = self.subnets(self.vpc_id, 2)

    def reserve(self, count=2, zone=ZONES[0], **more):
        made = self.ec2.create_capacity_reservation(
            InstanceType="m5.large",
            InstancePlatform="Linux/UNIX",
            AvailabilityZone=zone,
            InstanceCount=count,
            **more,
        )
        return made["CapacityReservation"]["CapacityReservationId"]

    def found(self, *filters, **more):
        filters = [{"Name": name, "Values": [value]} for name, value in filters]
        asked = {"Filters": filters, **more} if filters else more
        return self.ec2.describe_capacity_reservations(**asked)["CapacityReservations"]

    def left(self, name):
        return self.found(CapacityReservationIds=[name])[0]["AvailableInstanceCount"]

    def specification(self, preference, target=None):
        wanted = {"CapacityReservationPreference": preference}
        if target:
            wanted["CapacityReservationTarget"] = {"CapacityReservationId": target}
        return wanted

    def launch(self, count=1, kind="m5.large", subnet=0, **more):
        made = self.ec2.run_instances(
            ImageId=self.image(),
            InstanceType=kind,
            SubnetId=self.subnet_ids[subnet],
            MinCount=count,
            MaxCount=count,
            **more,
        )
        return [instance["InstanceId"] for instance in made["Instances"]]

    def fleet(self, total, reservation):
        name = f"lt-{reservation}"
        data = {
            "ImageId": self.image(),
            "CapacityReservationSpecification": self.specification(
                "capacity-reservations-only", reservation
            ),
        }
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        answer = self.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateName": name,
                        "Version": "$Latest",
                    },
                    "Overrides": [{"InstanceType": "m5.large", "SubnetId": self.subnet_ids[0]}],
                }
            ],
            TargetCapacitySpecification={
                "TotalTargetCapacity": total,
                "DefaultTargetCapacityType": "on-demand",
            },
        )
        got = [name for entry in answer["Instances"] for name in entry["InstanceIds"]]
        return got, {entry["ErrorCode"] for entry in answer["Errors"]}

    def test_reservations_are_found_by_id_tags_owner_state_and_whom_they_are_open_to(self):
        one = self.reserve(TagSpecifications=tagged("capacity-reservation", team="web"))
        other = self.reserve(InstanceMatchCriteria="targeted", zone=ZONES[1])
        owner = self.found(CapacityReservationIds=[one])[0]["OwnerId"]

        def ids(*filters):
            return {entry["CapacityReservationId"] for entry in self.found(*filters)}

        self.assertEqual(ids(("tag:team", "web")), {one})
        self.assertEqual(ids(("tag-key", "team"), ("state", "active")), {one})
        self.assertEqual(ids(("instance-match-criteria", "targeted")), {other})
        self.assertEqual(ids(("owner-id", owner)), {one, other})
        self.assertEqual(ids(("owner-id", "000000000000")), set())
        self.refused(
            "InvalidCapacityReservationId.NotFound",
            "cr-0",
            self.ec2.describe_capacity_reservations,
            CapacityReservationIds=["cr-0"],
        )

    def test_a_launch_takes_of_the_reservation_that_it_names_and_gives_back_at_its_end(self):
        name = self.reserve(InstanceMatchCriteria="targeted")
        only = self.specification("capacity-reservations-only", name)
        made = self.launch(2, CapacityReservationSpecification=only)
        self.assertEqual(self.left(name), 0)
        found = self.ec2.describe_instances(InstanceIds=made)["Reservations"][0]["Instances"][0]
        self.assertEqual(found["CapacityReservationId"], name)
        target = found["CapacityReservationSpecification"]["CapacityReservationTarget"]
        self.assertEqual(target["CapacityReservationId"], name)
        self.refused(
            "ReservationCapacityExceeded",
            name,
            self.launch,
            CapacityReservationSpecification=only,
        )
        self.ec2.terminate_instances(InstanceIds=made[:1])
        self.later()
        self.assertEqual(self.left(name), 1)

    def test_another_type_or_zone_has_no_room_in_a_reservation(self):
        only = self.specification("capacity-reservations-only", self.reserve())
        for changed in ({"kind": "m5.xlarge"}, {"subnet": 1}):
            self.refused(
                "ReservationCapacityExceeded",
                "cr-",
                self.launch,
                CapacityReservationSpecification=only,
                **changed,
            )

    def test_what_is_open_is_used_by_launches_that_do_not_keep_out(self):
        name = self.reserve(count=1)
        self.launch(CapacityReservationSpecification=self.specification("none"))
        self.assertEqual(self.left(name), 1)
        self.launch(2)
        self.assertEqual(self.left(name), 0)

    def test_a_fleet_gets_what_is_left_and_is_told_of_the_rest(self):
        name = self.reserve(count=3)
        got, errors = self.fleet(5, name)
        self.assertEqual((len(got), errors), (3, {"ReservationCapacityExceeded"}))
        self.weather(insufficient_capacity=["*"])
        other = self.reserve(count=1)
        got, errors = self.fleet(1, other)
        self.assertEqual((len(got), errors), (1, set()), "what is reserved is there")

    def test_instances_outlive_a_reservation_that_is_cancelled(self):
        name = self.reserve()
        made = self.launch()
        self.assertEqual(self.left(name), 1)
        self.ec2.cancel_capacity_reservation(CapacityReservationId=name)
        self.assertEqual(self.found(("state", "active")), [])
        found = self.ec2.describe_instances(InstanceIds=made)["Reservations"][0]["Instances"][0]
        self.assertNotIn("CapacityReservationId", found)
        self.assertNotIn("capacity_reservations", " ".join(self.inventory()))
