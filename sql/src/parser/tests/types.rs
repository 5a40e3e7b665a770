//! Types: every one that Flink has, as text, in Arrow, and back.

use arrow::datatypes::DataType;
use proptest::prelude::*;

use crate::parser::parse_type;
use crate::types::{FlinkType, MAX_LENGTH, RowField, TypeKind, flink_type_name, of_arrow};

/// What is written, how it prints, its Arrow type as Arrow prints it.
const TYPES: &[(&str, &str, &str)] = &[
    ("BOOLEAN", "BOOLEAN", "Boolean"),
    ("tinyint", "TINYINT", "Int8"),
    ("SMALLINT", "SMALLINT", "Int16"),
    ("INT", "INT", "Int32"),
    ("INTEGER NOT NULL", "INT NOT NULL", "Int32"),
    ("BIGINT NULL", "BIGINT", "Int64"),
    ("FLOAT", "FLOAT", "Float32"),
    ("DOUBLE", "DOUBLE", "Float64"),
    ("DOUBLE PRECISION NOT NULL", "DOUBLE NOT NULL", "Float64"),
    ("DECIMAL", "DECIMAL(10, 0)", "Decimal128(10, 0)"),
    ("DEC(5)", "DECIMAL(5, 0)", "Decimal128(5, 0)"),
    ("NUMERIC(38, 38)", "DECIMAL(38, 38)", "Decimal128(38, 38)"),
    ("CHAR", "CHAR(1)", "Utf8"),
    ("CHARACTER(7)", "CHAR(7)", "Utf8"),
    ("VARCHAR", "STRING", "Utf8"),
    ("VARCHAR(20)", "VARCHAR(20)", "Utf8"),
    ("CHAR VARYING(3)", "VARCHAR(3)", "Utf8"),
    ("VARCHAR(2147483647)", "STRING", "Utf8"),
    ("STRING", "STRING", "Utf8"),
    ("BINARY(4)", "BINARY(4)", "Binary"),
    ("VARBINARY(4)", "VARBINARY(4)", "Binary"),
    ("BINARY VARYING", "BYTES", "Binary"),
    ("BYTES", "BYTES", "Binary"),
    ("DATE", "DATE", "Date32"),
    ("TIME", "TIME(0)", "Time32(ms)"),
    ("TIME(3) WITHOUT TIME ZONE", "TIME(3)", "Time32(ms)"),
    ("TIMESTAMP", "TIMESTAMP(6)", "Timestamp(µs)"),
    ("TIMESTAMP(0)", "TIMESTAMP(0)", "Timestamp(ms)"),
    ("TIMESTAMP(3) WITHOUT TIME ZONE", "TIMESTAMP(3)", "Timestamp(ms)"),
    ("TIMESTAMP(4)", "TIMESTAMP(4)", "Timestamp(µs)"),
    ("TIMESTAMP(9)", "TIMESTAMP(9)", "Timestamp(ns)"),
    ("TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(3)", "Timestamp(ms, \"UTC\")"),
    ("TIMESTAMP_LTZ", "TIMESTAMP_LTZ(6)", "Timestamp(µs, \"UTC\")"),
    ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)", "Timestamp(ms, \"UTC\")"),
    ("INTERVAL YEAR", "INTERVAL YEAR TO MONTH", "Interval(YearMonth)"),
    ("INTERVAL YEAR(4) TO MONTH", "INTERVAL YEAR TO MONTH", "Interval(YearMonth)"),
    ("INTERVAL DAY(3) TO SECOND(3)", "INTERVAL DAY TO SECOND", "Interval(MonthDayNano)"),
    ("INTERVAL MINUTE", "INTERVAL DAY TO SECOND", "Interval(MonthDayNano)"),
    ("ARRAY<INT>", "ARRAY<INT>", "List(Int32)"),
    ("INT ARRAY NOT NULL", "ARRAY<INT> NOT NULL", "List(Int32)"),
    ("INT NOT NULL ARRAY", "ARRAY<INT NOT NULL>", "List(non-null Int32)"),
    ("ARRAY<ARRAY<INT>>", "ARRAY<ARRAY<INT>>", "List(List(Int32))"),
    ("ARRAY<ARRAY<ARRAY<INT>>>", "ARRAY<ARRAY<ARRAY<INT>>>", "List(List(List(Int32)))"),
    ("ARRAY<ARRAY<INT> >", "ARRAY<ARRAY<INT>>", "List(List(Int32))"),
    ("MAP<STRING, ARRAY<INT>>", "MAP<STRING, ARRAY<INT>>", ""),
    ("MULTISET<STRING>", "MULTISET<STRING>", ""),
    ("STRING MULTISET", "MULTISET<STRING>", ""),
    ("ROW<a INT, b STRING NOT NULL>", "ROW<`a` INT, `b` STRING NOT NULL>", ""),
    ("ROW(a INT, `b c` ROW<d ARRAY<INT>>)", "ROW<`a` INT, `b c` ROW<`d` ARRAY<INT>>>", ""),
    ("ROW<a INT 'the first', b ARRAY<INT>>", "ROW<`a` INT 'the first', `b` ARRAY<INT>>", ""),
    (
        "ROW<date DATE, time TIME, `timestamp` TIMESTAMP(3)>",
        "ROW<`date` DATE, `time` TIME(0), `timestamp` TIMESTAMP(3)>",
        "",
    ),
    ("ROW<>", "ROW<>", "Struct()"),
    ("ROW<a ARRAY<ROW<b MAP<INT, INT>>>>", "ROW<`a` ARRAY<ROW<`b` MAP<INT, INT>>>>", ""),
];

#[test]
fn every_type_reads_prints_and_has_an_arrow_type() {
    for (text, printed, arrow) in TYPES {
        let parsed = parse_type(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed.to_string(), *printed, "{text}");
        if !arrow.is_empty() {
            assert_eq!(parsed.kind.to_arrow().to_string(), *arrow, "{text}");
        }
    }
}

#[test]
fn maps_and_rows_in_arrow() {
    let map = parse_type("MAP<STRING, INT NOT NULL>").unwrap().kind.to_arrow();
    let DataType::Map(entries, false) = &map else { panic!("{map}") };
    let DataType::Struct(fields) = entries.data_type() else { panic!("{map}") };
    assert!(!entries.is_nullable() && !fields[0].is_nullable() && !fields[1].is_nullable());
    assert_eq!(flink_type_name(&map, true), "MAP<STRING NOT NULL, INT NOT NULL>");

    let multiset = parse_type("MULTISET<STRING>").unwrap().kind.to_arrow();
    assert_eq!(multiset, map);

    let row = parse_type("ROW<a BIGINT, b ROW<c STRING NOT NULL>>").unwrap().kind.to_arrow();
    assert_eq!(flink_type_name(&row, false), "ROW<`a` BIGINT, `b` ROW<`c` STRING NOT NULL>> NOT NULL");
}

/// What is written, and the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("BIGNIT", "line 1, column 1: there is no type 'BIGNIT'; did you mean BIGINT?"),
    ("QUARK", "line 1, column 1: there is no type 'QUARK'"),
    ("VARIANT", "line 1, column 1: the type VARIANT is not supported yet"),
    (
        "TIMESTAMP(3) WITH TIME ZONE",
        "line 1, column 14: TIMESTAMP WITH TIME ZONE is not supported; TIMESTAMP_LTZ is the type of points in time",
    ),
    ("DECIMAL(39)", "line 1, column 9: expected DECIMAL's precision, 1 to 38, found 39"),
    ("DECIMAL(5, 6)", "line 1, column 12: expected DECIMAL's scale, 0 to 5, found 6"),
    ("TIMESTAMP(10)", "line 1, column 11: expected the precision, 0 to 9, found 10"),
    ("CHAR(0)", "line 1, column 6: expected the length, 1 to 2147483647, found 0"),
    ("VARCHAR(99999999999)", "line 1, column 9: expected the length, 1 to 2147483647, found 99999999999"),
    ("ARRAY<INT", "line 1, column 1: expected ',' or '>', found the end of the statement"),
    ("ARRAY<INT>>", "line 1, column 10: expected one '>' only, found >>"),
    ("MAP<ARRAY<INT>>, INT>", "line 1, column 14: expected '>' and , behind it, found >>"),
    ("ROW<a ROW(b ARRAY<INT>>)", "line 1, column 22: expected '>' and ) behind it, found >>"),
    (
        "ROW<a INT, a INT>",
        "line 1, column 12: expected a field other than 'a', which the ROW has already, found a",
    ),
    ("MAP<INT>", "line 1, column 8: expected ,, found >"),
    ("INT INT", "line 1, column 5: expected the end of the type, found INT"),
    ("'INT'", "line 1, column 1: expected a type, found 'INT'"),
    ("", "line 1, column 1: expected a type, found the end of the statement"),
];

#[test]
fn wrong_types_are_refused_in_their_place() {
    for (text, refusal) in REFUSED {
        let error = parse_type(text).map(|parsed| panic!("{text} is {parsed}")).unwrap_err();
        assert_eq!(error.to_string(), *refusal, "{text}");
    }
}

#[test]
fn types_nest_only_so_deep() {
    let nested = |depth: usize| format!("{}INT{}", "ARRAY<".repeat(depth), ">".repeat(depth));
    let deepest = parse_type(&nested(24)).unwrap();
    let schema = arrow::datatypes::Schema::new(vec![deepest.to_field("a")]);
    let decoded = weir_api::schema::decode(&weir_api::schema::encode(&schema)).unwrap();
    assert_eq!(*decoded, schema);
    assert!(parse_type(&nested(25)).is_err());
    assert!(parse_type(&format!("INT{}", " ARRAY".repeat(25))).is_err());
    assert!(parse_type(&nested(100_000)).is_err());
}

fn simple() -> impl Strategy<Value = TypeKind> {
    prop_oneof![
        Just(TypeKind::Boolean),
        Just(TypeKind::TinyInt),
        Just(TypeKind::SmallInt),
        Just(TypeKind::Int),
        Just(TypeKind::BigInt),
        Just(TypeKind::Float),
        Just(TypeKind::Double),
        (1u8..=38).prop_flat_map(|precision| {
            (0..=precision).prop_map(move |scale| TypeKind::Decimal { precision, scale })
        }),
        (1..=MAX_LENGTH).prop_map(TypeKind::Char),
        (1..=MAX_LENGTH).prop_map(TypeKind::Varchar),
        (1..=MAX_LENGTH).prop_map(TypeKind::Binary),
        (1..=MAX_LENGTH).prop_map(TypeKind::Varbinary),
        Just(TypeKind::STRING),
        Just(TypeKind::BYTES),
        Just(TypeKind::Date),
        (0u8..=9).prop_map(TypeKind::Time),
        (0u8..=9).prop_map(TypeKind::Timestamp),
        (0u8..=9).prop_map(TypeKind::TimestampLtz),
        Just(TypeKind::IntervalYearMonth),
        Just(TypeKind::IntervalDayTime),
    ]
}

fn with_nullability(kind: impl Strategy<Value = TypeKind>) -> impl Strategy<Value = FlinkType> {
    (kind, any::<bool>()).prop_map(|(kind, nullable)| FlinkType { kind, nullable })
}

fn flink_type() -> impl Strategy<Value = FlinkType> {
    with_nullability(simple()).prop_recursive(5, 40, 5, |inner| {
        let field = ("[a-zA-Z` 'ä,<>]{1,6}", inner.clone(), proptest::option::of("[a-z' ]{0,5}"))
            .prop_map(|(name, data_type, comment)| RowField { name, data_type, comment });
        with_nullability(prop_oneof![
            inner.clone().prop_map(|element| TypeKind::Array(Box::new(element))),
            inner.clone().prop_map(|element| TypeKind::Multiset(Box::new(element))),
            (inner.clone(), inner).prop_map(|(key, value)| TypeKind::Map(Box::new(key), Box::new(value))),
            proptest::collection::vec(field, 0..5).prop_map(|mut fields| {
                let mut seen = std::collections::HashSet::new();
                fields.retain(|field| seen.insert(field.name.clone()));
                TypeKind::Row(fields)
            }),
        ])
    })
}

proptest! {
    #[test]
    fn a_type_survives_its_text(data_type in flink_type()) {
        let text = data_type.to_string();
        let parsed = parse_type(&text);
        prop_assert_eq!(parsed.map_err(|error| error.to_string()), Ok(data_type), "{}", text);
    }

    #[test]
    fn an_arrow_type_survives_its_name(data_type in flink_type()) {
        let arrow = data_type.kind.to_arrow();
        let name = flink_type_name(&arrow, data_type.nullable);
        let parsed = parse_type(&name).map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
        prop_assert_eq!(parsed.nullable, data_type.nullable);
        prop_assert_eq!(parsed.kind.to_arrow(), arrow.clone(), "{}", name);
        prop_assert!(of_arrow(&arrow).is_some());
    }
}
