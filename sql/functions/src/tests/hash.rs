//! Hashes, against the algorithms' published test vectors.

use super::{NO_TEXT, call_values, cases};

#[test]
fn digests_of_abc() {
    cases!("md5"; "abc" => "900150983cd24fb0d6963f7d28e17f72"; "" => "d41d8cd98f00b204e9800998ecf8427e"; NO_TEXT => NO_TEXT);
    cases!("sha1"; "abc" => "a9993e364706816aba3e25717850c26c9cd0d89d"; NO_TEXT => NO_TEXT);
    cases!("sha224"; "abc" => "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"; NO_TEXT => NO_TEXT);
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    cases!("sha256"; "abc" => sha256; NO_TEXT => NO_TEXT);
    let sha384 =
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
    cases!("sha384"; "abc" => sha384; NO_TEXT => NO_TEXT);
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                  2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    cases!("sha512"; "abc" => sha512; NO_TEXT => NO_TEXT);
    cases!("sha2"; "abc", 256_i64 => sha256; "abc", 512_i64 => sha512; "abc", 384_i64 => sha384; "abc", None::<i64> => NO_TEXT);
    assert!(
        call_values("sha2", vec!["abc".into(), 128_i64.into()]).unwrap_err().to_string().contains("not 128")
    );
}
