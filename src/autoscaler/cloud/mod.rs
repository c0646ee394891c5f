//! EC2 for the autoscaler: what it sells, what a class means in it, and instances from launch to end.
//!
//! | file | holds |
//! |---|---|
//! | `ec2` | the door: everything that controllers ask for |
//! | `class` | an EC2NodeClass with what its selectors mean |
//! | `market`, `catalogue` | what the region sells; the same as nodes of a class see it |
//! | `types`, `prices` | EC2's description of an instance type; prices on demand and of spot |
//! | `unavailable` | what EC2 could not give lately |
//! | `launch`, `fleet` | what a node is asked for with and what comes back; how it is bought |
//! | `template`, `user_data` | launch templates, and what instances learn from them |
//! | `room`, `books` | free addresses of subnets; instances that are left of capacity reservations |
//! | `instances`, `calls` | instances as EC2 shows them; reading, tagging and ending them |
//! | `collect` | what is left over of templates and profiles |
//! | `tags` | the tags of everything that is made |
//! | `shelf`, `batch`, `insist` | answers kept for a while, questions asked together, calls made again |

mod batch;
mod books;
mod calls;
mod catalogue;
pub mod class;
mod collect;
mod ec2;
mod fleet;
mod insist;
mod instances;
mod launch;
mod market;
mod prices;
mod room;
mod shelf;
pub mod tags;
mod template;
mod types;
mod unavailable;
mod user_data;

pub use catalogue::catalogue;
pub use class::{ClassCondition, ClassFault, Family, Image, Reservation, ResolvedClass, Subnet, Unmet};
pub use ec2::{CloudSettings, ClusterFacts, Ec2, IpFamily};
pub use instances::{Instance, InstanceHealth, InstanceState, ScheduledEvent, instance_id, provider_id};
pub use launch::{CapacityType, LaunchError, LaunchOption, LaunchRequest, Launched};
pub use unavailable::{Scope, Unavailable};
