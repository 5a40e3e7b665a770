//! Crates know only those that the architecture lets them know; heavy libraries stay behind the crate that needs them.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// For each crate, the crates of the workspace that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("weir-proto", &[]),
    ("weir-api", &["weir-proto"]),
    ("weir-snapshots", &["weir-proto", "weir-api"]),
    ("weir-state", &["weir-api", "weir-snapshots"]),
    ("weir-functions", &["weir-api"]),
    ("weir-sql", &["weir-proto", "weir-api", "weir-functions"]),
    ("weir-operators", &["weir-proto", "weir-api", "weir-functions"]),
    ("weir-connectors", &["weir-proto", "weir-api"]),
    ("weir-taskmanager", &["weir-proto", "weir-api", "weir-operators", "weir-snapshots", "weir-state"]),
    ("weir-jobmanager", &["weir-proto", "weir-api", "weir-snapshots", "weir-sql"]),
    (
        "weir",
        &[
            "weir-proto",
            "weir-api",
            "weir-sql",
            "weir-snapshots",
            "weir-connectors",
            "weir-jobmanager",
            "weir-taskmanager",
        ],
    ),
    ("weir-integration-tests", &[]),
    // What judges the engine's output links nothing of it.
    ("weir-chaos", &[]),
];

/// Libraries that only these crates may name.
const OWNED: &[(&str, &[&str])] = &[
    ("datafusion", &["weir-sql"]),
    ("rocksdb", &["weir-state"]),
    ("rdkafka", &["weir-connectors", "weir-integration-tests", "weir-chaos"]),
    ("etcd-client", &["weir-jobmanager"]),
    ("parquet", &["weir-connectors"]),
    ("object_store", &["weir-api", "weir-connectors", "weir-snapshots"]),
    ("axum", &["weir-jobmanager", "weir-taskmanager"]),
    ("socket2", &["weir-taskmanager"]),
];

/// Libraries of which the tree holds one version, as their types cross crates.
const SINGLE: &[&str] = &["arrow", "arrow-array", "object_store", "tonic", "prost", "http"];

#[test]
fn dependencies_lead_one_way() {
    let manifest = "../Cargo.toml";
    let metadata = MetadataCommand::new().manifest_path(manifest).exec().expect("cargo metadata");
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let members: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some(may_know) = allowed.get(name) else {
            wrong.push(format!("{name} isn't listed: say what it may know"));
            continue;
        };
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let other = dependency.name.as_str();
            if members.contains(other) && !may_know.contains(&other) {
                wrong.push(format!("{name} may not know {other}"));
            }
            if OWNED.iter().any(|(library, owners)| *library == other && !owners.contains(&name)) {
                wrong.push(format!("{name} may not name the library {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_version_of_what_crosses_crates() {
    let manifest = "../Cargo.toml";
    let metadata = MetadataCommand::new().manifest_path(manifest).exec().expect("cargo metadata");
    for library in SINGLE {
        let versions: BTreeSet<_> = metadata
            .packages
            .iter()
            .filter(|package| package.name.as_str() == *library)
            .map(|p| p.version.to_string())
            .collect();
        assert_eq!(versions.len(), 1, "{library}: {versions:?}");
    }
}

/// The bugs that the simulation plants are in no build but that of tests.
#[test]
fn nothing_but_tests_turns_planted_bugs_on() {
    let manifest = "../Cargo.toml";
    let metadata = MetadataCommand::new().manifest_path(manifest).exec().expect("cargo metadata");
    let mut planters = 0;
    for package in metadata.workspace_packages() {
        assert!(
            !package
                .features
                .get("default")
                .is_some_and(|features| features.iter().any(|f| f.contains("planted"))),
            "{} plants bugs by default",
            package.name
        );
        for dependency in &package.dependencies {
            let plants = dependency.features.iter().any(|feature| feature == "planted-bugs");
            planters += u32::from(plants);
            let is_test = dependency.kind == DependencyKind::Development;
            assert!(!plants || is_test, "{} plants bugs in {}", package.name, dependency.name);
        }
    }
    assert_eq!(planters, 2, "the simulation plants bugs in both machines");
}
