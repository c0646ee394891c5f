//! Kinds of CloudWatch Logs.

use eksup::aws::log_group::{ADDRESS, LogGroup, name_for};

use crate::harness::{Form, Row, STACK};

/// The rows of this file.
pub fn rows() -> Vec<Row> {
    vec![Row {
        kind: "log-group",
        address: ADDRESS,
        declare: |resources, form| {
            let retention_days = if form == Form::Changed { 0 } else { 90 };
            resources.add(ADDRESS, LogGroup { name: name_for(STACK), retention_days });
        },
        changes: true,
        replaces: false,
        drift: Some(|cloud, group| {
            Box::pin(async move {
                let sending = cloud.write.logs.put_retention_policy().log_group_name(group.identity());
                sending.retention_in_days(7).send().await.expect("the drift");
            })
        }),
    }]
}
