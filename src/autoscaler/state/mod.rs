//! What the cluster looks like now, in compact form: interned strings, integer resources,
//! pods that are alike held once. Pure: no cloud, no Kubernetes client, no clock.
//!
//! | file | holds |
//! |---|---|
//! | `quantity` | Kubernetes quantities as integers |
//! | `intern`, `names` | strings as symbols; the keys with a meaning |
//! | `resources` | resource names and amounts |
//! | `requirements` | label requirements as sets |
//! | `pod_spec`, `pod_reading` | a pod as the scheduler sees it; how it is read |
//! | `volumes` | where the volumes of a pod can be used |
//! | `instance_types`, `catalogue_file`, `overhead` | what machines there are, and what they leave for pods |
//! | `pools` | NodePools as the scheduler sees them |
//! | `alike` | values that many share, kept once |
//! | `cluster` | pods, nodes and pools together |
//! | `live` | what the watches of a running cluster have told |

pub mod alike;
pub mod catalogue_file;
pub mod cluster;
pub mod instance_types;
pub mod intern;
pub mod live;
pub mod names;
pub mod overhead;
pub mod pod_reading;
pub mod pod_spec;
pub mod pools;
pub mod quantity;
pub mod requirements;
pub mod resources;
pub mod volumes;
