//! Functions on numbers.

mod arithmetic;
mod decimal;
mod decimal_digits;
mod floating;
mod random;
mod round;

use crate::function::Definition;

pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    [arithmetic::DEFINITIONS, floating::DEFINITIONS, random::DEFINITIONS, round::DEFINITIONS]
        .into_iter()
        .flatten()
}
