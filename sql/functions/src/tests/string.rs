//! Functions on strings.

use datafusion_common::ScalarValue;

use super::{NO_TEXT, NULL, call_values, cases};

#[test]
fn cases_and_trims() {
    cases!("lower"; "ÄbC" => "äbc"; "" => ""; NO_TEXT => NO_TEXT);
    cases!("upper"; "äbC" => "ÄBC"; NO_TEXT => NO_TEXT);
    cases!("trim"; "  a b " => "a b"; "\ta " => "\ta"; NO_TEXT => NO_TEXT; "xxaxx", "x" => "a"; "xyaxy", "yx" => "a");
    cases!("ltrim"; "  a " => "a "; "xxa", "x" => "a"; NO_TEXT => NO_TEXT);
    cases!("rtrim"; " a  " => " a"; "axx", "x" => "a"; NO_TEXT => NO_TEXT);
    cases!("initcap"; "stream and BATCH" => "Stream And Batch"; NO_TEXT => NO_TEXT);
    cases!("reverse"; "aßc" => "cßa"; "" => ""; NO_TEXT => NO_TEXT);
    cases!("translate"; "banana", "an", "ox" => "boxoxo"; "banana", "an", "o" => "booo"; NO_TEXT, "a", "b" => NO_TEXT);
}

#[test]
fn lengths_count_characters() {
    cases!("char_length"; "weir" => 4; "größe" => 5; "" => 0; NO_TEXT => None::<i32>);
    cases!("character_length"; "€" => 1);
}

#[test]
fn parts() {
    cases!("substring";
        "flowing", 2_i64 => "lowing";
        "flowing", 2_i64, 3_i64 => "low";
        "flowing", 0_i64, 2_i64 => "fl";
        "flowing", -3_i64 => "ing";
        "flowing", -3_i64, 2_i64 => "in";
        "flowing", -9_i64, 2_i64 => "";
        "flowing", 9_i64 => "";
        "flowing", 2_i64, 0_i64 => "";
        "flowing", 2_i64, -1_i64 => NO_TEXT;
        "größe", 3_i64, 2_i64 => "öß";
        "größe", -2_i64 => "ße";
        NO_TEXT, 1_i64, 1_i64 => NO_TEXT;
        "flowing", None::<i64>, 1_i64 => NO_TEXT;
    );
    cases!("substr"; "abc", 2_i32 => "bc");
    cases!("left"; "größe", 3_i64 => "grö"; "ab", 9_i64 => "ab"; "ab", 0_i64 => ""; "ab", -1_i64 => ""; NO_TEXT, 1_i64 => NO_TEXT);
    cases!("right"; "größe", 2_i64 => "ße"; "ab", 9_i64 => "ab"; "ab", 0_i64 => ""; "ab", -1_i64 => ""; NO_TEXT, 1_i64 => NO_TEXT);
    cases!("overlay";
        "rotating", "ring", 4_i64 => "rotringg";
        "rotating", "XX", 1_i64, 3_i64 => "XXating";
        "rotating", "XX", 20_i64 => "rotating";
        "rotating", "XX", 0_i64 => "rotating";
        "rotating", "XX", 3_i64, 0_i64 => "roXX";
        NO_TEXT, "XX", 3_i64, 0_i64 => NO_TEXT;
    );
}

#[test]
fn split_index_counts_from_zero() {
    cases!("split_index";
        "https://weir.example/a/b", "/", 3_i64 => "a";
        "https://weir.example/a/b", "/", 1_i64 => "";
        "https://weir.example/a/b", "/", 4_i64 => "b";
        "https://weir.example/a/b", "/", 5_i64 => NO_TEXT;
        "a/", "/", 1_i64 => "";
        "a::b:c", "::", 1_i64 => "b:c";
        "a b\tc", "", 2_i64 => "c";
        "", "/", 0_i64 => NO_TEXT;
        "a/b", "/", -1_i64 => NO_TEXT;
        NO_TEXT, "/", 0_i64 => NO_TEXT;
        "a/b", NO_TEXT, 0_i64 => NO_TEXT;
        "a/b", "/", None::<i64> => NO_TEXT;
        "aäb", "ä", 1_i64 => "b";
    );
    cases!("split_index"; "a;b", 59_i64, 1_i64 => "b"; "a;b", 0_i64, 1_i64 => NO_TEXT; "a;b", 256_i64, 0_i64 => NO_TEXT);
}

#[test]
fn positions_count_from_one() {
    cases!("locate";
        "or", "work or word" => 2;
        "or", "work or word", 3_i64 => 6;
        "or", "work or word", 12_i64 => 0;
        "or", "work or word", -5_i64 => 2;
        "ß", "größe" => 4;
        "e", "größe", 4_i64 => 5;
        "", "abc" => 1;
        "x", "" => 0;
        NO_TEXT, "abc" => None::<i32>;
        "a", NO_TEXT => None::<i32>;
    );
    cases!("position"; "b", "abc" => 2; "x", "abc" => 0);
    cases!("instr"; "abc", "b" => 2; "abc", "x" => 0; NO_TEXT, "b" => None::<i32>);
    cases!("startswith"; "stream", "str" => true; "stream", "" => true; "stream", "am" => false; NO_TEXT, "a" => None::<bool>);
    cases!("endswith"; "stream", "am" => true; "stream", "" => true; "stream", "str" => false; "a", NO_TEXT => None::<bool>);
    cases!("count_char";
        "mississippi", "s" => 4_i64;
        "mississippi", "sip" => 4_i64;
        "größte Größe", "ö" => 2_i64;
        "abc", "" => 0_i64;
        NO_TEXT, "a" => 0_i64;
        "abc", NO_TEXT => None::<i64>;
    );
}

#[test]
fn joins() {
    cases!("concat"; "a", "b", "c" => "abc"; "a", NO_TEXT, "c" => NO_TEXT; "", "", "" => "");
    cases!("concat_ws"; "-", "a", NO_TEXT, "c" => "a-c"; "-", "a", "", "c" => "a--c"; NO_TEXT, "a", "b", "c" => NO_TEXT;
        "-", NO_TEXT, NO_TEXT, NO_TEXT => "");
    cases!("repeat"; "ab", 3_i64 => "ababab"; "ab", 0_i64 => ""; "ab", -1_i64 => ""; NO_TEXT, 2_i64 => NO_TEXT; "", 9_i64 => "");
    cases!("lpad";
        "hi", 5_i64, "ab" => "abahi"; "hi", 1_i64, "ab" => "h"; "hi", 0_i64, "ab" => ""; "hi", -1_i64, "ab" => NO_TEXT;
        "hi", 5_i64, "" => NO_TEXT; "hü", 4_i64, "é" => "ééhü"; NO_TEXT, 4_i64, "x" => NO_TEXT);
    cases!("rpad";
        "hi", 5_i64, "ab" => "hiaba"; "hü", 1_i64, "ab" => "h"; "hi", -1_i64, "ab" => NO_TEXT; "hi", 5_i64, "" => NO_TEXT);
    cases!("replace";
        "ababab", "abab", "z" => "zab"; "abc", "b", "" => "ac"; "abc", "x", "y" => "abc"; NO_TEXT, "a", "b" => NO_TEXT;
        "abc", "b", NO_TEXT => NO_TEXT; "abc", "", "-" => "-a-b-c-");
}

#[test]
fn codes() {
    cases!("ascii"; "abc" => 97; "" => 0; NO_TEXT => None::<i32>);
    cases!("chr"; 97_i64 => "a"; 353_i64 => "a"; -1_i64 => ""; 256_i64 => "\0"; None::<i64> => NO_TEXT);
    cases!("bin"; 4_i64 => "100"; 12_i64 => "1100"; 0_i64 => "0"; None::<i64> => NO_TEXT);
    assert_eq!(
        call_values("bin", vec![ScalarValue::from(-1_i64)]).unwrap(),
        ScalarValue::from("1".repeat(64))
    );
    cases!("hex"; 20_i64 => "14"; 100_i32 => "64"; "hi,é" => "68692CC3A9"; -1_i64 => "FFFFFFFFFFFFFFFF"; NO_TEXT => NO_TEXT);
    let bytes = |bytes: &[u8]| ScalarValue::Binary(Some(bytes.to_vec()));
    cases!("unhex"; "68692c" => bytes(b"hi,"); "F" => bytes(&[15]); "" => bytes(b""); "xy" => ScalarValue::Binary(None);
        NO_TEXT => ScalarValue::Binary(None));
    cases!("to_base64"; "hello weir" => "aGVsbG8gd2Vpcg=="; "" => ""; NO_TEXT => NO_TEXT);
    cases!("from_base64"; "aGVsbG8gd2Vpcg==" => "hello weir"; "" => ""; NO_TEXT => NO_TEXT);
    assert!(call_values("from_base64", vec!["%%%".into()]).unwrap_err().to_string().contains("isn't Base64"));
    cases!("encode"; "é", "UTF-8" => bytes(&[0xC3, 0xA9]); "é", "ISO-8859-1" => bytes(&[0xE9]); "é", "US-ASCII" => bytes(b"?");
        NO_TEXT, "UTF-8" => ScalarValue::Binary(None));
    cases!("decode"; bytes(&[0xC3, 0xA9]), "utf-8" => "é"; bytes(&[0xE9]), "ISO-8859-1" => "é"; ScalarValue::Binary(None), "UTF-8" => NO_TEXT);
    assert!(
        call_values("encode", vec!["a".into(), "EBCDIC".into()]).unwrap_err().to_string().contains("EBCDIC")
    );
}

#[test]
fn kinds_of_characters() {
    cases!("is_alpha"; "abc" => true; "ab1" => false; "" => false; NO_TEXT => false);
    cases!("is_digit"; "123" => true; "12a" => false; "" => false; NO_TEXT => false);
    cases!("is_decimal"; "12" => true; "-1.5e3" => true; "x" => false; "" => false; NO_TEXT => false);
}

#[test]
fn string_views_and_large_strings_are_read_as_they_are() {
    let view = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
    let large = |text: &str| ScalarValue::LargeUtf8(Some(text.to_owned()));
    cases!("concat"; view("a much longer string"), large("b") => "a much longer stringb");
    cases!("split_index"; view("a/b"), view("/"), 1_i64 => "b");
    cases!("locate"; large("b"), view("abc") => 2);
}

#[test]
fn a_wrong_call_is_told_what_is_expected() {
    let message = |name: &str, args: Vec<ScalarValue>| call_values(name, args).unwrap_err().to_string();
    let wrong = message("locate", vec![5_i32.into(), "a".into()]);
    assert!(
        wrong.contains("LOCATE(search, string[, from])") && wrong.contains("argument 1 must be a STRING"),
        "{wrong}"
    );
    assert!(message("locate", vec!["a".into()]).contains("with 1 arguments"));
    assert!(message("left", vec!["a".into(), "b".into()]).contains("argument 2 must be an integer"));
    assert_eq!(call_values("left", vec![NULL, 1_i64.into()]).unwrap(), ScalarValue::Utf8(None));
}

#[test]
fn a_result_too_large_is_an_error_and_not_a_crash() {
    for (name, args) in [
        ("repeat", vec!["x".into(), i64::MAX.into()]),
        ("lpad", vec!["x".into(), i64::MAX.into(), "é".into()]),
        ("rpad", vec!["x".into(), (1_i64 << 40).into(), "ab".into()]),
    ] {
        let message = call_values(name, args).unwrap_err().to_string();
        assert!(message.contains("more than 1 GiB"), "{message}");
    }
}

#[test]
fn urls() {
    let url = "https://ann:pw@weir.example:8081/jobs/a.html?state=RUNNING&limit=5#top";
    cases!("parse_url";
        url, "HOST" => "weir.example"; url, "PATH" => "/jobs/a.html"; url, "QUERY" => "state=RUNNING&limit=5"; url, "REF" => "top";
        url, "PROTOCOL" => "https"; url, "AUTHORITY" => "ann:pw@weir.example:8081"; url, "FILE" => "/jobs/a.html?state=RUNNING&limit=5";
        url, "USERINFO" => "ann:pw"; url, "PORT" => NO_TEXT; "no url", "HOST" => NO_TEXT; "http://h", "QUERY" => NO_TEXT; NO_TEXT, "HOST" => NO_TEXT;
        url, "QUERY", "limit" => "5"; url, "QUERY", "x" => NO_TEXT; url, "HOST", "limit" => NO_TEXT);
    cases!("url_encode"; "a b&ü.-*_~" => "a+b%26%C3%BC.-*_%7E"; NO_TEXT => NO_TEXT);
    cases!("url_decode"; "a+b%26%C3%BC" => "a b&ü"; "%4" => NO_TEXT; "%zz" => NO_TEXT; NO_TEXT => NO_TEXT);
}
