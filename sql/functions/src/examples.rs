//! An example for every function: the documentation shows it, and a test of the SQL planner evaluates it.

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// A call and what it gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Example {
    /// SQL.
    pub expression: &'static str,
    /// As [`example_text`] writes it.
    pub result: &'static str,
}

/// A value as examples show it.
#[must_use]
pub fn example_text(values: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    match ArrayFormatter::try_new(values, &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(error) => error.to_string(),
    }
}

/// The example of a function.
pub(crate) fn of(name: &str) -> Option<Example> {
    let (_, expression, result) = EXAMPLES.iter().find(|(known, _, _)| *known == name)?;
    Some(Example { expression, result })
}

/// Functions that queries don't call by name.
#[cfg(test)]
pub(crate) const WITHOUT: &[&str] = &["flink_cast_to_string", "named_struct", "json_member"];

const EXAMPLES: &[(&str, &str, &str)] = &[
    ("abs", "ABS(-3)", "3"),
    ("acos", "ACOS(1)", "0.0"),
    ("array_append", "ARRAY_APPEND(ARRAY[1, 2], 3)", "[1, 2, 3]"),
    ("array_concat", "ARRAY_CONCAT(ARRAY[1], ARRAY[2, 3])", "[1, 2, 3]"),
    ("array_contains", "ARRAY_CONTAINS(ARRAY[1, 2], 2)", "true"),
    ("array_distinct", "ARRAY_DISTINCT(ARRAY[2, 1, 2])", "[2, 1]"),
    ("array_element", "ARRAY['a', 'b'][2]", "b"),
    ("array_except", "ARRAY_EXCEPT(ARRAY[1, 2, 2, 3], ARRAY[3])", "[1, 2]"),
    ("array_intersect", "ARRAY_INTERSECT(ARRAY[1, 2, 2], ARRAY[2, 3])", "[2]"),
    ("array_join", "ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-', '?')", "a-?-b"),
    ("array_max", "ARRAY_MAX(ARRAY[1, NULL, 3])", "3"),
    ("array_min", "ARRAY_MIN(ARRAY[2, NULL, 1])", "1"),
    ("array_position", "ARRAY_POSITION(ARRAY['a', 'b'], 'b')", "2"),
    ("array_prepend", "ARRAY_PREPEND(ARRAY[1, 2], 0)", "[0, 1, 2]"),
    ("array_remove", "ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]"),
    ("array_reverse", "ARRAY_REVERSE(ARRAY[1, 2, 3])", "[3, 2, 1]"),
    ("array_slice", "ARRAY_SLICE(ARRAY[1, 2, 3, 4], 2, -2)", "[2, 3]"),
    ("array_sort", "ARRAY_SORT(ARRAY[2, NULL, 1])", "[NULL, 1, 2]"),
    ("array_union", "ARRAY_UNION(ARRAY[1, 2], ARRAY[2, 3])", "[1, 2, 3]"),
    ("ascii", "ASCII('abc')", "97"),
    ("asin", "ASIN(0)", "0.0"),
    ("atan", "ATAN(0)", "0.0"),
    ("atan2", "ATAN2(0, 1)", "0.0"),
    ("bin", "BIN(12)", "1100"),
    ("btrim", "TRIM(BOTH '*' FROM '**a*')", "a"),
    ("cardinality", "CARDINALITY(MAP['a', 1])", "1"),
    ("ceil", "CEIL(2.1)", "3"),
    ("character_length", "CHAR_LENGTH('äöü')", "3"),
    ("chr", "CHR(97)", "a"),
    ("coalesce", "COALESCE(NULL, 'b', 'c')", "b"),
    ("concat", "CONCAT('a', 'b', 'c')", "abc"),
    ("concat_ws", "CONCAT_WS('-', 'a', CAST(NULL AS STRING), 'b')", "a-b"),
    ("convert_tz", "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')", "1969-12-31 16:00:00"),
    ("cos", "COS(0)", "1.0"),
    ("cosh", "COSH(0)", "1.0"),
    ("cot", "ROUND(COT(1), 4)", "0.6421"),
    ("count_char", "COUNT_CHAR('banana', 'a')", "3"),
    ("current_date", "CURRENT_DATE >= DATE '2024-01-01'", "true"),
    ("current_timestamp", "CURRENT_TIMESTAMP IS NULL", "false"),
    ("date_format", "DATE_FORMAT(TIMESTAMP '2024-05-01 18:09:07', 'HH:mm')", "18:09"),
    ("dayofmonth", "DAYOFMONTH(DATE '2024-05-01')", "1"),
    ("dayofweek", "DAYOFWEEK(DATE '2024-05-01')", "4"),
    ("dayofyear", "DAYOFYEAR(DATE '2024-05-01')", "122"),
    ("decode", "DECODE(ENCODE('ä', 'UTF-16LE'), 'UTF-16LE')", "ä"),
    ("degrees", "DEGREES(PI())", "180.0"),
    ("e", "ROUND(E(), 4)", "2.7183"),
    ("element", "ELEMENT(ARRAY[7])", "7"),
    ("elt", "ELT(2, 'a', 'b')", "b"),
    ("encode", "ENCODE('ab', 'UTF-16BE')", "00610062"),
    ("endswith", "ENDSWITH('hello', 'lo')", "true"),
    ("exp", "EXP(0)", "1.0"),
    ("extract", "EXTRACT(MINUTE FROM TIMESTAMP '2024-05-01 18:09:07')", "9"),
    ("floor", "FLOOR(TIMESTAMP '2024-05-01 18:09:07' TO HOUR)", "2024-05-01T18:00:00"),
    ("from_base64", "FROM_BASE64('aGk=')", "hi"),
    ("from_unixtime", "FROM_UNIXTIME(44)", "1970-01-01 00:00:44"),
    ("get_field", "GET_FIELD(ROW(1, 'a'), 'EXPR$1')", "a"),
    ("greatest", "GREATEST(1, 3, 2)", "3"),
    ("hex", "HEX('hi')", "6869"),
    ("hour", "HOUR(TIMESTAMP '2024-05-01 18:09:07')", "18"),
    ("if", "IF(1 < 2, 'yes', 'no')", "yes"),
    ("ifnull", "IFNULL(NULL, 5)", "5"),
    ("initcap", "INITCAP('two words')", "Two Words"),
    ("instr", "INSTR('hello', 'l')", "3"),
    ("is_alpha", "IS_ALPHA('abc')", "true"),
    ("is_decimal", "IS_DECIMAL('1.5')", "true"),
    ("is_digit", "IS_DIGIT('15')", "true"),
    ("is_json", "'[1, 2]' IS JSON ARRAY", "true"),
    ("json", "JSON_OBJECT('a' VALUE JSON('[1]'))", "{\"a\":[1]}"),
    ("json_array", "JSON_ARRAY(1, 'b', NULL NULL ON NULL)", "[1,\"b\",null]"),
    ("json_exists", "JSON_EXISTS('{\"a\": [1]}', '$.a[0]')", "true"),
    ("json_object", "JSON_OBJECT('a' VALUE 1, KEY 'b' VALUE JSON_ARRAY(TRUE))", "{\"a\":1,\"b\":[true]}"),
    ("json_query", "JSON_QUERY('{\"a\": [{\"b\": 1}, {\"b\": 2}]}', '$.a[*].b')", "[1,2]"),
    ("json_quote", "JSON_QUOTE('say \"hi\"')", "\"say \\\"hi\\\"\""),
    ("json_string", "JSON_STRING(ARRAY[1, 2])", "[1,2]"),
    ("json_unquote", "JSON_UNQUOTE('\"a\\tb\"')", "a\tb"),
    ("json_value", "JSON_VALUE('{\"a\": 1}', '$.b' RETURNING INT DEFAULT 7 ON EMPTY)", "7"),
    ("least", "LEAST(2, 1)", "1"),
    ("left", "LEFT('hello', 2)", "he"),
    ("ln", "LN(1)", "0.0"),
    ("localtime", "LOCALTIME IS NULL", "false"),
    ("localtimestamp", "LOCALTIMESTAMP IS NULL", "false"),
    ("locate", "LOCATE('l', 'hello', 4)", "4"),
    ("log", "LOG(2, 8)", "3.0"),
    ("log10", "LOG10(1000)", "3.0"),
    ("log2", "LOG2(8)", "3.0"),
    ("lower", "LOWER('ÄbC')", "äbc"),
    ("lpad", "LPAD('7', 3, '0')", "007"),
    ("ltrim", "LTRIM('  a')", "a"),
    ("make_array", "ARRAY[1, 2]", "[1, 2]"),
    ("map", "MAP['a', 1, 'b', 2]", "{a: 1, b: 2}"),
    ("map_entries", "MAP_ENTRIES(MAP['a', 1])", "[{key: a, value: 1}]"),
    ("map_from_arrays", "MAP_FROM_ARRAYS(ARRAY['a', 'b'], ARRAY[1, 2])", "{a: 1, b: 2}"),
    ("map_keys", "MAP_KEYS(MAP['a', 1, 'b', 2])", "[a, b]"),
    ("map_union", "MAP_UNION(MAP['a', 1], MAP['a', 2, 'b', 3])", "{a: 2, b: 3}"),
    ("map_value", "MAP['a', 1, 'b', 2]['b']", "2"),
    ("map_values", "MAP_VALUES(MAP['a', 1, 'b', 2])", "[1, 2]"),
    ("md5", "MD5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    ("minute", "MINUTE(TIMESTAMP '2024-05-01 18:09:07')", "9"),
    ("mod", "MOD(-7, 3)", "-1"),
    ("month", "MONTH(DATE '2024-05-01')", "5"),
    ("nullif", "NULLIF(5, 5)", "NULL"),
    ("overlay", "OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2)", "xxxxxxxxxst"),
    ("parse_url", "PARSE_URL('https://a.b/c?k=v', 'QUERY', 'k')", "v"),
    ("pi", "ROUND(PI(), 4)", "3.1416"),
    ("position", "POSITION('l' IN 'hello')", "3"),
    ("power", "POWER(2, 10)", "1024.0"),
    ("printf", "PRINTF('%s is %05.1f or %X', 'it', 2.25, 255)", "it is 002.3 or FF"),
    ("proctime", "PROCTIME() IS NULL", "false"),
    ("quarter", "QUARTER(DATE '2024-05-01')", "2"),
    ("radians", "ROUND(RADIANS(180), 4)", "3.1416"),
    ("rand", "RAND() < 1", "true"),
    ("rand_integer", "RAND_INTEGER(10) < 10", "true"),
    ("regexp", "REGEXP('abc', 'b+')", "true"),
    ("regexp_count", "REGEXP_COUNT('a1b22', '[0-9]+')", "2"),
    ("regexp_extract", "REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar"),
    ("regexp_extract_all", "REGEXP_EXTRACT_ALL('a1b22', '([0-9]+)')", "[1, 22]"),
    ("regexp_instr", "REGEXP_INSTR('a1b22', '[0-9]+')", "2"),
    ("regexp_replace", "REGEXP_REPLACE('a1b22', '[0-9]+', '#')", "a#b#"),
    ("regexp_substr", "REGEXP_SUBSTR('a1b22', '[0-9]{2}')", "22"),
    ("repeat", "REPEAT('ab', 2)", "abab"),
    ("replace", "REPLACE('hello world', 'world', 'weir')", "hello weir"),
    ("reverse", "REVERSE('abc')", "cba"),
    ("right", "RIGHT('hello', 2)", "lo"),
    ("round", "ROUND(2.345, 2)", "2.35"),
    ("rpad", "RPAD('7', 3, '0')", "700"),
    ("rtrim", "RTRIM('a  ')", "a"),
    ("second", "SECOND(TIMESTAMP '2024-05-01 18:09:07')", "7"),
    ("sha1", "SHA1('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
    ("sha2", "SHA2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("sha224", "CHAR_LENGTH(SHA224('a'))", "56"),
    ("sha256", "SHA256('a')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("sha384", "CHAR_LENGTH(SHA384('a'))", "96"),
    ("sha512", "CHAR_LENGTH(SHA512('a'))", "128"),
    ("sign", "SIGN(-2)", "-1"),
    ("sin", "SIN(0)", "0.0"),
    ("sinh", "SINH(0)", "0.0"),
    ("split", "SPLIT('a,b,', ',')", "[a, b, ]"),
    ("split_index", "SPLIT_INDEX('a/b', '/', 1)", "b"),
    ("sqrt", "SQRT(4)", "2.0"),
    ("startswith", "STARTSWITH('hello', 'he')", "true"),
    ("str_to_map", "STR_TO_MAP('a=1,b=2')", "{a: 1, b: 2}"),
    ("substring", "SUBSTRING('hello' FROM 2 FOR 3)", "ell"),
    ("tan", "TAN(0)", "0.0"),
    ("tanh", "TANH(0)", "0.0"),
    ("timestampadd", "TIMESTAMPADD(WEEK, 1, DATE '2003-01-02')", "2003-01-09"),
    ("timestampdiff", "TIMESTAMPDIFF(DAY, DATE '2003-01-02', DATE '2003-01-03')", "1"),
    ("to_base64", "TO_BASE64('hi')", "aGk="),
    ("to_date", "TO_DATE('2024-05-01')", "2024-05-01"),
    ("to_timestamp", "TO_TIMESTAMP('2024-05-01 18:09:07')", "2024-05-01T18:09:07"),
    ("to_timestamp_ltz", "TO_TIMESTAMP_LTZ(44, 0)", "1970-01-01T00:00:44Z"),
    ("translate", "TRANSLATE('abc', 'ab', 'x')", "xc"),
    ("truncate", "TRUNCATE(42.324, 2)", "42.32"),
    ("typeof", "TYPEOF(CAST(1 AS BIGINT))", "BIGINT NOT NULL"),
    ("unhex", "DECODE(UNHEX('6869'), 'UTF-8')", "hi"),
    ("unix_timestamp", "UNIX_TIMESTAMP('1970-01-01 00:00:44')", "44"),
    ("upper", "UPPER('äbc')", "ÄBC"),
    ("url_decode", "URL_DECODE('a+b%3D')", "a b="),
    ("url_encode", "URL_ENCODE('a b=')", "a+b%3D"),
    ("uuid", "CHAR_LENGTH(UUID())", "36"),
    ("week", "WEEK(DATE '1994-09-27')", "39"),
    ("year", "YEAR(DATE '2024-05-01')", "2024"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_can_be_called_has_an_example() {
        for function in crate::describe() {
            let has_one = function.example.is_some();
            assert_ne!(has_one, WITHOUT.contains(&function.name.as_str()), "{}", function.name);
        }
        for (name, _, _) in EXAMPLES {
            assert!(crate::registry().find(name).is_some(), "{name}");
        }
    }
}
