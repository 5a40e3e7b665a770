//! Manifests read back as they were written, and nothing else is read.

use weir_api::error::Code;

use super::*;
use crate::sample::{handle, manifest, table};
use crate::table::{Contents, Limits, encode};

fn whole() -> Manifest {
    let file = encode(&table(0..8, 3), Contents::Full, 1, Limits::default()).unwrap().remove(0);
    let handle = |scope| handle(scope, 1, 7, &file.summary);
    let mut manifest = manifest(
        7,
        vec![
            Layer { delta: false, files: vec![handle(Scope::Folder("old/savepoint-1".to_owned()))] },
            Layer { delta: true, files: vec![handle(Scope::Shared), handle(Scope::Exclusive)] },
        ],
    );
    let blob = weir_api::sink::Blob { name: "blob-1".to_owned(), bytes: 7, hash: 5 };
    let entries = vec![Bytes::from_static(b"one"), Bytes::new()];
    let subtask = &mut manifest.operators[0].subtasks[0];
    subtask.finished = true;
    for redistribution in [Redistribution::List, Redistribution::Union, Redistribution::Broadcast] {
        subtask.operator_states.push(OperatorState {
            name: format!("{redistribution:?}"),
            redistribution,
            encoding_version: 3,
            entries: entries.clone(),
        });
    }
    subtask.splits.push(SplitPosition {
        split: "topic-0".to_owned(),
        encoding_version: 1,
        payload: Bytes::from_static(b"offset"),
    });
    for checkpoint in [5, 7] {
        let checkpoint = CheckpointId(checkpoint);
        subtask.committables.push(PendingCommittables {
            checkpoint,
            encoding_version: 1,
            entries: entries
                .iter()
                .map(|entry| Committable { payload: entry.clone(), blobs: vec![blob.clone()] })
                .collect(),
        });
    }
    manifest
}

#[test]
fn a_manifest_reads_back_and_its_bytes_stay() {
    let manifest = whole();
    let bytes = manifest.encode().unwrap();
    assert_eq!(Manifest::decode("_metadata", &bytes).unwrap(), manifest);
    crate::tests::golden("_metadata", &bytes);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let bytes = whole().encode().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            let error = Manifest::decode("x/_metadata", &flipped).unwrap_err();
            assert_eq!(error.code(), Code::SnapshotDamaged, "{error}");
            assert!(error.message().starts_with("x/_metadata is damaged at offset "), "{error}");
        }
        assert_eq!(Manifest::decode("m", &bytes[..at]).unwrap_err().code(), Code::SnapshotDamaged);
    }
}

#[test]
fn a_newer_version_is_refused_as_newer() {
    let mut bytes = whole().encode().unwrap().to_vec();
    bytes[8..12].copy_from_slice(&(frame::VERSION + 1).to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    let error = Manifest::decode("m", &bytes).unwrap_err();
    assert_eq!(error.code(), Code::SnapshotVersion, "{error}");
}

#[test]
fn what_breaks_a_rule_is_refused_though_its_checksum_fits() {
    type Break = fn(&mut Manifest);
    let breaks: [(&str, Break); 6] = [
        ("a maximum parallelism", |m| m.max_parallelism = 0),
        ("key groups below the maximum", |m| m.max_parallelism = 100),
        ("a base, then deltas", |m| m.operators[0].subtasks[0].tables[0].layers[0].delta = true),
        ("the oldest committables first", |m| m.operators[0].subtasks[0].committables.reverse()),
        ("each operator once", |m| m.operators.push(m.operators[0].clone())),
        ("a schema for every state", |m| m.operators[0].schemas.clear()),
    ];
    for (rule, break_it) in breaks {
        let mut manifest = whole();
        break_it(&mut manifest);
        let error = Manifest::decode("m", &manifest.encode().unwrap()).unwrap_err();
        assert!(error.message().contains(rule), "{rule}: {error}");
    }
}
