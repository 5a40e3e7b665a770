//! The columns of a person.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use weir_api::error::{Error, Result};

use super::clockwork::Clockwork;
use super::columns::Events;
use super::events::{FIRST_PERSON_ID, Kind};
use super::options::Settings;
use super::texts::{ExtraLength, Pool, Texts};
use crate::random::Lane;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// The shortest part of a mail address.
const SHORTEST: u64 = 3;
/// Bytes of a card's four groups of four digits.
const CARD_SIZE: u64 = 19;

/// Makes the columns of persons.
pub struct People {
    first_name: Lane,
    last_name: Lane,
    mail_user: Lane,
    mail_host: Lane,
    card: Lane,
    city: Lane,
    state: Lane,
    extra: ExtraLength,
    pool: Pool,
}

impl People {
    /// For these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let lane = |name| Lane::named(settings.seed, name);
        let extra = ExtraLength::new(settings.average_sizes[0], lane("person.extra.length"));
        Self {
            first_name: lane("person.name.first"),
            last_name: lane("person.name.last"),
            mail_user: lane("person.emailAddress.user"),
            mail_host: lane("person.emailAddress.host"),
            card: lane("person.creditCard"),
            city: lane("person.city"),
            state: lane("person.state"),
            pool: Pool::new(lane("person.extra"), extra.longest()),
            extra,
        }
    }

    /// The field `name` of the persons among `events`.
    pub fn column(
        &self,
        name: &str,
        events: &Events<'_>,
        nulls: Option<NullBuffer>,
        clock: &Clockwork,
    ) -> Result<ArrayRef> {
        let kind = Kind::Person;
        Ok(match name {
            "id" => events.longs(kind, nulls, |run| {
                let (first, id) = (run.first, run.last_person as i64 + FIRST_PERSON_ID);
                move |n| id + (n - first) as i64
            }),
            "dateTime" => events.times(kind, nulls, |_| |n| clock.millis(n)),
            "name" => events.texts(kind, nulls, 16, |texts, n| {
                texts.extend(pick(&FIRST_NAMES, self.first_name, n).as_bytes());
                texts.extend(b" ");
                texts.extend(pick(&LAST_NAMES, self.last_name, n).as_bytes());
            })?,
            "emailAddress" => events.texts(kind, nulls, 20, |texts, n| {
                texts.extend_letters(self.mail_user, n, self.user_length(n) as usize, false);
                texts.extend(b"@");
                texts.extend_letters(self.mail_host, n, self.host_length(n) as usize, false);
                texts.extend(b".com");
            })?,
            "creditCard" => events.texts(kind, nulls, CARD_SIZE as usize, |texts, n| self.card(texts, n))?,
            "city" => events
                .texts(kind, nulls, 13, |texts, n| texts.extend(pick(&CITIES, self.city, n).as_bytes()))?,
            "state" => events
                .texts(kind, nulls, 2, |texts, n| texts.extend(pick(&STATES, self.state, n).as_bytes()))?,
            "extra" => events.texts(kind, nulls, self.extra.longest(), |texts, n| {
                self.pool.cut(texts, n, self.extra.of(n, self.size(n)));
            })?,
            other => return Err(Error::internal(format!("nexmark has no field person.{other}"))),
        })
    }

    fn user_length(&self, n: u64) -> u64 {
        SHORTEST + self.mail_user.part(u64::MAX).below(n, 4)
    }

    fn host_length(&self, n: u64) -> u64 {
        SHORTEST + self.mail_host.part(u64::MAX).below(n, 2)
    }

    fn card(&self, texts: &mut Texts, n: u64) {
        let mut number = self.card.below(n, 10_000_000_000_000_000);
        let mut digits = *b"0000 0000 0000 0000";
        for digit in digits.iter_mut().rev().filter(|digit| **digit == b'0') {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        texts.extend(&digits);
    }

    /// Bytes of all columns but `extra`, as Nexmark counts them.
    fn size(&self, n: u64) -> u64 {
        let name =
            pick(&FIRST_NAMES, self.first_name, n).len() + 1 + pick(&LAST_NAMES, self.last_name, n).len();
        let mail = self.user_length(n) + 1 + self.host_length(n) + 4;
        let place = pick(&CITIES, self.city, n).len() + pick(&STATES, self.state, n).len();
        8 + CARD_SIZE + mail + (name + place) as u64
    }
}

fn pick<'a>(words: &[&'a str], lane: Lane, n: u64) -> &'a str {
    words.get(lane.below(n, words.len() as u64) as usize).copied().unwrap_or_default()
}
