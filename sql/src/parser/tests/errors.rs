//! What is refused, where, and in which words.

use super::refusal;

const REFUSED: &[(&str, &str)] = &[
    // Which statement
    ("SELEC 1", "1:1 no statement begins with 'SELEC'; did you mean SELECT?"),
    ("CREAT TABLE t", "1:1 no statement begins with 'CREAT'; did you mean CREATE?"),
    (
        "xyzzy",
        "1:1 no statement begins with 'xyzzy' (CREATE, DROP, EXECUTE, EXPLAIN, INSERT, RESET, SELECT, SET, VALUES, WITH)",
    ),
    ("1", "1:1 expected a statement, found 1"),
    ("SHOW TABLES", "1:1 SHOW is not supported; a text's tables are those that it creates"),
    ("ALTER TABLE t ADD c INT", "1:1 ALTER is not supported; drop the table and create it again"),
    (
        "CREATE FUNCTION f AS 'x'",
        "1:8 CREATE FUNCTION is not supported; the built-in functions are all there are so far",
    ),
    ("CREATE TABEL t", "1:8 expected TABLE or VIEW, found TABEL; did you mean TABLE?"),
    ("CREATE", "1:7 expected TABLE or VIEW, found the end of the statement"),
    // CREATE TABLE
    ("CREATE TABLE", "1:13 expected the name of the table, found the end of the statement"),
    ("CREATE TABLE t (\n  a BIGNIT\n)", "2:5 there is no type 'BIGNIT'; did you mean BIGINT?"),
    ("CREATE TABLE t (\n  a INT\n  b INT\n)", "3:3 expected ',' or ')', found b"),
    ("CREATE TABLE t (a INT,)", "1:23 expected the name of a column, WATERMARK FOR or PRIMARY KEY, found )"),
    ("CREATE TABLE t ()", "1:17 expected the name of a column, WATERMARK FOR or PRIMARY KEY, found )"),
    ("CREATE TABLE t (a INT", "1:22 expected ',' or ')', found the end of the statement"),
    ("CREATE TABLE t (a)", "1:18 expected a type, found )"),
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
    (
        "CREATE TABLE t (a INT) WITH ('a' = 'b') LIKE u",
        "1:41 CREATE TABLE … LIKE is not supported yet; write the columns out",
    ),
    (
        "CREATE TABLE t WITH ('a' = 'b') AS SELECT 1",
        "1:33 CREATE TABLE … AS is not supported yet; create the table, then INSERT INTO it",
    ),
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
    ("SELECT /*+ OPTIONS('a'='b') */ 1", "1:8 hints (/*+ … */) are not supported yet; remove this one"),
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
    ("INSERT OVERWRITE t SELECT 1", "1:8 INSERT OVERWRITE is not supported yet; use INSERT INTO"),
    (
        "INSERT INTO t PARTITION (a = 1) SELECT 1",
        "1:15 INSERT INTO … PARTITION is not supported yet; select the partition's columns like others",
    ),
    ("INSERT INTO t (a, 1) SELECT 1", "1:19 expected the name of a column, found 1"),
    ("SET a = b", "1:5 expected a key in quotes, as in SET 'parallelism.default' = '4', found a"),
    ("SET 'a' 'b'", "1:9 expected '=', found 'b'"),
    ("SET", "1:4 SET without a key, which lists them, is not supported"),
    ("EXPLAIN CREATE TABLE t (a INT)", "1:9 expected a query or INSERT INTO to explain, found CREATE"),
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
        "1:1 no statement begins with 'END' (CREATE, DROP, EXECUTE, EXPLAIN, INSERT, RESET, SELECT, SET, VALUES, WITH)",
    ),
    ("DROP t", "1:6 expected TABLE or VIEW, found t"),
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
