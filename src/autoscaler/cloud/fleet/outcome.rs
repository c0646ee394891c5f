//! What CreateFleet has answered: instances, and what could not be had, sorted by what follows from it. Pure.

use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::types::LaunchTemplateAndOverridesResponse;

use crate::autoscaler::cloud::launch::CapacityType;
use crate::autoscaler::cloud::unavailable::Scope;
use crate::aws::{Class, CloudError};

/// An instance of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// `i-…`
    pub id: String,
    /// Its type.
    pub instance_type: String,
    /// Its subnet.
    pub subnet: String,
}

/// Something of the answer that could not be had.
#[derive(Clone, Debug)]
pub struct Miss {
    /// The type that was tried, if it says.
    pub instance_type: Option<String>,
    /// The subnet that was tried, if it says.
    pub subnet: Option<String>,
    /// Why not.
    pub error: CloudError,
}

/// What follows from something that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// It is left alone for a while.
    Avoid(Scope),
    /// The launch template has vanished: it is made anew.
    MakeTemplateAnew,
    /// The same again, a moment later.
    Again,
    /// This offering cannot be started so, and will not be.
    Never,
}

/// EC2 has no room for the offering, or the account may have no more of it.
const NO_ROOM: [&str; 8] = [
    "InsufficientInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "UnfulfillableCapacity",
    "Unsupported",
    "MaxFleetCountExceeded",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
];
/// Of a reservation that is full, over, not there, or of another kind.
const OF_RESERVATIONS: &str = "Reservation";
const NO_ADDRESS: &str = "InsufficientFreeAddressesInSubnet";
const NO_SPOT_ROLE: &str = "AuthFailure.ServiceLinkedRoleCreationNotPermitted";

/// Instances and failures of an answer.
pub fn read(answer: &CreateFleetOutput) -> (Vec<Got>, Vec<Miss>) {
    let mut got = Vec::new();
    for launched in answer.instances() {
        let (named_type, named_subnet) = named(launched.launch_template_and_overrides());
        let instance_type = launched.instance_type().map(|kind| kind.as_str().to_owned()).or(named_type);
        let subnet = launched.subnet_id().map(str::to_owned).or(named_subnet);
        for id in launched.instance_ids() {
            got.push(Got {
                id: id.clone(),
                instance_type: instance_type.clone().unwrap_or_default(),
                subnet: subnet.clone().unwrap_or_default(),
            });
        }
    }
    let missed = answer.errors().iter().map(|error| {
        let (instance_type, subnet) = named(error.launch_template_and_overrides());
        let code = error.error_code().unwrap_or("Unknown");
        let message = error.error_message().unwrap_or("EC2 gave no reason");
        Miss { instance_type, subnet, error: CloudError::answered("ec2:CreateFleet", code, message) }
    });
    (got, missed.collect())
}

fn named(tried: Option<&LaunchTemplateAndOverridesResponse>) -> (Option<String>, Option<String>) {
    let overrides = tried.and_then(|tried| tried.overrides());
    (
        overrides.and_then(|each| each.instance_type()).map(|kind| kind.as_str().to_owned()),
        overrides.and_then(|each| each.subnet_id()).map(str::to_owned),
    )
}

impl Miss {
    /// What follows from it, for instances that are paid for so and go into this reservation; `zone_of` knows the zones
    /// of subnets.
    pub fn lesson(
        &self,
        capacity_type: CapacityType,
        reservation: Option<&str>,
        zone_of: impl Fn(&str) -> Option<String>,
    ) -> Lesson {
        let code = self.error.code.as_deref().unwrap_or_default();
        if code == NO_SPOT_ROLE {
            return Lesson::Avoid(Scope::CapacityType(capacity_type));
        }
        if code == NO_ADDRESS {
            return self.subnet.clone().map_or(Lesson::Never, |subnet| Lesson::Avoid(Scope::Subnet(subnet)));
        }
        if let Some(id) = reservation.filter(|_| NO_ROOM.contains(&code) || code.contains(OF_RESERVATIONS)) {
            return Lesson::Avoid(Scope::Reservation(id.to_owned()));
        }
        if NO_ROOM.contains(&code) {
            let zone = self.subnet.as_deref().and_then(zone_of);
            return match (&self.instance_type, zone) {
                (Some(name), Some(zone)) => Lesson::Avoid(Scope::offering(capacity_type, name, &zone)),
                _ => Lesson::Never,
            };
        }
        match self.error.class {
            _ if code.starts_with("InvalidLaunchTemplate") => Lesson::MakeTemplateAnew,
            class if class.may_pass() => Lesson::Again,
            Class::Missing if code.contains("LaunchTemplate") => Lesson::MakeTemplateAnew,
            _ => Lesson::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(code: &str, message: &str) -> Lesson {
        lesson_of(code, message, (CapacityType::Spot, None))
    }

    fn lesson_of(code: &str, message: &str, (capacity_type, reservation): (CapacityType, Option<&str>)) -> Lesson {
        let miss = Miss {
            instance_type: Some("m5.large".into()),
            subnet: Some("subnet-1".into()),
            error: CloudError::answered("ec2:CreateFleet", code, message),
        };
        miss.lesson(capacity_type, reservation, |_| Some("eu-west-1a".to_owned()))
    }

    #[test]
    fn each_failure_of_an_offering_teaches_what_to_leave_alone_and_what_to_try_again() {
        let offering = Lesson::Avoid(Scope::offering(CapacityType::Spot, "m5.large", "eu-west-1a"));
        for code in NO_ROOM {
            assert_eq!(lesson(code, ""), offering, "{code}");
        }
        assert_eq!(lesson(NO_ADDRESS, ""), Lesson::Avoid(Scope::Subnet("subnet-1".into())));
        assert_eq!(lesson(NO_SPOT_ROLE, ""), Lesson::Avoid(Scope::CapacityType(CapacityType::Spot)));
        assert_eq!(lesson("InvalidLaunchTemplateName.NotFoundException", ""), Lesson::MakeTemplateAnew);
        assert_eq!(lesson("InvalidParameterValue", "Invalid IAM Instance Profile name"), Lesson::Again);
        assert_eq!(lesson("RequestLimitExceeded", ""), Lesson::Again);
        assert_eq!(lesson("InvalidParameterValue", "The architecture 'arm64' …"), Lesson::Never);
        assert_eq!(lesson("UnauthorizedOperation", ""), Lesson::Never);
    }
    #[test]
    fn a_reservation_is_left_alone_as_a_whole_and_for_its_own_faults_alone() {
        let into = (CapacityType::Reserved, Some("cr-1"));
        let whole = Lesson::Avoid(Scope::Reservation("cr-1".into()));
        let codes =
            ["ReservationCapacityExceeded", "InsufficientInstanceCapacity", "InvalidCapacityReservationId.NotFound"];
        for code in codes {
            assert_eq!(lesson_of(code, "", into), whole, "{code}");
        }
        assert_eq!(lesson_of(NO_ADDRESS, "", into), Lesson::Avoid(Scope::Subnet("subnet-1".into())));
        assert_eq!(lesson_of("RequestLimitExceeded", "", into), Lesson::Again);
        assert_eq!(lesson_of("UnauthorizedOperation", "", into), Lesson::Never);
    }
}
