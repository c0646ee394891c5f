//! What a [`Reference`](crate::plan::Reference) can be of. The types have no values: they keep a
//! subnet from being handed a role.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* #[derive(Debug)] pub enum $name {})*
    };
}

ids! {
    /// `vpc-…`
    VpcId,
    /// `subnet-…`
    SubnetId,
    /// `igw-…` or `nat-…`: where a route leads.
    GatewayId,
    /// `rtb-…`
    RouteTableId,
    /// `acl-…`
    NetworkAclId,
    /// `eipalloc-…`
    AllocationId,
    /// `sg-…`
    SecurityGroupId,
    /// `lt-…`
    LaunchTemplateId,
    /// The number of a launch template's version.
    LaunchTemplateVersion,
    /// The name of an IAM role.
    RoleName,
    /// The ARN of an IAM role.
    RoleArn,
    /// The name of an instance profile.
    InstanceProfileName,
    /// The ARN of an OIDC provider.
    OidcProviderArn,
    /// The issuer URL of a cluster's service-account tokens.
    IssuerUrl,
    /// The name of an EKS cluster.
    ClusterName,
    /// The name of an RDS subnet group.
    SubnetGroupName,
    /// The ARN of a queue.
    QueueArn,
    /// A resource that tags are put on although it is not ours.
    TaggedId,
    /// Any other text that an output holds: an endpoint, an ARN, a URL.
    Text,
}
