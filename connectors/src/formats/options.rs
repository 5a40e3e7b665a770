//! The options of the record formats, under the prefixes that connectors give them: none, `key.` and `value.`.
//!
//! The one place where they are described; what they mean is each format's business.

use weir_api::connector::OptionDescription;

/// The options with a prefix: keys are texts that live as long as the program, so each prefix has a list of its own.
macro_rules! with_prefix {
    ($prefix:literal) => {
        &[
            OptionDescription {
                key: concat!($prefix, "json.fail-on-missing-field"),
                required: false,
                default: Some("false"),
                description: "Whether a field that a record lacks makes it malformed; else it is null.",
            },
            OptionDescription {
                key: concat!($prefix, "json.ignore-parse-errors"),
                required: false,
                default: Some("false"),
                description: "Skip malformed records, as 'on-error' = 'skip' does.",
            },
            OptionDescription {
                key: concat!($prefix, "json.timestamp-format.standard"),
                required: false,
                default: Some("SQL"),
                description: "How timestamps are written: SQL ('2015-07-15 00:00:00.123') or ISO-8601 ('2015-07-15T00:00:00.123'). Both are read.",
            },
            OptionDescription {
                key: concat!($prefix, "json.map-null-key.mode"),
                required: false,
                default: Some("FAIL"),
                description: "FAIL, DROP or LITERAL: accepted for Flink's sake; a MAP never has a null key here.",
            },
            OptionDescription {
                key: concat!($prefix, "json.map-null-key.literal"),
                required: false,
                default: Some("null"),
                description: "Accepted for Flink's sake, like json.map-null-key.mode.",
            },
            OptionDescription {
                key: concat!($prefix, "json.encode.ignore-null-fields"),
                required: false,
                default: Some("false"),
                description: "Leave null fields out instead of writing null.",
            },
            OptionDescription {
                key: concat!($prefix, "json.encode.decimal-as-plain-number"),
                required: false,
                default: Some("true"),
                description: "Write decimals with all their digits (27.00, 0.000000027). With false, as Java's numbers without trailing zeros, which may have an exponent (27, 2.7E-8); that is Flink's default.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.field-delimiter"),
                required: false,
                default: Some(","),
                description: "The character between fields; \\t is a tab.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.quote-character"),
                required: false,
                default: Some("\""),
                description: "The character around fields that hold a delimiter, a quote (written twice) or a line's end.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.disable-quote-character"),
                required: false,
                default: Some("false"),
                description: "Whether quotes have no meaning. Then every line of a file is a record, and big files are read in parts.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.allow-comments"),
                required: false,
                default: Some("false"),
                description: "Whether records that start with # don't count.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.ignore-parse-errors"),
                required: false,
                default: Some("false"),
                description: "Skip malformed records, as 'on-error' = 'skip' does.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.array-element-delimiter"),
                required: false,
                default: Some(";"),
                description: "The text between the elements of an ARRAY.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.escape-character"),
                required: false,
                default: None,
                description: "The character that takes the meaning from the one behind it; none by default.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.null-literal"),
                required: false,
                default: None,
                description: "The text of null, in every column. Without it an empty field is null, except in a STRING column, where it is the empty text.",
            },
            OptionDescription {
                key: concat!($prefix, "csv.write-bigdecimal-in-scientific-notation"),
                required: false,
                default: Some("false"),
                description: "Write decimals as Java's numbers without trailing zeros, which may have an exponent (1E+5); that is Flink's default.",
            },
            OptionDescription {
                key: concat!($prefix, "raw.charset"),
                required: false,
                default: Some("UTF-8"),
                description: "How the characters of a STRING are encoded: UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE or UTF-16LE.",
            },
            OptionDescription {
                key: concat!($prefix, "raw.endianness"),
                required: false,
                default: Some("big-endian"),
                description: "The order of a number's bytes: big-endian or little-endian.",
            },
        ]
    };
}

/// The options of a table with one format.
pub const PLAIN: &[OptionDescription] = with_prefix!("");
/// The options of a key's format.
pub const OF_KEY: &[OptionDescription] = with_prefix!("key.");
/// The options of a value's format.
pub const OF_VALUE: &[OptionDescription] = with_prefix!("value.");

/// Joins lists of options into one of `N`, which must be the sum of their lengths: a connector's list is a constant.
#[must_use]
pub const fn joined<const N: usize>(lists: &[&[OptionDescription]]) -> [OptionDescription; N] {
    let mut all = [OptionDescription { key: "", required: false, default: None, description: "" }; N];
    let (mut list, mut filled) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[filled] = lists[list][index];
            filled += 1;
            index += 1;
        }
        list += 1;
    }
    assert!(filled == N, "the lengths of the lists don't sum up");
    all
}
