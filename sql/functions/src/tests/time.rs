//! Functions on points in time.

use arrow::array::{AsArray, TimestampMillisecondArray};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMillisecondType};
use datafusion_common::ScalarValue;
use datafusion_expr::{ColumnarValue, Volatility};
use std::sync::Arc;

use super::{NO_TEXT, call, call_values, cases, date, function, timestamp, timestamp_ltz};

fn no_timestamp() -> ScalarValue {
    ScalarValue::TimestampMillisecond(None, None)
}

#[test]
fn parts() {
    let point = || timestamp("2024-12-30 13:14:15.678");
    cases!("year"; point() => 2024_i64; date("1969-12-31") => 1969_i64; no_timestamp() => None::<i64>);
    cases!("quarter"; point() => 4_i64; date("2024-03-31") => 1_i64);
    cases!("month"; point() => 12_i64);
    cases!("week"; point() => 1_i64; date("2021-01-03") => 53_i64);
    cases!("dayofyear"; point() => 365_i64);
    cases!("dayofmonth"; point() => 30_i64);
    cases!("dayofweek"; point() => 2_i64; date("2024-12-29") => 1_i64);
    cases!("hour"; point() => 13_i64; timestamp("1969-12-31 23:00:00") => 23_i64; no_timestamp() => None::<i64>);
    cases!("minute"; point() => 14_i64);
    cases!("second"; point() => 15_i64; ScalarValue::Time32Millisecond(Some(61_000)) => 1_i64);
}

#[test]
fn extract_knows_all_units() {
    let point = || timestamp("2024-12-30 13:14:15.678");
    cases!("extract";
        "MILLISECOND", point() => 678_i64; "MICROSECOND", point() => 678_000_i64; "NANOSECOND", point() => 678_000_000_i64;
        "epoch", point() => 1_735_564_455_i64; "DOW", point() => 2_i64; "ISODOW", point() => 1_i64; "ISOYEAR", point() => 2025_i64;
        "DOY", point() => 365_i64; "DECADE", point() => 202_i64; "CENTURY", point() => 21_i64; "MILLENNIUM", point() => 3_i64;
        "CENTURY", date("2000-12-31") => 20_i64; "DAY", point() => 30_i64; "YEAR", no_timestamp() => None::<i64>);
    let error = call_values("extract", vec!["FORTNIGHT".into(), point()]).unwrap_err().to_string();
    assert!(error.contains("FORTNIGHT"), "{error}");
}

#[test]
fn instants_are_read_on_the_session_s_clocks() {
    cases!("hour" in "Asia/Tokyo"; timestamp_ltz("2024-05-01 20:00:00") => 5_i64; timestamp("2024-05-01 20:00:00") => 20_i64);
    cases!("dayofmonth" in "Asia/Tokyo"; timestamp_ltz("2024-05-01 20:00:00") => 2_i64);
    cases!("date_format" in "Europe/Berlin"; timestamp_ltz("2024-07-01 12:00:00"), "HH:mm" => "14:00"; timestamp_ltz("2024-01-01 12:00:00"), "HH:mm" => "13:00");
    cases!("floor" in "Asia/Tokyo"; timestamp_ltz("2024-05-01 20:00:00"), "DAY" => timestamp_ltz("2024-05-01 15:00:00"));
    cases!("from_unixtime" in "Asia/Tokyo"; 44_i64 => "1970-01-01 09:00:44"; 44_i64, "HH:mm XXX" => "09:00 +09:00");
    cases!("unix_timestamp" in "Europe/Berlin"; "1970-01-01 08:00:01" => 25_201_i64);
    let error =
        call("hour", Some("Mars/Base"), &[ColumnarValue::Scalar(timestamp_ltz("2024-05-01 20:00:00"))], 1);
    assert!(error.unwrap_err().to_string().contains("Mars/Base"));
}

#[test]
fn formats() {
    let point = || timestamp("2024-05-01 08:03:09.045");
    cases!("date_format";
        point(), "yyyy-MM-dd HH:mm:ss.SSS" => "2024-05-01 08:03:09.045"; point(), "yyyy-MM-dd" => "2024-05-01"; point(), "HH:mm" => "08:03";
        point(), "yyyyMMdd" => "20240501"; point(), "M/d/yy h:m a" => "5/1/24 8:3 AM"; point(), "EEE, d MMM yyyy" => "Wed, 1 May 2024";
        point(), "EEEE MMMM" => "Wednesday May"; point(), "'week' D Q" => "week 122 2"; point(), "k K SSSSSS" => "8 8 045000";
        no_timestamp(), "yyyy" => NO_TEXT; point(), NO_TEXT => NO_TEXT; timestamp("2024-05-01 00:30:00"), "hh kk" => "12 24";
        timestamp("1969-12-31 23:59:59.999"), "yyyy HH:mm:ss.SS" => "1969 23:59:59.99"; date("2024-02-29"), "dd.MM.yyyy HH" => "29.02.2024 00");
    cases!("date_format"; "2024-05-01 08:03:09", "yy/MM" => "24/05"; "nonsense", "yy" => NO_TEXT);
    let error = call_values("date_format", vec![point(), "yyyy-bb".into()]).unwrap_err().to_string();
    assert!(error.contains("'b'"), "{error}");
}

#[test]
fn rows_that_look_alike_repeat_only_while_they_do() {
    let minute = 60_000;
    let values = vec![Some(0), Some(1), None, Some(minute - 1), Some(minute), Some(0), Some(-1)];
    let column = ColumnarValue::Array(Arc::new(TimestampMillisecondArray::from(values)));
    let args = [column, ColumnarValue::Scalar("yyyy-MM-dd HH:mm".into())];
    let texts = call("date_format", None, &args, 7).unwrap().into_array(7).unwrap();
    let expected = [
        Some("1970-01-01 00:00"),
        Some("1970-01-01 00:00"),
        None,
        Some("1970-01-01 00:00"),
        Some("1970-01-01 00:01"),
        Some("1970-01-01 00:00"),
        Some("1969-12-31 23:59"),
    ];
    assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
}

#[test]
fn texts_become_points() {
    cases!("to_timestamp";
        "2024-05-01 08:00:00" => timestamp("2024-05-01 08:00:00"); "2024-05-01 08:00:00.1239" => timestamp("2024-05-01 08:00:00.123");
        "2024-5-1" => timestamp("2024-05-01 00:00:00"); "1969-12-31 23:59:59.9999" => timestamp("1969-12-31 23:59:59.999");
        "2024-02-30 00:00:00" => no_timestamp(); "" => no_timestamp(); NO_TEXT => no_timestamp();
        "01.05.2024 08:00", "dd.MM.yyyy HH:mm" => timestamp("2024-05-01 08:00:00"); "2024-5-1 8:00:00", "dd.MM.yyyy" => timestamp("2024-05-01 08:00:00");
        "x", "dd.MM.yyyy" => no_timestamp(); "01.05.2024", NO_TEXT => no_timestamp());
    cases!("to_date"; "2024-05-01" => date("2024-05-01"); "2024-05-01 08:00:00" => date("2024-05-01"); "2024-13-01" => ScalarValue::Date32(None);
        "05/01/2024", "MM/dd/yyyy" => date("2024-05-01"); "x", "MM/dd/yyyy" => ScalarValue::Date32(None); NO_TEXT => ScalarValue::Date32(None));
    cases!("convert_tz"; "1970-01-01 00:00:00", "UTC", "America/Los_Angeles" => "1969-12-31 16:00:00"; "1970-01-01 00:00:00", "GMT+08:00", "UTC" => "1969-12-31 16:00:00";
        "x", "UTC", "UTC" => NO_TEXT; NO_TEXT, "UTC", "UTC" => NO_TEXT);
}

#[test]
fn numbers_become_instants() {
    let none = || ScalarValue::TimestampMillisecond(None, Some("UTC".into()));
    cases!("to_timestamp_ltz"; 100_i64, 0_i32 => timestamp_ltz("1970-01-01 00:01:40"); 100_i32, 3_i32 => timestamp_ltz("1970-01-01 00:00:00.1");
        100_i64 => timestamp_ltz("1970-01-01 00:00:00.1"); None::<i64>, 3_i32 => none(); i64::MAX, 0_i32 => none(); 1.5, 0_i32 => timestamp_ltz("1970-01-01 00:00:01.5"));
    cases!("to_timestamp_ltz"; "2024-05-01 08:00:00" => timestamp_ltz("2024-05-01 08:00:00"); "01.05.2024", "dd.MM.yyyy", "Asia/Tokyo" => timestamp_ltz("2024-04-30 15:00:00"); "x" => none());
    for args in [vec![1_i64.into(), 6_i32.into()], vec![true.into()], vec![1_i64.into(), "x".into()]] {
        assert!(call_values("to_timestamp_ltz", args).is_err());
    }
    cases!("from_unixtime"; 44_i64 => "1970-01-01 00:00:44"; -1_i64 => "1969-12-31 23:59:59"; None::<i64> => NO_TEXT; 44_i64, "ss" => "44"; i64::MAX, "ss" => "16");
    cases!("unix_timestamp"; "1970-01-01 00:00:44" => 44_i64; "1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS X" => 1_i64;
        "1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS" => 28_801_i64; "1970-01-01 08:00:01.001", "yyyy-MM-dd HH:mm:ss.SSS X" => i64::MIN;
        timestamp("1970-01-01 00:01:00") => 60_i64; NO_TEXT => None::<i64>);
}

#[test]
fn distances() {
    let (from, to) = (|| timestamp("2024-01-31 12:00:00"), || timestamp("2024-03-01 11:59:59"));
    cases!("timestampdiff";
        "SECOND", from(), to() => 2_591_999; "minute", from(), to() => 43_199; "HOUR", from(), to() => 719; "DAY", from(), to() => 29; "DAY", to(), from() => -29;
        "WEEK", from(), to() => 4; "MONTH", from(), to() => 1; "MONTH", to(), from() => -1; "QUARTER", from(), to() => 0; "YEAR", timestamp("2020-02-29 00:00:00"), timestamp("2024-02-29 00:00:00") => 4;
        "MONTH", timestamp("2024-01-31 00:00:00"), timestamp("2024-02-29 00:00:00") => 1; "DAY", date("2024-01-01"), timestamp("2024-01-02 12:00:00") => 1;
        "MONTH", no_timestamp(), to() => None::<i32>; "MILLISECOND", from(), timestamp("2024-01-31 12:00:01") => 1_000; "SQL_TSI_DAY", from(), to() => 29);
    let far = vec!["SECOND".into(), timestamp("1900-01-01 00:00:00"), timestamp("2024-01-01 00:00:00")];
    assert!(call_values("timestampdiff", far).unwrap_err().to_string().contains("larger unit"));
}

#[test]
fn sums() {
    cases!("timestampadd";
        "MINUTE", 90_i64, timestamp("2024-01-31 23:00:00") => timestamp("2024-02-01 00:30:00"); "DAY", -1_i64, timestamp("2024-03-01 08:00:00.5") => timestamp("2024-02-29 08:00:00.5");
        "MONTH", 1_i64, timestamp("2024-01-31 08:00:00") => timestamp("2024-02-29 08:00:00"); "YEAR", -1_i64, timestamp("2024-02-29 00:00:00") => timestamp("2023-02-28 00:00:00");
        "QUARTER", 1_i64, date("2024-11-30") => date("2025-02-28"); "WEEK", 1_i64, date("2024-02-26") => date("2024-03-04"); "HOUR", 1_i64, date("2024-02-26") => timestamp("2024-02-26 01:00:00");
        "DAY", None::<i64>, timestamp("2024-03-01 08:00:00") => no_timestamp(); "SECOND", 1_i64, no_timestamp() => no_timestamp());
    let far = vec!["YEAR".into(), i64::MAX.into(), timestamp("2024-01-01 00:00:00")];
    assert!(call_values("timestampadd", far).unwrap_err().to_string().contains("leaves the range"));
}

#[test]
fn rounding_to_units() {
    let point = || timestamp("2018-03-20 06:44:31.5");
    cases!("floor";
        point(), "SECOND" => timestamp("2018-03-20 06:44:31"); point(), "MINUTE" => timestamp("2018-03-20 06:44:00"); point(), "HOUR" => timestamp("2018-03-20 06:00:00");
        point(), "DAY" => timestamp("2018-03-20 00:00:00"); point(), "WEEK" => timestamp("2018-03-18 00:00:00"); point(), "MONTH" => timestamp("2018-03-01 00:00:00");
        point(), "QUARTER" => timestamp("2018-01-01 00:00:00"); point(), "YEAR" => timestamp("2018-01-01 00:00:00"); point(), "DECADE" => timestamp("2010-01-01 00:00:00");
        point(), "CENTURY" => timestamp("2001-01-01 00:00:00"); no_timestamp(), "DAY" => no_timestamp(); timestamp("1969-12-31 23:30:00"), "HOUR" => timestamp("1969-12-31 23:00:00");
        date("2018-03-20"), "MONTH" => date("2018-03-01"); ScalarValue::Time32Millisecond(Some(3_661_000)), "MINUTE" => ScalarValue::Time32Millisecond(Some(3_660_000)));
    cases!("ceil";
        point(), "MINUTE" => timestamp("2018-03-20 06:45:00"); point(), "WEEK" => timestamp("2018-03-25 00:00:00"); point(), "MONTH" => timestamp("2018-04-01 00:00:00");
        point(), "YEAR" => timestamp("2019-01-01 00:00:00"); timestamp("2018-03-01 00:00:00"), "MONTH" => timestamp("2018-03-01 00:00:00"); point(), "MILLISECOND" => point());
    for args in [
        vec![point()],
        vec![point(), "DOW".into()],
        vec![ScalarValue::Time32Millisecond(Some(0)), "DAY".into()],
    ] {
        assert!(call_values("floor", args).is_err());
    }
}

#[test]
fn the_current_time_is_volatile_and_now() {
    for name in [
        "current_timestamp",
        "now",
        "proctime",
        "localtimestamp",
        "current_date",
        "localtime",
        "current_time",
        "unix_timestamp",
        "rand",
        "uuid",
    ] {
        assert_eq!(function(name).signature().volatility, Volatility::Volatile, "{name}");
    }
    let clock = || i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let current = |name: &str| call(name, Some("Asia/Tokyo"), &[], 2).unwrap().into_array(2).unwrap();
    let before = clock();
    let (instant, local) = (current("current_timestamp"), current("localtimestamp"));
    let (day, seconds) = (current("current_date"), current("unix_timestamp"));
    let after = clock();
    let instant = instant.as_primitive::<TimestampMillisecondType>();
    assert!(instant.len() == 2 && (before..=after).contains(&instant.value(1)));
    let local = local.as_primitive::<TimestampMillisecondType>().value(0);
    assert!((before..=after).contains(&(local - 9 * 3_600_000)));
    let day = i64::from(day.as_primitive::<Date32Type>().value(0));
    assert!(
        (before + 9 * 3_600_000).div_euclid(86_400_000) <= day
            && day <= (after + 9 * 3_600_000).div_euclid(86_400_000)
    );
    assert!((before / 1000..=after / 1000).contains(&seconds.as_primitive::<Int64Type>().value(0)));
}
