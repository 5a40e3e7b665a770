//! What is refused, where, and in which words.

use super::refusal;

const REFUSED: &[(&str, &str)] = &[
    // Which statement
    ("SELEC 1", "1:1 no statement begins with 'SELEC'; did you mean SELECT?"),
    ("CREAT TABLE t", "1:1 no statement begins with 'CREAT'; did you mean CREATE?"),
    (
        "xyzzy",
        "1:1 no statement begins with 'xyzzy' (ALTER, CREATE, DESCRIBE, DROP, EXECUTE, EXPLAIN, INSERT, RESET, SELECT, SET, SHOW, USE, VALUES, WITH)",
    ),
    ("1", "1:1 expected a statement, found 1"),
    ("UPDATE t SET a = 1", "1:1 UPDATE is not supported; tables are written with INSERT INTO"),
    (
        "CREATE FUNCTION f AS 'x'",
        "1:19 functions of classes, jars and scripts can't be loaded; a function is an expression here: CREATE FUNCTION f(x BIGINT) RETURNS BIGINT RETURN x + 1",
    ),
    ("CREATE FUNCTION f(a INT) RETURN a", "1:26 expected RETURNS, found RETURN"),
    ("CREATE FUNCTION f(a INT,) RETURNS INT RETURN a", "1:25 expected the name of a parameter, found )"),
    (
        "CREATE OR REPLACE TABLE t (a INT)",
        "1:8 CREATE OR is not supported; CREATE OR REPLACE/ALTER would replace what a catalog keeps, and a text's tables end with it; drop the table first",
    ),
    (
        "CREATE TABEL t",
        "1:8 expected TABLE, VIEW, FUNCTION, DATABASE or CATALOG, found TABEL; did you mean TABLE?",
    ),
    ("CREATE", "1:7 expected TABLE, VIEW, FUNCTION, DATABASE or CATALOG, found the end of the statement"),
    // ALTER, USE, SHOW, DESCRIBE
    (
        "ALTER TABLE t",
        "1:14 expected RENAME, SET, RESET, ADD, MODIFY or DROP, found the end of the statement",
    ),
    ("ALTER TABLE t ADD c", "1:20 expected a type, found the end of the statement"),
    ("ALTER TABLE t RENAME a b", "1:24 expected TO, found b"),
    (
        "ALTER TABLE t ADD PARTITION (a = 1)",
        "1:19 partitions come with their rows, and tables aren't distributed",
    ),
    (
        "ALTER DATABASE d SET ('a' = 'b')",
        "1:7 of ALTER statements there are ALTER TABLE and ALTER VIEW; drop it and create it again",
    ),
    ("ALTER VIEW v SELECT 1", "1:14 expected RENAME TO or AS, found SELECT"),
    ("USE a.b.c", "1:5 a database's name has at most two parts"),
    ("SHOW TABLES FROM", "1:17 expected the name of a database, found the end of the statement"),
    ("SHOW TABLES LIKE x", "1:18 expected a pattern in quotes, found x"),
    ("SHOW TABLES NOT", "1:16 expected LIKE or ILIKE, found the end of the statement"),
    ("SHOW COLUMNS t", "1:14 expected FROM and the name of a table, found t"),
    (
        "SHOW PARTITIONS t",
        "1:1 SHOW PARTITIONS is not supported; partitions are the connector's and aren't listed",
    ),
    ("DESCRIBE", "1:9 expected the name of a table or view, found the end of the statement"),
    (
        "CREATE TABLE l LIKE t (INCLUDING SOME)",
        "1:34 expected one of ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS, WATERMARKS, found SOME",
    ),
    // CREATE TABLE
    ("CREATE TABLE", "1:13 expected the name of the table, found the end of the statement"),
    ("CREATE TABLE t (\n  a BIGNIT\n)", "2:5 there is no type 'BIGNIT'; did you mean BIGINT?"),
    ("CREATE TABLE t (\n  a INT\n  b INT\n)", "3:3 expected ',' or ')', found b"),
    ("CREATE TABLE t (a INT,)", "1:23 expected the name of a column, WATERMARK FOR or PRIMARY KEY, found )"),
    ("CREATE TABLE t ()", "1:17 expected the name of a column, WATERMARK FOR or PRIMARY KEY, found )"),
    ("CREATE TABLE t (a INT", "1:22 expected ',' or ')', found the end of the statement"),
    (
        "CREATE TABLE t (a)",
        "1:17 the column 'a' has no type; only CREATE TABLE … AS SELECT lists names alone",
    ),
    (
        "CREATE TABLE t (a INT FIRST)",
        "1:17 FIRST and AFTER belong into ALTER TABLE; here columns stand in their order",
    ),
    ("CREATE TABLE t (a AS )", "1:22 expected an expression, found )"),
    (
        "CREATE TABLE t (PRIMARY KEY (a))",
        "1:32 a primary key is a promise that isn't checked: write PRIMARY KEY … NOT ENFORCED",
    ),
    (
        "CREATE TABLE t (a INT PRIMARY KEY NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED)",
        "1:49 a table has one PRIMARY KEY at most",
    ),
    ("CREATE TABLE t (WATERMARK FOR a AS a, WATERMARK FOR b AS b)", "1:39 a table has one WATERMARK at most"),
    (
        "CREATE TABLE t (WATERMARK FOR a.b AS a.b)",
        "1:32 a watermark on a field of a ROW is not supported; declare a computed column of it first",
    ),
    ("CREATE TABLE t (a INT, UNIQUE (a))", "1:24 UNIQUE is not supported; PRIMARY KEY (…) NOT ENFORCED is"),
    (
        "CREATE TABLE t (a INT) WITH (connector = 'x')",
        "1:30 expected an option's key in quotes, as in 'connector' = 'filesystem', found connector",
    ),
    ("CREATE TABLE t (a INT) WITH ('connector' 'x')", "1:42 expected '=', found 'x'"),
    ("CREATE TABLE t (a INT) WITH ('connector' = x)", "1:44 expected the option's value in quotes, found x"),
    (
        "CREATE TABLE t (a INT) WITH ()",
        "1:30 expected an option's key in quotes, as in 'connector' = 'filesystem', found )",
    ),
    ("CREATE TABLE t WITH ('a' = 'b') AS SELEC 1", "1:36 expected a query, found SELEC"),
    ("CREATE TABLE a.b.c.d (x INT)", "1:14 a table's name has at most three parts"),
    ("CREATE TABLE t (a INT) PARTITION BY (a)", "1:24 expected the end of the statement, found PARTITION"),
    // Queries
    ("SELECT a,\n  b c d\nFROM t", "2:7 expected the end of the statement, found d"),
    ("SELECT a,, b", "1:10 expected an expression, found ,"),
    ("SELECT a FROM", "1:14 expected identifier, found the end of the statement"),
    ("SELECT a FROM t WHERE", "1:22 expected an expression, found the end of the statement"),
    ("SELECT (a FROM t", "1:11 expected ), found FROM"),
    ("SELECT CASE WHEN a THEN b FROM t", "1:27 expected END, found FROM"),
    ("SELECT f(a", "1:11 expected ), found the end of the statement"),
    ("SELECT \"a\" FROM t", "1:8 \"a\" is in double quotes; write 'a' for a string, `a` for a name"),
    (
        "SELECT /*+ OPTIONS('a'='b') */ 1",
        "1:12 the hint OPTIONS belongs right behind the name of a table that a query reads or an INSERT writes",
    ),
    (
        "SELECT 1 FROM t\n  /*+\n  OPTIONS('a', 'b') */",
        "3:11 the hint is written OPTIONS('key' = 'value', …), keys and values in quotes",
    ),
    ("SELECT 1 FROM t /*+ OPTIONS('a' = 'b' */", "1:17 a hint whose bracket isn't closed"),
    ("SELECT 'abc", "1:8 unterminated string literal"),
    ("SELECT `abc", "1:8 expected close delimiter '`' before EOF."),
    ("SELECT `` FROM t", "1:8 a name can't be empty"),
    ("SELECT 1 /* abc", "1:16 unexpected EOF while in a multi-line comment"),
    ("SELECT 1 FROM t; SELECT 2 FROM t GROUP", "1:34 expected the end of the statement, found GROUP"),
    (
        "WITH a AS (INSERT INTO t VALUES (1)) SELECT 1",
        "1:12 a statement within a query; only SELECT can be there",
    ),
    ("SELECT * FROM (SELECT a,, b FROM t) x", "1:25 expected an expression, found ,"),
    ("SELECT * FROM (SELECT a FROM t GROUP x) y", "1:32 expected ), found GROUP"),
    ("SELECT * FROM a JOIN (SELECT 1 b ON", "1:34 expected ), found ON"),
    ("SELECT a IN (SELECT b FROM (VALUES (1,)) v) FROM t", "1:39 expected an expression, found )"),
    (
        "WITH a AS (SELECT 1), b AS (SELECT CAST(x AS INTT)) SELECT 1",
        "1:46 there is no type 'INTT'; did you mean INT?",
    ),
    ("SELECT EXISTS (SELECT 1 FROM t WHERE)", "1:37 expected an expression, found )"),
    ("SELECT f(SIZE => INTERVAL '1' PARSEC)", "1:15 expected ), found =>"),
    // INSERT, SET, EXPLAIN, sets
    ("INSERT t SELECT 1", "1:8 expected INTO, found t"),
    ("INSERT INTO t", "1:14 expected a query, found the end of the statement"),
    (
        "INSERT OVERWRITE t SELECT 1",
        "1:8 INSERT OVERWRITE is not supported: no connector can replace what is there as one step; use INSERT INTO",
    ),
    ("INSERT INTO t PARTITION (a = ) SELECT 1", "1:30 expected a constant, found )"),
    ("INSERT INTO t (a, 1) SELECT 1", "1:19 expected the name of a column, found 1"),
    ("SET a b = c", "1:9 expected a key without spaces, then '=', found ="),
    (
        "SET a =",
        "1:8 expected a value, as in SET 'parallelism.default' = '4', found the end of the statement",
    ),
    ("SET = 'x'", "1:5 expected a key, as in SET 'parallelism.default' = '4', found ="),
    ("SET 'a' 'b'", "1:9 expected '=', found 'b'"),
    ("EXPLAIN CREATE TABLE t (a INT)", "1:9 of CREATE statements only CREATE TABLE … AS SELECT has a plan"),
    (
        "EXPLAIN CHANGELOG_MODE, SELECT 1",
        "1:25 expected one of ESTIMATED_COST, CHANGELOG_MODE, JSON_EXECUTION_PLAN, PLAN_ADVICE, found SELECT",
    ),
    ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1;", "1:1 this statement set has no END;"),
    (
        "EXECUTE STATEMENT SET BEGIN SELECT 1; END",
        "1:29 expected INSERT INTO, or END of the statement set, found SELECT",
    ),
    (
        "END",
        "1:1 no statement begins with 'END' (ALTER, CREATE, DESCRIBE, DROP, EXECUTE, EXPLAIN, INSERT, RESET, SELECT, SET, SHOW, USE, VALUES, WITH)",
    ),
    ("DROP t", "1:6 expected TABLE, VIEW, FUNCTION, DATABASE or CATALOG, found t"),
];

#[test]
fn each_refusal_has_its_place_and_words() {
    let mut wrong = String::new();
    for (text, expected) in REFUSED {
        let found = refusal(text);
        if found != *expected {
            wrong.push_str(&format!("\n{text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
