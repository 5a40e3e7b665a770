//! Hashes of strings, as lower-case hexadecimal.

use std::fmt::Write;

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err, plan_err};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::arguments::Arguments;
use crate::column::texts;
use crate::function::{Call, Definition};
use crate::parameter::Kind::{Long, TextOrBytes};
use crate::returns::string;

static DEFINITIONS: &[Definition] = &[
    Definition::new("md5", "MD5(string)", "The MD5 hash: 32 digits.", &[TextOrBytes], string, digest::<Md5>),
    Definition::new(
        "sha1",
        "SHA1(string)",
        "The SHA-1 hash: 40 digits.",
        &[TextOrBytes],
        string,
        digest::<Sha1>,
    ),
    Definition::new(
        "sha224",
        "SHA224(string)",
        "The SHA-224 hash: 56 digits.",
        &[TextOrBytes],
        string,
        digest::<Sha224>,
    ),
    Definition::new(
        "sha256",
        "SHA256(string)",
        "The SHA-256 hash: 64 digits.",
        &[TextOrBytes],
        string,
        digest::<Sha256>,
    ),
    Definition::new(
        "sha384",
        "SHA384(string)",
        "The SHA-384 hash: 96 digits.",
        &[TextOrBytes],
        string,
        digest::<Sha384>,
    ),
    Definition::new(
        "sha512",
        "SHA512(string)",
        "The SHA-512 hash: 128 digits.",
        &[TextOrBytes],
        string,
        digest::<Sha512>,
    ),
    Definition::new(
        "sha2",
        "SHA2(string, length)",
        "The hash of SHA-2's family with this many bits: 224, 256, 384 or 512.",
        &[TextOrBytes, Long],
        |call| checked_length(call).and_then(|()| string(call)),
        sha2,
    ),
];

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter()
}

fn write_digest<D: Digest>(value: &[u8], out: &mut impl Write) -> Result<()> {
    for byte in D::digest(value) {
        write!(out, "{byte:02x}")?;
    }
    Ok(())
}

fn digest<D: Digest>(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let values = arguments.bytes(0)?;
    texts(arguments, arguments.rows() * <D as Digest>::output_size() * 2, |row, out| {
        write_digest::<D>(values.value(row), out).map(Some)
    })
}

fn checked_length(call: &Call<'_>) -> Result<()> {
    match call.literal_long(1) {
        Some(224 | 256 | 384 | 512) | None => Ok(()),
        Some(other) => plan_err!("SHA2 makes 224, 256, 384 or 512 bits, not {other}"),
    }
}

fn sha2(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (values, lengths) = (arguments.bytes(0)?, arguments.longs(1)?);
    texts(arguments, arguments.rows() * 64, |row, out| {
        let value = values.value(row);
        match lengths.value(row) {
            224 => write_digest::<Sha224>(value, out)?,
            256 => write_digest::<Sha256>(value, out)?,
            384 => write_digest::<Sha384>(value, out)?,
            512 => write_digest::<Sha512>(value, out)?,
            other => return exec_err!("SHA2 makes 224, 256, 384 or 512 bits, not {other}"),
        }
        Ok(Some(()))
    })
}
