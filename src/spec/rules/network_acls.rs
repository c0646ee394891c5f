//! Rules for `network.networkAcls`.

use super::{Finding, Report};
use crate::spec::document::Path;
use crate::spec::model::{AclAction, AclProtocol, AclRule, Network};
use crate::spec::problem::quoted;

pub(super) fn check(network: &Network, report: &mut Report<'_>) {
    let Some(acls) = &network.network_acls else {
        return;
    };
    for (role, acl) in [("public", &acls.public), ("private", &acls.private)] {
        for (direction, rules) in [("ingress", &acl.ingress), ("egress", &acl.egress)] {
            let path = Path::of("network.networkAcls").key(role).key(direction);
            direction_makes_sense(&path, rules, report);
        }
    }
}

fn direction_makes_sense(path: &Path, rules: &[AclRule], report: &mut Report<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        ports_fit_the_protocol(&path.index(index), rule, report);
        if let Some(first) = rules[..index].iter().position(|other| other.rule_number == rule.rule_number) {
            report.add(
                Finding::new(
                    path.index(index).key("ruleNumber"),
                    format!("the rule number {} is used twice", rule.rule_number),
                    "give each rule of a direction a number of its own; ten apart leaves room",
                )
                .see(path.index(first).key("ruleNumber"), "first here"),
            );
        }
    }
    if rules.is_empty() {
        report.add(
            Finding::of_key(
                path.clone(),
                format!("{} has no rule, so that nothing passes", quoted(path.last_key().unwrap_or_default())),
                "write the rules that let traffic through, or remove the line to let everything through",
            )
            .because("what no rule allows, an ACL drops"),
        );
    } else if !rules.iter().any(lets_answers_through) {
        report.add(
            Finding::of_key(
                path.clone(),
                "no rule lets the answers to connections through",
                "add a rule such as `{ ruleNumber: 900, protocol: tcp, ports: 1024-65535, cidr: 0.0.0.0/0, action: allow }`",
            )
            .because("ACLs are stateless: the answer to a connection arrives at a port from 1024 on, and needs a rule too")
            .warning(),
        );
    }
}

fn lets_answers_through(rule: &AclRule) -> bool {
    let ports = rule.ports.is_none_or(|ports| ports.from <= 32768 && ports.to >= 60999);
    let protocol = matches!(rule.protocol, AclProtocol::All | AclProtocol::Tcp);
    rule.action == AclAction::Allow && protocol && ports
}

fn ports_fit_the_protocol(path: &Path, rule: &AclRule, report: &mut Report<'_>) {
    let with_ports = matches!(rule.protocol, AclProtocol::Tcp | AclProtocol::Udp);
    let protocol = match rule.protocol {
        AclProtocol::All => "all",
        AclProtocol::Tcp => "tcp",
        AclProtocol::Udp => "udp",
        AclProtocol::Icmp => "icmp",
    };
    match (with_ports, rule.ports) {
        (true, None) => report.add(
            Finding::new(
                path.clone(),
                format!("a rule for `{protocol}` needs `ports`"),
                "add `ports: 443`, or `ports: 0-65535` for all of them",
            )
            .given(path.key("protocol")),
        ),
        (false, Some(_)) => report.add(
            Finding::of_key(
                path.key("ports"),
                format!("`ports` mean nothing with `protocol: {protocol}`"),
                format!("add {}, or remove `ports`", quoted("protocol: tcp")),
            )
            .given(path.key("protocol")),
        ),
        _ => {}
    }
}
