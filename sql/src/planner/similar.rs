//! `SIMILAR TO`: SQL's patterns as regular expressions.
//!
//! The whole text must match. `%` is any text, `_` any character; `| * + ? { } ( ) [ ]` mean what they mean in a regular
//! expression; everything else is itself.

/// The regular expression of a pattern; `None` if its escape character doesn't stand before a character.
pub(super) fn regex_of(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut regex = String::with_capacity(pattern.len() + 16);
    regex.push_str(r"\A(?s:");
    let mut characters = pattern.chars();
    // How many brackets are open: two in `[[:digit:]]`.
    let mut brackets = 0_u32;
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            push_literal(&mut regex, characters.next()?);
            continue;
        }
        match character {
            '[' => {
                brackets += 1;
                regex.push('[');
            }
            ']' => {
                brackets = brackets.saturating_sub(1);
                regex.push(']');
            }
            // The names of classes are written in any case.
            _ if brackets > 1 => regex.extend(character.to_lowercase()),
            '^' | '-' if brackets == 1 => regex.push(character),
            _ if brackets == 1 => push_literal(&mut regex, character),
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => regex.push(character),
            _ => push_literal(&mut regex, character),
        }
    }
    regex.push_str(r")\z");
    Some(regex)
}

fn push_literal(regex: &mut String, character: char) {
    if r"\.+*?()|[]{}^$-&~#".contains(character) {
        regex.push('\\');
    }
    regex.push(character);
}

#[cfg(test)]
mod tests {
    use super::regex_of;

    #[test]
    fn a_pattern_means_the_whole_text() {
        let regex = |pattern| regex_of(pattern, None).unwrap();
        assert_eq!(regex("a%_"), r"\A(?s:a.*.)\z");
        assert_eq!(regex("(ab|c)+d{2}"), r"\A(?s:(ab|c)+d{2})\z");
        assert_eq!(regex("a.b$"), r"\A(?s:a\.b\$)\z");
        assert_eq!(regex("[^a-c_%]x"), r"\A(?s:[^a-c_%]x)\z");
        assert_eq!(regex("[[:DIGIT:]]+"), r"\A(?s:[[:digit:]]+)\z");
        assert_eq!(regex_of("10!%", Some('!')).unwrap(), r"\A(?s:10%)\z");
        assert_eq!(regex_of("10!", Some('!')), None);
    }
}
