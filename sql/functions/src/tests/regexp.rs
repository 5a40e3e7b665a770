//! Functions with regular expressions.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;

use super::{NO_TEXT, call, call_values, cases};

#[test]
fn extracts_groups_of_the_first_match() {
    let channel = "(&|^)channel_id=([^&]*)";
    cases!("regexp_extract";
        "item=4&channel_id=apple&x=1", channel, 2_i64 => "apple";
        "channel_id=77", channel, 2_i64 => "77";
        "channel_id=77", channel, 1_i64 => "";
        "channel_id=77", channel, 0_i64 => "channel_id=77";
        "item=4", channel, 2_i64 => NO_TEXT;
        NO_TEXT, channel, 2_i64 => NO_TEXT;
        "(a)|(b)", NO_TEXT, 1_i64 => NO_TEXT;
        "b", "(a)|(b)", 1_i64 => NO_TEXT;
        "foo12bar34", "[0-9]+" => "12";
        "foo", "[0-9]+" => NO_TEXT;
    );
}

#[test]
fn replaces_literally() {
    cases!("regexp_replace";
        "foobar", "oo|ar", "" => "fb";
        "aXbXc", "X", "$0" => "a$0b$0c";
        "abc", "x", "y" => "abc";
        "abc", "", "-" => "-a-b-c-";
        NO_TEXT, "x", "y" => NO_TEXT;
        "abc", "b", NO_TEXT => NO_TEXT;
    );
}

#[test]
fn finds() {
    cases!("regexp"; "stream 42", "[0-9]" => true; "stream", "^tr" => false; "stream", "" => false; NO_TEXT, "a" => None::<bool>);
    cases!("regexp_count"; "abcabc", "b." => 2; "abc", "x" => 0; NO_TEXT, "x" => None::<i32>);
    cases!("regexp_instr"; "größe 42", "[0-9]+" => 7; "abc", "x" => 0; NO_TEXT, "x" => None::<i32>);
    cases!("regexp_substr"; "größe 42", "[0-9]+" => "42"; "abc", "x" => NO_TEXT);
}

#[test]
fn extracts_every_match() {
    let args = vec!["a1b22".into(), "([a-z])([0-9]+)".into(), 2_i64.into()];
    let ScalarValue::List(found) = call_values("regexp_extract_all", args).unwrap() else {
        panic!("no list")
    };
    let expected: Arc<dyn Array> = Arc::new(StringArray::from(vec!["1", "22"]));
    assert_eq!(found.value(0).as_string::<i32>(), expected.as_string::<i32>());
}

#[test]
fn a_literal_that_cannot_work_is_refused_when_planned() {
    let message = |args: Vec<ScalarValue>| call_values("regexp_extract", args).unwrap_err().to_string();
    assert!(message(vec!["a".into(), "(?=a)b".into()]).contains("look-around"));
    assert!(message(vec!["a".into(), "(a".into()]).contains("can't be used"));
    assert!(message(vec!["a".into(), "(a)".into(), 2_i64.into()]).contains("has groups 0 to 1"));
    assert!(message(vec!["a".into(), "(a)".into(), ScalarValue::from(-1_i32)]).contains("has no group -1"));
}

#[test]
fn patterns_of_a_column_that_cannot_work_give_null() {
    let column = |texts: Vec<&str>| ColumnarValue::Array(Arc::new(StringArray::from(texts)));
    let args = [column(vec!["aa", "aa", "ab"]), column(vec!["a+", "(a", "b"])];
    let found = call("regexp_extract", None, &args, 3).unwrap().into_array(3).unwrap();
    let found: Vec<Option<&str>> = found.as_string::<i32>().iter().collect();
    assert_eq!(found, [Some("aa"), None, Some("b")]);
    let found = call("regexp", None, &args, 3).unwrap().into_array(3).unwrap();
    assert_eq!(found.as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), Some(true)]);
}

#[test]
fn more_patterns_than_are_kept_still_work() {
    let patterns: Vec<String> = (0..200).map(|number| format!("{number}$")).collect();
    let texts: Vec<String> = (0..200).map(|number| format!("row {number}")).collect();
    let args = [
        ColumnarValue::Array(Arc::new(StringArray::from(texts))),
        ColumnarValue::Array(Arc::new(StringArray::from(patterns))),
    ];
    let found = call("regexp", None, &args, 200).unwrap().into_array(200).unwrap();
    assert_eq!(found.as_boolean().true_count(), 200);
}
