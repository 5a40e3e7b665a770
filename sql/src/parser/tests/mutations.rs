//! Thousands of damaged statements: none panics, each error has a place within the text.

use proptest::prelude::*;

use crate::deep::with_deep_stack;
use crate::statement::Position;

/// Statements that read, of every kind.
const SEEDS: &[&str] = &[
    "SELECT JSON_VALUE(j, 'lax $.a' RETURNING INT DEFAULT x + 1 ON EMPTY ERROR ON ERROR), JSON_QUERY(j, '$' WITH CONDITIONAL ARRAY \
     WRAPPER EMPTY ARRAY ON EMPTY), JSON_OBJECT(KEY 'a' VALUE JSON_ARRAY(x, NULL NULL ON NULL), 'b': y ABSENT ON NULL), j IS NOT JSON \
     OBJECT, x NOT BETWEEN SYMMETRIC 1 AND 2, (d, INTERVAL '1' DAY) OVERLAPS (e, f) FROM t",
    "SELECT k, JSON_OBJECTAGG(KEY a VALUE b ABSENT ON NULL) FILTER (WHERE c), ARRAY_AGG(DISTINCT a IGNORE NULLS), LISTAGG(a, ';'), \
     PERCENTILE(b, ARRAY[0.5, 0.9]) FROM t GROUP BY k",
    "CREATE TEMPORARY TABLE IF NOT EXISTS a.t (id BIGINT NOT NULL COMMENT 'k', r ROW<a INT, b ARRAY<MAP<STRING, DECIMAL(10, 2)>>>,\n  c AS CASE WHEN id = 0 THEN r.a ELSE 1 END, m TIMESTAMP_LTZ(3) METADATA FROM 'ts' VIRTUAL,\n  WATERMARK FOR ts AS ts - INTERVAL '1:30' MINUTE TO SECOND, PRIMARY KEY (id) NOT ENFORCED) PARTITIONED BY (id) WITH ('connector' = 'x', 'a.b' = 'c');",
    "CREATE VIEW v (a, b) AS WITH w AS (SELECT 1) SELECT a, COUNT(DISTINCT b) FILTER (WHERE c > 1) FROM TABLE(HOP(TABLE `t u`, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) AS h GROUP BY a, window_start;",
    "INSERT INTO t (a, b) SELECT CAST(x AS ROW<a INT>), TIMESTAMP '2026-01-01 00:00:00' FROM TUMBLE(DATA => TABLE s, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' DAY, `OFFSET` => -INTERVAL '8' HOURS) JOIN u ON s.a = u.a AND s.b IN (SELECT 1) WHERE x LIKE 'a%' UNION ALL VALUES (1, 'ä€'), (2, NULL)",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT -1 % 2 || 'x'; INSERT INTO b (SELECT ARRAY[1, 2][1], MAP['a', 1]); END;",
    "SET 'parallelism.default' = '4'; RESET 'a'; EXPLAIN CHANGELOG_MODE SELECT EXTRACT(HOUR FROM ts), FLOOR(ts TO DAY), TRIM(BOTH 'x' FROM y), POSITION('a' IN b) FROM t -- comment\n;",
    "SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) FROM t FOR SYSTEM_TIME AS OF p AS x, LATERAL TABLE(f(y)) AS z(a) LEFT JOIN UNNEST(arr) ON TRUE GROUP BY GROUPING SETS ((a), ()) HAVING COUNT(*) > 1 ORDER BY a LIMIT 10",
    "CREATE CATALOG IF NOT EXISTS c WITH ('type' = 'generic_in_memory'); CREATE DATABASE c.d COMMENT 'x'; USE CATALOG c; USE c.d; DROP DATABASE IF EXISTS d CASCADE;",
    "CREATE TABLE l (n AS a + 1, WATERMARK FOR ts AS ts) COMMENT 'c' WITH ('path' = 'x') LIKE c.d.b (INCLUDING ALL, OVERWRITING OPTIONS EXCLUDING WATERMARKS); CREATE TABLE t (b, a) WITH ('connector' = 'x') AS SELECT a, b FROM u;",
    "ALTER TABLE IF EXISTS t ADD (d INT COMMENT 'x' FIRST, e AS f(`d d`) AFTER a, PRIMARY KEY (d) NOT ENFORCED, WATERMARK FOR ts AS ts - INTERVAL '1' DAY); ALTER TABLE t MODIFY b ROW<x INT>; ALTER TABLE t DROP (a, b); ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME TO u; ALTER TABLE t SET ('a' = 'b'); ALTER TABLE t RESET ('a'); ALTER VIEW v AS SELECT 1;",
    "CREATE TEMPORARY SYSTEM FUNCTION IF NOT EXISTS f(x ROW<a INT>, y DECIMAL(10, 2)) RETURNS STRING LANGUAGE SQL RETURN CASE WHEN x.a > y THEN g(x.a) ELSE 'it''s' END; DROP TEMPORARY SYSTEM FUNCTION IF EXISTS f;",
    "SHOW TABLES FROM c.d NOT LIKE 'a%_'; SHOW CREATE TABLE `t u`; SHOW USER FUNCTIONS IN d ILIKE 'x'; SHOW COLUMNS FROM t; SHOW CURRENT DATABASE; DESCRIBE EXTENDED a.b; DESC FUNCTION f; SET; SET table.exec.x = 5 s; RESET a.b",
    "INSERT INTO t /*+ OPTIONS('a' = 'b', 'c' = 'd') */ PARTITION (p = 'x', q = -7, r) (a, b) SELECT /*+ BROADCAST(t, u) */ t.a, u.b FROM c.d.t /*+ OPTIONS('k'='v') */ AS t, TUMBLE(TABLE u /*+ OPTIONS('k'='v') */, DESCRIPTOR(ts), INTERVAL '1' DAY) /*+ not one */",
    "EXPLAIN JSON_EXECUTION_PLAN, PLAN_ADVICE CREATE TABLE t WITH ('a' = 'b') AS SELECT f(a) FROM u; EXECUTE INSERT INTO t VALUES (1), (2);",
];

/// What is put in or instead.
const SCRAPS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ">>",
    "<>",
    ",",
    ";",
    ".",
    "'",
    "`",
    "\"",
    "--",
    "/*",
    "*/",
    "/*+",
    "*",
    "=",
    "=>",
    "?",
    ":",
    "::",
    "@",
    "#",
    "$",
    "\\",
    "\0",
    "ä",
    "𝄞",
    "\u{202e}",
    "\r\n",
    "0",
    "1e999",
    "99999999999999999999",
    "0x",
    "E'",
    "U&'\\",
    "X'",
    "N'",
    "INTERVAL",
    "'1' SECOND",
    "CASE",
    "END",
    "SELECT",
    "FROM",
    "TABLE",
    "TABLE(",
    "TUMBLE(",
    "DESCRIPTOR(",
    "ROW<",
    "ARRAY<",
    "MAP<",
    "CAST(",
    "AS",
    "NOT",
    "NULL",
    "IN",
    "WITH",
    "VALUES",
    "BEGIN",
    "MATCH_RECOGNIZE (",
    "PIVOT (",
    "OVER (",
    "GROUP BY",
    "DATE '",
    "TIMESTAMP",
    "EXPLAIN",
    "STATEMENT SET",
    "/*+ OPTIONS('a'='b') */",
    "/*+ OPTIONS(",
    "LIKE",
    "PARTITION (",
    "RETURN",
    "RETURNS",
    "FUNCTION",
    "ALTER TABLE t",
    "SHOW",
    "USE",
    "\u{1}",
];

#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, &'static str),
    Replace(usize, char),
    Repeat(usize, usize),
    Swap(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0usize..600;
    prop_oneof![
        1 => place.clone().prop_map(Damage::Cut),
        3 => (place.clone(), 1usize..20).prop_map(|(at, length)| Damage::Remove(at, length)),
        6 => (place.clone(), proptest::sample::select(SCRAPS)).prop_map(|(at, scrap)| Damage::Insert(at, scrap)),
        2 => (place.clone(), any::<char>()).prop_map(|(at, character)| Damage::Replace(at, character)),
        2 => (place.clone(), 1usize..40).prop_map(|(at, length)| Damage::Repeat(at, length)),
        2 => (place.clone(), place).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

fn apply(characters: &mut Vec<char>, damage: &Damage) {
    let length = characters.len();
    if length == 0 {
        return;
    }
    match *damage {
        Damage::Cut(at) => characters.truncate(at % length),
        Damage::Remove(at, count) => {
            let at = at % length;
            characters.drain(at..(at + count).min(length));
        }
        Damage::Insert(at, scrap) => {
            let at = at % length;
            characters.splice(at..at, scrap.chars());
        }
        Damage::Replace(at, character) => characters[at % length] = character,
        Damage::Repeat(at, count) => {
            let at = at % length;
            let piece: Vec<char> = characters[at..(at + count).min(length)].to_vec();
            characters.splice(at..at, piece.iter().copied().cycle().take(piece.len() * 5));
        }
        Damage::Swap(a, b) => characters.swap(a % length, b % length),
    }
}

/// Parses; an error's place must be in the text, and its message must render.
fn check(text: &str) -> std::result::Result<bool, String> {
    let Err(error) = crate::parser::parse(text) else { return Ok(true) };
    let Position { line, column } = error.position().ok_or_else(|| format!("no place: {error}"))?;
    // A carriage return alone is no new line to anybody but `str::lines`.
    let lines: Vec<&str> = text.split('\n').collect();
    let found = usize::try_from(line - 1)
        .ok()
        .and_then(|index| lines.get(index))
        .ok_or_else(|| format!("no such line: {error}"))?;
    let width = found.chars().count() as u64 + 1;
    if column > width {
        return Err(format!("no such column, of {width}: {error}"));
    }
    if error.message().is_empty() || error.message().contains("at Line:") {
        return Err(format!("a message that isn't ours: {error}"));
    }
    let rendered = error.into_error(text);
    if rendered.message().len() > 4_000 { Err(format!("a long message: {rendered}")) } else { Ok(false) }
}

#[test]
fn the_seeds_read() {
    for seed in SEEDS {
        crate::parser::parse(seed).unwrap_or_else(|error| panic!("{error}\n{seed}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]
    #[test]
    fn damaged_statements_are_read_or_refused_in_a_place(
        seed in proptest::sample::select(SEEDS),
        damages in proptest::collection::vec(damage(), 1..5),
    ) {
        let mut characters: Vec<char> = seed.chars().collect();
        for damage in &damages {
            apply(&mut characters, damage);
        }
        let text: String = characters.into_iter().collect();
        let outcome = with_deep_stack(|| check(&text)).map_err(|error| error.to_string()).and_then(|outcome| outcome);
        prop_assert!(outcome.is_ok(), "{:?}\nin: {}", outcome, text);
    }

    #[test]
    fn any_text_is_read_or_refused_in_a_place(text in "\\PC{0,80}") {
        let outcome = check(&text);
        prop_assert!(outcome.is_ok(), "{:?}\nin: {}", outcome, text);
    }
}

/// How many texts the long loop damages: `WEIR_SQL_MUTATIONS`, or few enough for every run of the tests.
fn count_of_mutations() -> u64 {
    std::env::var("WEIR_SQL_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

/// Numbers that are the same in every run (Marsaglia's xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// A text with up to four damages; pieces of `seeds` and [`SCRAPS`] go in.
pub(crate) fn damaged(seeds: &[&str], numbers: &mut Numbers) -> String {
    let mut characters: Vec<char> = seeds[numbers.below(seeds.len())].chars().collect();
    for _ in 0..=numbers.below(4) {
        let (at, length) = (numbers.below(1_000), 1 + numbers.below(30));
        let damage = match numbers.below(17) {
            0 => Damage::Cut(at),
            1..=3 => Damage::Remove(at, length),
            4..=9 => Damage::Insert(at, SCRAPS[numbers.below(SCRAPS.len())]),
            10 | 11 => Damage::Replace(at, char::from_u32(numbers.below(0x3000) as u32).unwrap_or('?')),
            12 | 13 => Damage::Repeat(at, length),
            14 | 15 => Damage::Swap(at, numbers.below(1_000)),
            _ => {
                let other: Vec<char> = seeds[numbers.below(seeds.len())].chars().collect();
                let from = numbers.below(other.len());
                let to = (from + 3 * length).min(other.len());
                let place = at % characters.len().max(1);
                characters.splice(place..place, other[from..to].iter().copied());
                continue;
            }
        };
        apply(&mut characters, &damage);
    }
    characters.into_iter().collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a text takes is what is tested")]
fn many_damaged_statements_are_read_or_refused_in_time() {
    let outcome = with_deep_stack(|| {
        let mut numbers = Numbers::new(0x9E37_79B9_7F4A_7C15);
        let (mut read, mut slowest) = (0_u64, std::time::Duration::ZERO);
        let count = count_of_mutations();
        for number in 0..count {
            let text = damaged(SEEDS, &mut numbers);
            let begun = std::time::Instant::now();
            match std::panic::catch_unwind(|| check(&text)) {
                Ok(Ok(is_read)) => read += u64::from(is_read),
                Ok(Err(wrong)) => return Err(format!("number {number}: {wrong}\nin: {text}")),
                Err(_) => return Err(format!("number {number} panics\nin: {text}")),
            }
            slowest = slowest.max(begun.elapsed());
        }
        println!("{count} texts, {read} of them read, the slowest took {slowest:?}");
        if slowest.as_secs() < 2 { Ok(()) } else { Err(format!("a text took {slowest:?}")) }
    });
    assert_eq!(outcome.map_err(|error| error.to_string()), Ok(Ok(())));
}
