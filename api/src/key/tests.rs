//! The frozen vectors, and equality of keys across representations.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, ListArray,
    StringArray, StringViewArray, StructArray,
};
use arrow::datatypes::{Field, Fields};
use proptest::prelude::*;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(column: ArrayRef) -> Vec<String> {
    let keys = encode_columns(&[column]).expect("a key type");
    (0..keys.len()).map(|row| hex(keys.get(row))).collect()
}

#[test]
fn the_encoding_is_frozen() {
    assert_eq!(ENCODING_VERSION, 1);
    assert_eq!(
        encode(Arc::new(Int64Array::from(vec![Some(1), Some(-2), None]))),
        ["010100000000000000", "01feffffffffffffff", "00"]
    );
    assert_eq!(
        encode(Arc::new(Float64Array::from(vec![-0.0, 1.5, -f64::NAN]))),
        ["010000000000000000", "01000000000000f83f", "01000000000000f87f"]
    );
    assert_eq!(
        encode(Arc::new(BooleanArray::from(vec![true, false]))),
        ["010100000000000000", "010000000000000000"]
    );
    assert_eq!(
        encode(Arc::new(StringArray::from(vec![Some("né"), Some(""), None]))),
        ["01030000006ec3a9", "0100000000", "00"]
    );
    let decimal = Decimal128Array::from(vec![-1]).with_precision_and_scale(20, 2).expect("valid");
    assert_eq!(encode(Arc::new(decimal)), [format!("01{}", "ff".repeat(16))]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(7), None]), None]);
    assert_eq!(encode(Arc::new(list)), ["010200000001070000000000000000", "00"]);
    let fields = Fields::from(vec![Field::new("a", DataType::Int64, true)]);
    let row = StructArray::new(fields, vec![Arc::new(Int64Array::from(vec![Some(3)]))], None);
    assert_eq!(encode(Arc::new(row)), ["01010300000000000000"]);
}

#[test]
fn the_hash_is_frozen() {
    // Taken from the reference implementation of xxHash.
    let mut hashes = Vec::new();
    hash_columns(&[Arc::new(Int64Array::from(vec![0, 1, 42]))], &mut hashes).expect("a key type");
    assert_eq!(hashes, [0x313c_2dd2_ec99_6e80, 0xa048_b5cb_8216_2577, 0x3d8e_917a_3bb2_a06c]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    hash_columns(&columns, &mut hashes).expect("a key type");
    assert_eq!(hashes, [0xd780_a5f7_821d_4dcd]);
    assert_eq!(key_group(u64::MAX, 128), 127);
}

#[test]
fn maps_are_refused_as_keys() {
    let error = encode_columns(&[Arc::new(arrow::array::new_null_array(
        &DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        1,
    ))]);
    assert!(error.is_err());
}

proptest! {
    #[test]
    fn equal_values_have_equal_keys_in_every_representation(
        numbers in prop::collection::vec(any::<i8>(), 1..50),
        texts in prop::collection::vec(".{0,20}", 1..50),
        offset in 0_usize..10,
    ) {
        let wide: ArrayRef = Arc::new(numbers.iter().map(|&n| i64::from(n)).collect::<Int64Array>());
        let narrow: ArrayRef = Arc::new(Int8Array::from(numbers.clone()));
        let nullable: ArrayRef = Arc::new(numbers.iter().map(|&n| Some(i64::from(n))).chain([None]).collect::<Int64Array>());
        let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
        hash_columns(&[wide], &mut a).expect("key");
        hash_columns(&[narrow], &mut b).expect("key");
        hash_columns(&[nullable], &mut c).expect("key");
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(&a[..], &c[..a.len()]);

        let plain: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
        let view: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
        let offset = offset.min(texts.len() - 1);
        hash_columns(&[Arc::clone(&plain)], &mut a).expect("key");
        hash_columns(&[view], &mut b).expect("key");
        hash_columns(&[plain.slice(offset, texts.len() - offset)], &mut c).expect("key");
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(&a[offset..], &c[..]);
    }

    #[test]
    fn floats_of_both_widths_agree(values in prop::collection::vec(any::<f32>(), 1..50)) {
        let narrow: ArrayRef = Arc::new(Float32Array::from(values.clone()));
        let wide: ArrayRef = Arc::new(values.iter().map(|&value| f64::from(value)).collect::<Float64Array>());
        let (mut a, mut b) = (vec![], vec![]);
        hash_columns(&[narrow], &mut a).expect("key");
        hash_columns(&[wide], &mut b).expect("key");
        prop_assert_eq!(a, b);
    }

    #[test]
    fn keys_of_several_columns_do_not_run_together(a in ".{0,5}", b in ".{0,5}", c in ".{0,5}", d in ".{0,5}") {
        let key = |x: &str, y: &str| {
            let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(vec![x])), Arc::new(StringArray::from(vec![y]))];
            encode_columns(&columns).expect("key").get(0).to_vec()
        };
        prop_assert_eq!(key(&a, &b) == key(&c, &d), (&a, &b) == (&c, &d));
    }
}
