//! What `family@version` stands for: parameters that AWS publishes, and the nodes that each image suits. Pure.

use super::family::Family;
use crate::autoscaler::api::requirement::{Operator, Requirement};

const GPU_COUNT: &str = "karpenter.k8s.aws/instance-gpu-count";
const ACCELERATOR_COUNT: &str = "karpenter.k8s.aws/instance-accelerator-count";
const BUILD: &str = "node.kubernetes.io/windows-build";

/// A parameter that holds an image's id, and the requirements of the image beyond its architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub path: String,
    /// The nodes that the image suits, beside those of its architecture.
    pub requirements: Vec<Requirement>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Standard,
    Nvidia,
    Neuron,
}

impl Variant {
    fn requirements(self) -> Vec<Requirement> {
        match self {
            Self::Standard => {
                vec![needs(GPU_COUNT, Operator::DoesNotExist), needs(ACCELERATOR_COUNT, Operator::DoesNotExist)]
            }
            Self::Nvidia => vec![needs(GPU_COUNT, Operator::Exists)],
            Self::Neuron => vec![needs(ACCELERATOR_COUNT, Operator::Exists)],
        }
    }
}

fn needs(key: &str, operator: Operator) -> Requirement {
    Requirement { key: key.to_owned(), operator, values: Vec::new(), min_values: None }
}

/// A requirement for exactly this value.
pub fn exactly(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In, values: vec![value.to_owned()], min_values: None }
}

/// The parameters of an alias for Kubernetes 1.`minor`.
///
/// # Errors
/// What is wrong with the alias, and what to write instead.
pub fn parameters(alias: &str, minor: u32) -> Result<Vec<Parameter>, String> {
    let (name, version) = alias.split_once('@').unwrap_or((alias, ""));
    let Some(family) = Family::named(name).filter(|family| *family != Family::Custom && !version.is_empty()) else {
        return Err(format!("`{alias}` is not `family@version`: write `al2023@latest`, for example"));
    };
    match family {
        Family::Al2023 => Ok(al2023(version, minor)),
        Family::Al2 if minor >= 33 => Err(format!(
            "there is no Amazon Linux 2 for Kubernetes 1.{minor}, 1.32 was the last: write `al2023@latest`"
        )),
        Family::Al2 => Ok(al2(version, minor)),
        Family::Bottlerocket => Ok(bottlerocket(version, minor)),
        Family::Windows2025 if minor < 35 => Err(format!(
            "Windows 2025 needs Kubernetes 1.35, and the cluster has 1.{minor}: write `windows2022@latest`"
        )),
        _ => windows(family, version, minor),
    }
}

const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

fn al2023(version: &str, minor: u32) -> Vec<Parameter> {
    let variants = [("standard", Variant::Standard), ("nvidia", Variant::Nvidia), ("neuron", Variant::Neuron)];
    let mut all = Vec::new();
    for architecture in ARCHITECTURES {
        for (name, variant) in variants {
            if variant == Variant::Neuron && architecture == "arm64" {
                continue;
            }
            let release = match version {
                "latest" => "recommended".to_owned(),
                pinned => format!("amazon-eks-node-al2023-{architecture}-{name}-1.{minor}-{pinned}"),
            };
            let path = format!(
                "/aws/service/eks/optimized-ami/1.{minor}/amazon-linux-2023/{architecture}/{name}/{release}/image_id"
            );
            all.push(Parameter { path, requirements: variant.requirements() });
        }
    }
    all
}

fn al2(version: &str, minor: u32) -> Vec<Parameter> {
    let parameter = |suffix: &str, variant: Variant| {
        let release = match version {
            "latest" => "recommended".to_owned(),
            pinned => format!("amazon-eks{suffix}-node-1.{minor}-{pinned}"),
        };
        let path = format!("/aws/service/eks/optimized-ami/1.{minor}/amazon-linux-2{suffix}/{release}/image_id");
        Parameter { path, requirements: variant.requirements() }
    };
    vec![
        parameter("", Variant::Standard),
        parameter("-arm64", Variant::Standard),
        parameter("-gpu", Variant::Nvidia),
        parameter("-gpu", Variant::Neuron),
    ]
}

fn bottlerocket(version: &str, minor: u32) -> Vec<Parameter> {
    let release = version.trim_start_matches('v');
    let parameter = |suffix: &str, architecture: &str, variant: Variant| {
        let path = format!("/aws/service/bottlerocket/aws-k8s-1.{minor}{suffix}/{architecture}/{release}/image_id");
        Parameter { path, requirements: variant.requirements() }
    };
    let mut all = Vec::new();
    for architecture in ARCHITECTURES {
        all.push(parameter("", architecture, Variant::Standard));
        all.push(parameter("-nvidia", architecture, Variant::Nvidia));
    }
    all
}

fn windows(family: Family, version: &str, minor: u32) -> Result<Vec<Parameter>, String> {
    let year = family.text().trim_start_matches("Windows");
    let build = family.windows_build().unwrap_or_default();
    if version != "latest" {
        return Err(format!("Windows has only its latest version: write `windows{year}@latest`"));
    }
    let path =
        format!("/aws/service/ami-windows-latest/Windows_Server-{year}-English-Core-EKS_Optimized-1.{minor}/image_id");
    Ok(vec![Parameter { path, requirements: vec![exactly("kubernetes.io/os", "windows"), exactly(BUILD, build)] }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(alias: &str, minor: u32) -> Vec<String> {
        let found = parameters(alias, minor).unwrap_or_else(|fault| panic!("{fault}"));
        found.into_iter().map(|parameter| parameter.path).collect()
    }

    #[test]
    fn each_family_has_the_parameters_that_aws_publishes() {
        let eks = "/aws/service/eks/optimized-ami";
        assert_eq!(
            paths("al2023@latest", 35),
            [
                format!("{eks}/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id"),
                format!("{eks}/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id"),
                format!("{eks}/1.35/amazon-linux-2023/x86_64/neuron/recommended/image_id"),
                format!("{eks}/1.35/amazon-linux-2023/arm64/standard/recommended/image_id"),
                format!("{eks}/1.35/amazon-linux-2023/arm64/nvidia/recommended/image_id"),
            ]
        );
        assert_eq!(
            paths("al2023@v20240807", 32)[3],
            format!(
                "{eks}/1.32/amazon-linux-2023/arm64/standard/amazon-eks-node-al2023-arm64-standard-1.32-v20240807/image_id"
            )
        );
        assert_eq!(
            paths("al2@v20240807", 32)[2],
            format!("{eks}/1.32/amazon-linux-2-gpu/amazon-eks-gpu-node-1.32-v20240807/image_id")
        );
        assert_eq!(paths("al2@latest", 32)[0], format!("{eks}/1.32/amazon-linux-2/recommended/image_id"));
        assert_eq!(
            paths("bottlerocket@v1.52.0", 35)[1],
            "/aws/service/bottlerocket/aws-k8s-1.35-nvidia/x86_64/1.52.0/image_id"
        );
        assert_eq!(paths("bottlerocket@latest", 35)[2], "/aws/service/bottlerocket/aws-k8s-1.35/arm64/latest/image_id");
        assert_eq!(
            paths("windows2022@latest", 35),
            ["/aws/service/ami-windows-latest/Windows_Server-2022-English-Core-EKS_Optimized-1.35/image_id"]
        );
    }

    #[test]
    fn aliases_that_lead_nowhere_say_what_to_write() {
        for (alias, minor, words) in [
            ("al2@latest", 33, "al2023@latest"),
            ("windows2025@latest", 34, "windows2022@latest"),
            ("windows2019@v1", 35, "windows2019@latest"),
            ("ubuntu@latest", 35, "family@version"),
            ("al2023", 35, "family@version"),
        ] {
            let fault = parameters(alias, minor).map_or_else(|fault| fault, |found| panic!("{found:?}"));
            assert!(fault.contains(words), "{alias}: {fault}");
        }
    }
}
