//! What users read about aggregate functions, which `weir-operators` computes and `weir-sql` types.
//!
//! Their examples aggregate the rows of [`ROWS`]; a golden file of the integration tests is made of them and runs them.

/// An aggregate function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// In lower case.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it returns.
    pub description: &'static str,
    /// A call over [`ROWS`].
    pub expression: &'static str,
    /// Its result, as a query prints it.
    pub result: &'static str,
}

/// The rows that the examples aggregate.
pub const ROWS: &str =
    "(VALUES (1, 'a'), (2, 'b'), (2, CAST(NULL AS STRING)), (4, 'b'), (CAST(NULL AS INT), 'c')) AS t (x, s)";

const fn aggregate(
    name: &'static str,
    signature: &'static str,
    description: &'static str,
    expression: &'static str,
    result: &'static str,
) -> Aggregate {
    Aggregate { name, signature, description, expression, result }
}

/// All aggregate functions, by name.
pub const AGGREGATES: &[Aggregate] = &[
    aggregate(
        "approx_count_distinct",
        "APPROX_COUNT_DISTINCT(value)",
        "About how many different values there are, NULLs left out, as BIGINT: exact up to 1024, then with a standard error of \
         0.8 %, in 16 KiB for each group.",
        "APPROX_COUNT_DISTINCT(x)",
        "3",
    ),
    aggregate(
        "array_agg",
        "ARRAY_AGG([DISTINCT] value [{RESPECT | IGNORE} NULLS])",
        "The values as an ARRAY, in the order of arrival, by default with NULLs; NULL of no rows.",
        "ARRAY_AGG(x IGNORE NULLS)",
        "[1, 2, 2, 4]",
    ),
    aggregate(
        "avg",
        "AVG([DISTINCT] numeric)",
        "The average, in the number's type: of integers what is behind the point is cut off; of a DECIMAL(p, s) it is a \
         DECIMAL(38, max(s, 6)).",
        "AVG(x)",
        "2",
    ),
    aggregate(
        "collect",
        "COLLECT([DISTINCT] value)",
        "The values as a MULTISET, which is a map of each value to how often it came; NULLs are left out. NULL of no values.",
        "COLLECT(x)[2]",
        "2",
    ),
    aggregate(
        "count",
        "COUNT(*), COUNT([DISTINCT] value, ...)",
        "How many rows there are, or values that aren't NULL, as BIGINT. Of several values those rows count in which none is NULL.",
        "COUNT(x)",
        "4",
    ),
    aggregate(
        "first_value",
        "FIRST_VALUE(value)",
        "The value that came first, NULLs left out. Rows of several tasks come in no order; of a window of several slices (HOP, \
         CUMULATE) it is the first of the earliest slice.",
        "FIRST_VALUE(s)",
        "a",
    ),
    aggregate(
        "json_arrayagg",
        "JSON_ARRAYAGG(value [{NULL | ABSENT} ON NULL])",
        "A JSON array of the values, in the order of arrival; those that are NULL are absent (the default), or null.",
        "JSON_ARRAYAGG(s)",
        "[\"a\",\"b\",\"b\",\"c\"]",
    ),
    aggregate(
        "json_objectagg",
        "JSON_OBJECTAGG([KEY] key VALUE value [{NULL | ABSENT} ON NULL])",
        "A JSON object of keys and values; values that are NULL are null (the default), or absent. A key that comes twice, or is \
         NULL, is an error.",
        "JSON_OBJECTAGG(KEY CAST(x AS STRING) VALUE s) FILTER (WHERE x <> 2)",
        "{\"1\":\"a\",\"4\":\"b\"}",
    ),
    aggregate(
        "last_value",
        "LAST_VALUE(value)",
        "The value that came last, NULLs left out; on order see FIRST_VALUE.",
        "LAST_VALUE(x)",
        "4",
    ),
    aggregate(
        "listagg",
        "LISTAGG([DISTINCT] string[, separator])",
        "The strings joined, in the order of arrival, with a separator between them, by default a comma; NULLs are left out. NULL \
         of no strings.",
        "LISTAGG(s, '-')",
        "a-b-b-c",
    ),
    aggregate("max", "MAX(value)", "The largest value, NULLs left out.", "MAX(x)", "4"),
    aggregate("min", "MIN(value)", "The smallest value, NULLs left out.", "MIN(x)", "1"),
    aggregate(
        "percentile",
        "PERCENTILE(numeric, percentage), PERCENTILE(numeric, ARRAY[percentage, ...])",
        "The value below which this share of the values lies, as DOUBLE: between two values in proportion. A percentage lies \
         between 0 and 1 and is written out; an array of them gives an array.",
        "PERCENTILE(x, ARRAY[0.5, 1.0])",
        "[2.0, 4.0]",
    ),
    aggregate(
        "stddev_pop",
        "STDDEV_POP([DISTINCT] numeric)",
        "The square root of VAR_POP.",
        "STDDEV_POP(CAST(x * 2 AS DOUBLE)) FILTER (WHERE x < 4) < 1",
        "true",
    ),
    aggregate(
        "stddev_samp",
        "STDDEV_SAMP([DISTINCT] numeric), STDDEV([DISTINCT] numeric)",
        "The square root of VAR_SAMP.",
        "STDDEV_SAMP(x)",
        "1",
    ),
    aggregate(
        "sum",
        "SUM([DISTINCT] numeric)",
        "The sum, in the number's type; of a DECIMAL(p, s) it is a DECIMAL(38, s). NULL of no values.",
        "SUM(x)",
        "9",
    ),
    aggregate(
        "var_pop",
        "VAR_POP([DISTINCT] numeric)",
        "The variance, of the type that AVG has.",
        "VAR_POP(CAST(x AS DOUBLE)) FILTER (WHERE x <> 2)",
        "2.25",
    ),
    aggregate(
        "var_samp",
        "VAR_SAMP([DISTINCT] numeric), VARIANCE([DISTINCT] numeric)",
        "The variance that a sample tells, of the type that AVG has; NULL of one value.",
        "VAR_SAMP(CAST(x AS DOUBLE)) FILTER (WHERE x <> 2)",
        "4.5",
    ),
];

/// Functions of Flink that aren't here, with the reason.
pub(crate) const ABSENT: &[(&str, &str)] = &[
    ("CURRENT_WATERMARK", "an expression is computed per row and doesn't see the operator's watermark"),
    (
        "RAND(seed), RAND_INTEGER(seed, bound)",
        "their sequence belongs to an instance of an operator, which an expression doesn't know",
    ),
    ("PERCENTILE with a frequency", "repeat rows, or aggregate twice"),
    (
        "PARSE_JSON, TRY_PARSE_JSON, JSON_QUERY … RETURNING ARRAY",
        "there is no VARIANT type; JSON is a STRING",
    ),
    ("OBJECT_OF, OBJECT_UPDATE", "there are no structured types, which are Java classes; use ROW and CAST"),
    ("GROUP_ID, GROUPING, GROUPING_ID", "there are no GROUPING SETS yet"),
    ("RANK, DENSE_RANK, ROW_NUMBER, LAG, LEAD, NTILE, CUME_DIST, PERCENT_RANK", "there is no OVER yet"),
    ("ML_PREDICT and other functions on models", "there are no models"),
    ("Functions of the Table API without SQL (callSql, as, .rows, …)", "there is no Table API"),
];

/// Why a function of Flink's isn't here; `None` for a name that isn't one of them.
#[must_use]
pub fn why_absent(name: &str) -> Option<&'static str> {
    let names =
        |listed: &'static str| listed.split(", ").map(|name| name.split(['(', ' ']).next().unwrap_or(name));
    let (_, reason) =
        ABSENT.iter().find(|(listed, _)| names(listed).any(|known| known.eq_ignore_ascii_case(name)))?;
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_functions_have_their_reason() {
        assert!(why_absent("dense_rank").is_some_and(|reason| reason.contains("OVER")));
        assert!(why_absent("CURRENT_WATERMARK").is_some_and(|reason| reason.contains("watermark")));
        assert_eq!(why_absent("NO_SUCH"), None);
    }

    #[test]
    fn the_golden_file_runs_every_example() {
        let mut wanted = String::from(
            "# Made from the descriptions of the aggregate functions; renewed with WEIR_ACCEPT=1 by the tests of weir-functions.\n",
        );
        for example in AGGREGATES {
            let (expression, result) = (example.expression, example.result);
            wanted.push_str(&format!("\nquery T\nSELECT {expression} FROM {ROWS}\n----\n{result}\n"));
        }
        let path = "../../integration-tests/slt/aggregate_examples.slt";
        if std::env::var_os("WEIR_ACCEPT").is_some() {
            std::fs::write(path, &wanted).expect("the folder is writable");
        }
        let found = std::fs::read_to_string(path).expect("the file is there");
        assert_eq!(found, wanted, "run the test with WEIR_ACCEPT=1 to renew {path}");
        assert!(AGGREGATES.is_sorted_by_key(|aggregate| aggregate.name));
    }
}
