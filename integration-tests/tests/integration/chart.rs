//! The Helm chart: linted, rendered, and checked against Kubernetes' schemas.

use std::path::PathBuf;
use std::process::{Command, Output};

const CHART: &str = "../helm/weir";

fn cache() -> PathBuf {
    std::env::var_os("WEIR_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/weir"),
        PathBuf::from,
    )
}

fn helm(arguments: &[&str]) -> Output {
    let helm = cache().join("bin/helm-3.22.0");
    Command::new(&helm)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; see `make setup`", helm.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_chart_is_clean() {
    let lint = helm(&["lint", "--strict", CHART]);
    assert!(lint.status.success(), "{}{}", text(&lint.stdout), text(&lint.stderr));
}

#[test]
fn manifests_fit_kubernetes_schemas() {
    let variants: &[&[&str]] = &[
        &[],
        &[
            "--set",
            "jobManager.metadata.persistence.enabled=false,networkPolicy.enabled=false,serviceAccount.create=false",
        ],
        &["--set", "existingConfigMap=mine,image.digest=sha256:0000,taskManager.replicas=0"],
        &["--set-json", r#"env=[{"name":"A","value":"b"}]"#],
    ];
    for variant in variants {
        let mut arguments = vec!["template", "release", CHART, "--kube-version", "1.34.1"];
        arguments.extend_from_slice(variant);
        let rendered = helm(&arguments);
        assert!(rendered.status.success(), "{}", text(&rendered.stderr));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("manifests.yaml");
        std::fs::write(&file, &rendered.stdout).expect("the folder is writable");
        let checked = Command::new(cache().join("venv/bin/kubernetes-validate"))
            .args(["-k", "1.34", "--strict"])
            .arg(&file)
            .output()
            .expect("kubernetes-validate runs; see `make setup`");
        assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
    }
}

#[test]
fn unknown_and_mistyped_values_are_refused() {
    for wrong in ["taskManager.replica=3", "taskManager.replicas=many", "image.pullPolicy=Sometimes"] {
        let rendered = helm(&["template", "release", CHART, "--kube-version", "1.34.1", "--set", wrong]);
        assert!(!rendered.status.success(), "{wrong} was accepted");
    }
}
