//! The table of results in the documentation: one row for each series of rounds, renewed after each round.
//!
//! A row is the commit's and the day's: a series goes on in its row, with the seed behind its last one. What can't be parsed as a row
//! is kept as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::round::Outcome;

/// The line behind which rows stand.
const HEAD: &str = "| date | commit | seeds | rounds | vacuous | broken off | violations |";

/// A row of the table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Series {
    date: String,
    commit: String,
    first: u64,
    next: u64,
    rounds: u64,
    vacuous: u64,
    broken: u64,
    violations: u64,
}

/// The results so far and where they are kept.
pub struct Results {
    path: Option<PathBuf>,
    series: Series,
    before: Vec<Series>,
}

impl Results {
    /// Reads the table in this file, if there is one.
    #[must_use]
    pub fn open(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Self::of(path.map(Path::to_owned), &text, &shell("date", &["+%Y-%m-%d"]), &commit())
    }

    fn of(path: Option<PathBuf>, text: &str, date: &str, commit: &str) -> Self {
        let mut before: Vec<Series> =
            text.lines().skip_while(|line| *line != HEAD).skip(2).map_while(Series::parse).collect();
        let is_same = |series: &Series| series.date == date && series.commit == commit;
        let next = before.iter().map(|series| series.next).max().unwrap_or(1);
        let series = before.pop_if(|series| is_same(series)).unwrap_or_else(|| Series {
            date: date.to_owned(),
            commit: commit.to_owned(),
            first: next,
            next,
            ..Series::default()
        });
        Self { path, series, before }
    }

    /// The seed behind the last one.
    #[must_use]
    pub fn next_seed(&self) -> u64 {
        self.series.next
    }

    /// Takes over a round that was run to its end.
    pub fn add(&mut self, outcome: &Outcome) {
        self.series.take(outcome.seed);
        self.series.rounds += 1;
        self.series.vacuous += u64::from(!outcome.vacuous.is_empty());
        self.series.violations += u64::from(!outcome.findings.is_empty());
    }

    /// Takes over a round that couldn't be run to its end.
    pub fn add_broken(&mut self, seed: u64) {
        self.series.take(seed);
        self.series.rounds += 1;
        self.series.broken += 1;
    }

    /// Rounds of this series in which something was wrong.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.series.violations
    }

    /// The series as a row.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{HEAD}\n{}", self.series.row())
    }

    /// Writes the table.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn save(&self) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        std::fs::write(path, self.renew(&text))
    }

    fn renew(&self, text: &str) -> String {
        let head = format!("{HEAD}\n| --- | --- | --- | --- | --- | --- | --- |\n");
        let rows: String =
            self.before.iter().chain([&self.series]).map(|series| series.row() + "\n").collect();
        match text.split_once(HEAD) {
            None => format!("{text}\n{head}{rows}"),
            Some((above, table)) => {
                let below = table.lines().skip(2).skip_while(|line| Series::parse(line).is_some());
                let below: String = below.map(|line| format!("{line}\n")).collect();
                format!("{above}{head}{rows}{below}")
            }
        }
    }
}

impl Series {
    fn take(&mut self, seed: u64) {
        if self.rounds == 0 {
            self.first = seed;
        }
        self.next = self.next.max(seed + 1);
    }

    fn row(&self) -> String {
        let Self { date, commit, first, next, rounds, vacuous, broken, violations } = self;
        let last = next.saturating_sub(1);
        format!("| {date} | `{commit}` | {first}–{last} | {rounds} | {vacuous} | {broken} | {violations} |")
    }

    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [date, commit, seeds, rounds, vacuous, broken, violations] = cells.try_into().ok()?;
        let (first, last) = seeds.split_once('–')?;
        Some(Self {
            date: date.to_owned(),
            commit: commit.trim_matches('`').to_owned(),
            first: first.parse().ok()?,
            next: last.parse::<u64>().ok()? + 1,
            rounds: rounds.parse().ok()?,
            vacuous: vacuous.parse().ok()?,
            broken: broken.parse().ok()?,
            violations: violations.parse().ok()?,
        })
    }
}

fn commit() -> String {
    let commit = shell("git", &["rev-parse", "--short=10", "HEAD"]);
    let is_changed = !shell("git", &["status", "--porcelain", "-uno", "--", "*.rs", "*.toml"]).is_empty();
    if is_changed { format!("{commit}+") } else { commit }
}

fn shell(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Evidence;

    fn outcome(seed: u64, vacuous: Vec<&'static str>) -> Outcome {
        let (findings, strikes) = (Vec::new(), Vec::new());
        Outcome {
            seed,
            findings,
            vacuous,
            strikes,
            evidence: Evidence::default(),
            time: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn a_series_goes_on_in_its_row_and_another_commit_begins_one() {
        let mut results = Results::of(None, "# Results\n", "2026-01-01", "abc");
        results.add(&outcome(1, Vec::new()));
        results.add(&outcome(2, vec!["a restore"]));
        let text = results.renew("# Results\n") + "\nThe end.\n";
        let row = "| 2026-01-01 | `abc` | 1–2 | 2 | 1 | 0 | 0 |\n";
        assert!(
            text.starts_with("# Results\n\n| date") && text.ends_with(&format!("{row}\nThe end.\n")),
            "{text}"
        );

        let mut again = Results::of(None, &text, "2026-01-01", "abc");
        assert_eq!(again.next_seed(), 3);
        again.add_broken(3);
        let text = again.renew(&text);
        assert!(text.ends_with("| 1–3 | 3 | 1 | 1 | 0 |\n\nThe end.\n"), "{text}");

        let mut other = Results::of(None, &text, "2026-01-02", "def");
        other.add(&outcome(4, Vec::new()));
        let text = other.renew(&text);
        assert!(text.contains("| `abc` | 1–3 | 3 |") && text.contains("| `def` | 4–4 | 1 |"), "{text}");
        assert_eq!(text.matches("The end.").count(), 1);
    }
}
