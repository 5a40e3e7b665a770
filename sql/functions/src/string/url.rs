//! Parts of URLs, and their escapes. URLs are read as Java's `java.net.URL` reads them.

use std::fmt::Write;

use arrow::array::ArrayRef;
use datafusion_common::Result;

use crate::arguments::Arguments;
use crate::column::{slices, texts};
use crate::function::{Definition, Nulls};
use crate::parameter::Kind::Text;
use crate::returns::string;

pub(super) static DEFINITIONS: &[Definition] = &[
    Definition::new(
        "parse_url",
        "PARSE_URL(url, part[, key])",
        "A part of a URL: 'HOST', 'PATH', 'QUERY', 'REF', 'PROTOCOL', 'AUTHORITY', 'FILE' or 'USERINFO', or the value of one key of \
         its 'QUERY'; NULL when there is none.",
        &[Text, Text],
        string,
        parse_url,
    )
    .optional(&[Text])
    .nulls(Nulls::StrictOrMissing),
    Definition::new(
        "url_encode",
        "URL_ENCODE(string)",
        "The string as a part of a form's URL: letters, digits and .-*_ as they are, spaces as +, the rest as %XX.",
        &[Text],
        string,
        |arguments| {
            let text = arguments.text(0)?;
            texts(arguments, text.size(), |row, out| {
                for byte in text.value(row).bytes() {
                    match byte {
                        b' ' => out.write_char('+')?,
                        b'.' | b'-' | b'*' | b'_' => out.write_char(char::from(byte))?,
                        byte if byte.is_ascii_alphanumeric() => out.write_char(char::from(byte))?,
                        byte => write!(out, "%{byte:02X}")?,
                    }
                }
                Ok(Some(()))
            })
        },
    ),
    Definition::new(
        "url_decode",
        "URL_DECODE(string)",
        "The string that a part of a form's URL stands for; NULL when it isn't one.",
        &[Text],
        string,
        url_decode,
    )
    .nulls(Nulls::StrictOrMissing),
];

/// A URL, cut into its parts.
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// Path and query.
    file: &'a str,
    reference: Option<&'a str>,
}

const PROTOCOLS: [&str; 6] = ["http", "https", "ftp", "file", "jar", "mailto"];

impl<'a> Url<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (protocol, rest) = text.trim().split_once(':')?;
        PROTOCOLS.iter().find(|known| known.eq_ignore_ascii_case(protocol))?;
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (authority, file) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?,
            None => ("", rest),
        };
        let (path, query) = match file.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (file, None),
        };
        Some(Self { protocol, authority, path, query, file, reference })
    }

    fn host(&self) -> &'a str {
        let host = self.authority.rsplit_once('@').map_or(self.authority, |(_, host)| host);
        match host.find(']') {
            Some(end) => host.get(..=end).unwrap_or(host),
            None => host.split(':').next().unwrap_or(host),
        }
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        match name {
            "HOST" => Some(self.host()),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "PROTOCOL" => Some(self.protocol),
            "FILE" => Some(self.file),
            "AUTHORITY" => Some(self.authority),
            "USERINFO" => self.authority.rsplit_once('@').map(|(user, _)| user),
            _ => None,
        }
    }

    fn value_of(&self, key: &str) -> Option<&'a str> {
        let values = self.query?.split('&').filter_map(|pair| pair.split_once('='));
        values.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

fn parse_url(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let (url, part) = (arguments.text(0)?, arguments.text(1)?);
    let key = if arguments.len() > 2 { Some(arguments.text(2)?) } else { None };
    slices(arguments, url.size() / 2, |row| {
        let Some(url) = Url::of(url.value(row)) else {
            return Ok(None);
        };
        Ok(match &key {
            None => url.part(part.value(row)),
            Some(key) if part.value(row) == "QUERY" => url.value_of(key.value(row)),
            Some(_) => None,
        })
    })
}

fn url_decode(arguments: &Arguments<'_>) -> Result<ArrayRef> {
    let text = arguments.text(0)?;
    let mut scratch = Vec::new();
    texts(arguments, text.size(), |row, out| {
        scratch.clear();
        if decode(text.value(row).as_bytes(), &mut scratch).is_none() {
            return Ok(None);
        }
        out.write_str(&String::from_utf8_lossy(&scratch))?;
        Ok(Some(()))
    })
}

fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.iter();
    let digit = |bytes: &mut std::slice::Iter<'_, u8>| char::from(*bytes.next()?).to_digit(16);
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (high, low) = (digit(&mut bytes)?, digit(&mut bytes)?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => out.push(*byte),
        }
    }
    Some(())
}
