//! Rules for `bastion`: who may come in, and with what.

use super::{Finding, Report, refuse_repetitions};
use crate::spec::document::Path;
use crate::spec::model::{Bastion, BastionAccess, Gibibytes, Stack};

/// The root volume of the image.
const SMALLEST_DISK: Gibibytes = Gibibytes(8);

/// What a gp3 volume can have.
const LARGEST_DISK: Gibibytes = Gibibytes(16 * 1024);

pub(super) fn check(stack: &Stack, report: &mut Report<'_>) {
    let Some(bastion) = &stack.bastion else {
        return;
    };
    match bastion.access {
        BastionAccess::Ssh => ssh_has_a_key_and_known_networks(bastion, report),
        BastionAccess::Ssm => ssm_has_neither(report),
    }
    networks_are_not_the_world(bastion, report);
    disk_is_possible(bastion, report);
    let tools = Path::of("bastion.tools");
    refuse_repetitions(report, &tools, &bastion.tools, |tool| format!("{tool:?}").to_lowercase());
}

fn place(key: &str) -> Path {
    Path::of("bastion").key(key)
}

fn ssh_has_a_key_and_known_networks(bastion: &Bastion, report: &mut Report<'_>) {
    if bastion.key_name.is_none() {
        report.add(
            Finding::new(
                place("access"),
                "`access: ssh` needs `keyName`",
                "add `keyName: <name of an EC2 key pair in the region>`, or write `access: ssm`, which needs no key",
            )
            .given(place("keyName")),
        );
    }
    if bastion.allow_from.is_empty() {
        report.add(
            Finding::new(
                place("access"),
                "`access: ssh` needs `allowFrom`",
                "add `allowFrom: [<your network>/32]`, or write `access: ssm`, which opens no port",
            )
            .because("port 22 is opened to these networks, and to nobody else")
            .given(place("allowFrom")),
        );
    }
}

fn ssm_has_neither(report: &mut Report<'_>) {
    for key in ["keyName", "allowFrom"] {
        if report.wrote(&place(key)) {
            let finding = Finding::of_key(
                place(key),
                format!("`{key}` means nothing with `access: ssm`"),
                format!("remove `{key}`, or write `access: ssh`"),
            )
            .because("Session Manager opens no port and uses no key; IAM decides who may come in")
            .given(place("access"));
            report.add(finding);
        }
    }
}

fn networks_are_not_the_world(bastion: &Bastion, report: &mut Report<'_>) {
    for (index, cidr) in bastion.allow_from.iter().enumerate() {
        if cidr.prefix() < 8 {
            let message = match cidr.prefix() {
                0 => "this opens SSH to the whole world".to_owned(),
                _ => format!("`{cidr}` opens SSH to {} addresses", 1_u64 << (32 - cidr.prefix())),
            };
            report.add(
                Finding::new(
                    place("allowFrom").index(index),
                    message,
                    "write your own network, such as `203.0.113.0/24`, or use `access: ssm`, which opens no port",
                )
                .because("every address on the internet is tried for weak SSH within minutes; /8 is the widest that is taken"),
            );
        }
    }
}

fn disk_is_possible(bastion: &Bastion, report: &mut Report<'_>) {
    if !(SMALLEST_DISK..=LARGEST_DISK).contains(&bastion.disk_size) {
        report.add(
            Finding::new(
                place("diskSize"),
                format!("`{}` is not a possible size for the bastion's disk", bastion.disk_size),
                format!("write a size from `{SMALLEST_DISK}` to `{LARGEST_DISK}`"),
            )
            .because("the image of Amazon Linux 2023 itself takes 8Gi"),
        );
    }
}
