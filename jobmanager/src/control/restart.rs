//! Decides whether and when a failed job starts again: Flink's restart strategies under Flink's keys.
//!
//! Invariant: the same failures at the same times with the same random numbers give the same decisions. It does not know what
//! failed; failures that no restart can help never get here.

use std::collections::VecDeque;
use std::time::Duration;

use weir_api::config::{Configuration, options};

/// Which strategy, with its parameters.
#[derive(Clone, PartialEq, Debug)]
pub enum Config {
    /// Never.
    None,
    /// So many times, each after the same wait.
    FixedDelay {
        /// Restarts before the job fails.
        attempts: u32,
        /// The wait before each.
        delay: Duration,
    },
    /// As long as failures are rare enough.
    FailureRate {
        /// Failures within the interval that are followed by a restart.
        max_failures: u32,
        /// The interval in which failures are counted.
        interval: Duration,
        /// The wait before each restart.
        delay: Duration,
    },
    /// After waits that grow while failures go on.
    ExponentialDelay {
        /// The first wait.
        initial: Duration,
        /// The longest wait.
        max: Duration,
        /// By how much each wait is longer than the one before.
        multiplier: f64,
        /// After running this long without a failure the next wait is the first one again.
        reset_after: Duration,
        /// How much of a wait is added or taken off at random.
        jitter: f64,
        /// Restarts before the job fails unless the wait was reset in between; `None`: no limit.
        attempts: Option<u32>,
    },
}

impl Config {
    /// The strategy that a job's configuration asks for.
    #[must_use]
    pub fn from_configuration(configuration: &Configuration) -> Self {
        match configuration.get(&options::RESTART_STRATEGY).to_ascii_lowercase().as_str() {
            "none" | "off" | "disable" => Self::None,
            "fixed-delay" | "fixeddelay" => Self::FixedDelay {
                attempts: configuration.get(&options::FIXED_DELAY_ATTEMPTS),
                delay: configuration.get(&options::FIXED_DELAY_DELAY),
            },
            "failure-rate" | "failurerate" => Self::FailureRate {
                max_failures: configuration.get(&options::FAILURE_RATE_MAX),
                interval: configuration.get(&options::FAILURE_RATE_INTERVAL),
                delay: configuration.get(&options::FAILURE_RATE_DELAY),
            },
            // The configuration refuses every other word.
            _ => Self::ExponentialDelay {
                initial: configuration.get(&options::EXPONENTIAL_INITIAL),
                max: configuration.get(&options::EXPONENTIAL_MAX),
                multiplier: configuration.get(&options::EXPONENTIAL_MULTIPLIER).max(1.0),
                reset_after: configuration.get(&options::EXPONENTIAL_RESET),
                jitter: configuration.get(&options::EXPONENTIAL_JITTER).clamp(0.0, 1.0),
                attempts: Some(configuration.get(&options::EXPONENTIAL_ATTEMPTS))
                    .filter(|attempts| *attempts > 0),
            },
        }
    }

    /// One line for users, as `execution-config.restart-strategy` shows it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::FixedDelay { attempts, delay } => {
                format!("fixed-delay: {attempts} restarts, each after {} ms", delay.as_millis())
            }
            Self::FailureRate { max_failures, interval, delay } => format!(
                "failure-rate: {max_failures} failures within {} ms, each followed by a restart after {} ms",
                interval.as_millis(),
                delay.as_millis()
            ),
            Self::ExponentialDelay { initial, max, multiplier, attempts, .. } => format!(
                "exponential-delay: from {} ms to {} ms, times {multiplier}, {}",
                initial.as_millis(),
                max.as_millis(),
                attempts
                    .map_or_else(|| "without limit".to_owned(), |attempts| format!("{attempts} restarts"))
            ),
        }
    }
}

/// What to do about a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Start again after this wait.
    Restart {
        /// Counted from the failure.
        after: Duration,
    },
    /// Fail the job; the text says which limit was met.
    GiveUp(String),
}

/// One job's strategy with what it remembers.
#[derive(Clone, Debug)]
pub struct Strategy {
    config: Config,
    restarts: u32,
    failures: VecDeque<u64>,
    backoff: Duration,
    last_restart: Option<u64>,
}

impl Strategy {
    /// A strategy that has seen no failure.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, restarts: 0, failures: VecDeque::new(), backoff: Duration::ZERO, last_restart: None }
    }

    /// The parameters.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Decides about a failure now. After the loss of a process, which is no fault of the job, the wait is left out, unless the job
    /// was restarted shortly before: where processes die again and again, waiting helps them too.
    pub fn decide(&mut self, is_loss: bool, now_millis: u64, random: f64) -> Decision {
        let is_quiet = self
            .last_restart
            .is_none_or(|last| now_millis >= last.saturating_add(millis(self.quiet_after())));
        match self.on_failure(now_millis, random) {
            Decision::Restart { .. } if is_loss && is_quiet => {
                self.last_restart = Some(now_millis);
                Decision::Restart { after: Duration::ZERO }
            }
            Decision::Restart { after } => {
                self.last_restart = Some(now_millis.saturating_add(millis(after)));
                Decision::Restart { after }
            }
            give_up => give_up,
        }
    }

    /// After this long without a restart the next one is like the first.
    fn quiet_after(&self) -> Duration {
        match self.config {
            Config::None => Duration::ZERO,
            Config::FixedDelay { delay, .. } => delay.saturating_mul(10),
            Config::FailureRate { interval, .. } => interval,
            Config::ExponentialDelay { reset_after, .. } => reset_after,
        }
    }

    /// Decides about a failure of the job's own now; `random` is uniform in `0.0..1.0`.
    pub fn on_failure(&mut self, now_millis: u64, random: f64) -> Decision {
        match self.config {
            Config::None => Decision::GiveUp("the restart strategy is none".to_owned()),
            Config::FixedDelay { attempts, delay } => {
                if self.restarts >= attempts {
                    return Decision::GiveUp(format!(
                        "all {attempts} restarts of restart-strategy.fixed-delay are used up"
                    ));
                }
                self.restarts += 1;
                Decision::Restart { after: delay }
            }
            Config::FailureRate { max_failures, interval, delay } => {
                self.failure_rate(max_failures, interval, delay, now_millis)
            }
            Config::ExponentialDelay { initial, max, multiplier, reset_after, jitter, attempts } => {
                self.forget_old_failures(now_millis, reset_after);
                if attempts.is_some_and(|attempts| self.restarts >= attempts) {
                    return Decision::GiveUp(format!(
                        "all {} restarts of restart-strategy.exponential-delay are used up",
                        self.restarts
                    ));
                }
                self.backoff =
                    if self.restarts == 0 { initial } else { scaled(self.backoff, multiplier) }.min(max);
                self.restarts = self.restarts.saturating_add(1);
                let after = scaled(self.backoff, 1.0 + jitter * (2.0 * random - 1.0)).min(max);
                self.last_restart = Some(now_millis.saturating_add(millis(after)));
                Decision::Restart { after }
            }
        }
    }

    fn failure_rate(&mut self, max: u32, interval: Duration, delay: Duration, now_millis: u64) -> Decision {
        while self
            .failures
            .front()
            .is_some_and(|failure| now_millis.saturating_sub(*failure) > millis(interval))
        {
            self.failures.pop_front();
        }
        if self.failures.len() >= max as usize {
            return Decision::GiveUp(format!(
                "more than {max} failures within {} ms, the limit of restart-strategy.failure-rate",
                interval.as_millis()
            ));
        }
        self.failures.push_back(now_millis);
        Decision::Restart { after: delay }
    }

    fn forget_old_failures(&mut self, now_millis: u64, reset_after: Duration) {
        if self.last_restart.is_some_and(|restart| now_millis >= restart.saturating_add(millis(reset_after)))
        {
            self.restarts = 0;
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn configured(pairs: &[(&'static str, &'static str)]) -> Config {
        let (configuration, _) = Configuration::from_pairs(pairs.iter().copied()).expect("valid keys");
        Config::from_configuration(&configuration)
    }

    fn exponential(attempts: Option<u32>, jitter: f64) -> Config {
        Config::ExponentialDelay {
            initial: seconds(1),
            max: seconds(5),
            multiplier: 2.0,
            reset_after: seconds(100),
            jitter,
            attempts,
        }
    }

    #[test]
    fn flinks_keys_and_defaults() {
        let default = configured(&[]);
        assert_eq!(
            default,
            Config::ExponentialDelay {
                initial: seconds(1),
                max: seconds(60),
                multiplier: 1.5,
                reset_after: seconds(3600),
                jitter: 0.1,
                attempts: None
            }
        );
        assert_eq!(configured(&[("restart-strategy.type", "disable")]), Config::None);
        let fixed = configured(&[
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "3"),
        ]);
        assert_eq!(fixed, Config::FixedDelay { attempts: 3, delay: seconds(1) });
        let rate = configured(&[("restart-strategy.type", "failureRate")]);
        assert_eq!(rate, Config::FailureRate { max_failures: 1, interval: seconds(60), delay: seconds(1) });
    }

    #[test]
    fn a_lost_process_costs_no_wait_unless_it_follows_another_restart() {
        let mut strategy = Strategy::new(exponential(None, 0.0));
        assert_eq!(strategy.decide(true, 0, 0.5), Decision::Restart { after: Duration::ZERO });
        assert_eq!(strategy.decide(true, 10_000, 0.5), Decision::Restart { after: seconds(2) });
        assert_eq!(strategy.decide(true, 112_000, 0.5), Decision::Restart { after: Duration::ZERO });
        assert_eq!(strategy.clone().decide(false, 300_000, 0.5), Decision::Restart { after: seconds(1) });
        let mut fixed = Strategy::new(Config::FixedDelay { attempts: 2, delay: seconds(3) });
        assert_eq!(fixed.decide(false, 0, 0.5), Decision::Restart { after: seconds(3) });
        assert_eq!(fixed.decide(true, 40_000, 0.5), Decision::Restart { after: Duration::ZERO });
        assert!(matches!(fixed.decide(true, 90_000, 0.5), Decision::GiveUp(_)), "it counts all the same");
    }

    #[test]
    fn none_gives_up_at_once() {
        assert!(matches!(Strategy::new(Config::None).on_failure(0, 0.5), Decision::GiveUp(_)));
    }

    #[test]
    fn fixed_delay_restarts_exactly_so_often() {
        let mut strategy = Strategy::new(Config::FixedDelay { attempts: 2, delay: seconds(3) });
        assert_eq!(strategy.on_failure(0, 0.5), Decision::Restart { after: seconds(3) });
        assert_eq!(strategy.on_failure(1_000_000, 0.5), Decision::Restart { after: seconds(3) });
        assert!(matches!(strategy.on_failure(9_000_000, 0.5), Decision::GiveUp(_)));
    }

    #[test]
    fn failure_rate_forgets_what_is_older_than_the_interval() {
        let config = Config::FailureRate { max_failures: 2, interval: seconds(60), delay: seconds(1) };
        let mut strategy = Strategy::new(config);
        assert!(matches!(strategy.on_failure(100_000, 0.5), Decision::Restart { .. }));
        assert!(matches!(strategy.on_failure(130_000, 0.5), Decision::Restart { .. }));
        assert!(matches!(strategy.clone().on_failure(150_000, 0.5), Decision::GiveUp(_)));
        assert!(
            matches!(strategy.on_failure(160_001, 0.5), Decision::Restart { .. }),
            "the first is forgotten"
        );
        assert!(matches!(strategy.on_failure(160_002, 0.5), Decision::GiveUp(_)));
    }

    #[test]
    fn exponential_delay_grows_to_its_maximum_and_resets_after_quiet() {
        let mut strategy = Strategy::new(exponential(None, 0.0));
        let waits: Vec<_> = (0..5)
            .map(|n| match strategy.on_failure(n * 10_000, 0.5) {
                Decision::Restart { after } => after.as_secs(),
                Decision::GiveUp(why) => panic!("{why}"),
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        // The last restart was due at 45 s; 100 s of quiet later the first wait is back.
        assert_eq!(strategy.clone().on_failure(144_999, 0.5), Decision::Restart { after: seconds(5) });
        assert_eq!(strategy.on_failure(145_000, 0.5), Decision::Restart { after: seconds(1) });
    }

    #[test]
    fn exponential_delay_gives_up_after_its_attempts() {
        let mut strategy = Strategy::new(exponential(Some(1), 0.0));
        assert!(matches!(strategy.on_failure(0, 0.5), Decision::Restart { .. }));
        assert!(matches!(strategy.on_failure(1, 0.5), Decision::GiveUp(_)));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_factor_and_the_maximum(random in 0.0..1.0f64, failures in 1..20u64) {
            let mut strategy = Strategy::new(exponential(None, 0.25));
            for n in 0..failures {
                let Decision::Restart { after } = strategy.on_failure(n, random) else { panic!("no limit is set") };
                prop_assert!(after >= Duration::from_millis(750) && after <= seconds(5), "{after:?}");
            }
        }
    }
}
