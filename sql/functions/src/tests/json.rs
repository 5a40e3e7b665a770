//! Functions on JSON.

use super::{NO_TEXT, call_values, cases};

const BID: &str = r#"{"price": 10, "rate": 1.50, "big": 1e10, "ok": true, "none": null, "tags": ["a", {"b": "x\ny"}], "a b": "c", "price": 12}"#;

#[test]
fn values_are_scalars() {
    cases!("json_value";
        BID, "$.price" => "12"; BID, "lax $.rate" => "1.5"; BID, "$.big" => "1.0E10"; BID, "$.ok" => "true"; BID, "$.none" => NO_TEXT;
        BID, "$.tags" => NO_TEXT; BID, "$.tags[0]" => "a"; BID, "$.tags[1].b" => "x\ny"; BID, "$.tags[2]" => NO_TEXT; BID, "strict $['a b']" => "c";
        BID, "$.price.x" => NO_TEXT; "{\"a\": 1", "$.a" => NO_TEXT; "{\"a\": 1} x", "$.a" => NO_TEXT; "", "$.a" => NO_TEXT; "\"top\"", "$" => "top";
        NO_TEXT, "$.a" => NO_TEXT; BID, NO_TEXT => NO_TEXT);
}

#[test]
fn queries_are_objects_and_arrays() {
    cases!("json_query";
        BID, "$.tags" => "[\"a\",{\"b\":\"x\\ny\"}]"; BID, "$.tags[1]" => "{\"b\":\"x\\ny\"}"; BID, "$.price" => NO_TEXT; BID, "$.x" => NO_TEXT;
        "nonsense", "$" => NO_TEXT);
}

#[test]
fn existence() {
    cases!("json_exists"; BID, "$.price" => true; BID, "$.tags[1].b" => true; BID, "$.x" => false; BID, "$.none" => false; "nonsense", "$" => false;
        NO_TEXT, "$.a" => None::<bool>);
    assert!(
        call_values("json_value", vec![BID.into(), "$..a".into()])
            .unwrap_err()
            .to_string()
            .contains("JSON path")
    );
}

#[test]
fn deep_nesting_is_no_crash() {
    let deep = "[".repeat(100_000);
    cases!("json_exists"; deep.as_str(), "$[0]" => false);
}
