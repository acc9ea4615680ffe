//! The estimate of a password's strength, in bounded time.
//!
//! zxcvbn searches its dictionaries once for each combination of substitutions such as `4` and `@` for `a`. A password with
//! all of them has more than a thousand combinations, and takes more than a second. A password with too many is therefore
//! replaced by three others with fewer, and all of them must be strong:
//!
//! - the password with letters for the symbols;
//! - its longest beginning without too many combinations;
//! - its longest end without too many combinations.
//!
//! That rejects the weak ones. Fewer than 10⁶ guesses are two patterns at most, since zxcvbn adds 10⁸ for the third. Words in
//! which symbols replace letters are guessed sooner with the letters. Sequences and rows of keys are the patterns that have
//! many symbols of their own, and their parts are guessed as soon as the whole; next to a word, one end contains the word
//! and a part of them.

use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// The lowest acceptable score on zxcvbn's scale of 0 to 4: at least 10⁶ guesses (Wheeler, "zxcvbn: Low-Budget Password
/// Strength Estimation", USENIX Security 2016).
const MIN_SCORE: Score = Score::Two;

/// The number of code points that zxcvbn considers.
const MAX_CONSIDERED: usize = 100;

/// The most work for one estimate, in the unit of [`work`]: 10 ms or less. It allows more than 100 combinations for 24 code
/// points, and nine for 100.
const MAX_WORK: usize = 100_000;

/// The most work for an end of a password.
const MAX_WORK_OF_END: usize = MAX_WORK / 4;

/// The letters with the symbols that replace them, in zxcvbn 3.
const SUBSTITUTIONS: [(char, &str); 12] = [
    ('a', "4@"),
    ('b', "8"),
    ('c', "({[<"),
    ('e', "3"),
    ('g', "69"),
    ('i', "1!|"),
    ('l', "1|7"),
    ('o', "0"),
    ('s', "$5"),
    ('t', "+7"),
    ('x', "%"),
    ('z', "2"),
];

/// The symbols that replace one of two letters.
const AMBIGUOUS: &str = "1|7";

/// Returns whether a password is guessed in less than 10⁶ attempts, or might be.
///
/// The first call builds the dictionaries, which takes about 100 ms on a slow core. A server that has not checked a new
/// password yet does not hold them (5 MiB).
pub fn is_easily_guessed(password: &str) -> bool {
    let considered = password.char_indices().nth(MAX_CONSIDERED).map_or(password, |(end, _)| &password[..end]);
    if work(considered) <= MAX_WORK {
        return is_weak(considered);
    }
    is_weak(&with_most_letters(considered)) || is_weak(beginning(considered)) || is_weak(end(considered))
}

fn is_weak(password: &str) -> bool {
    zxcvbn(password, &[]).score() < MIN_SCORE
}

/// Returns a measure of the time for an estimate: the number of combinations of substitutions, or somewhat more, times a
/// measure of the time for one.
fn work(password: &str) -> usize {
    let length = password.chars().count();
    let combinations: usize = SUBSTITUTIONS
        .iter()
        .map(|(_, symbols)| {
            let present = symbols.chars().filter(|symbol| password.contains(*symbol));
            // zxcvbn tries a symbol that has replaced another letter with both.
            let choices: usize = present.map(|symbol| if AMBIGUOUS.contains(symbol) { 2 } else { 1 }).sum();
            choices.max(1)
        })
        .product();
    combinations * (length * length + 300)
}

/// Returns the longest beginning that needs little work.
fn beginning(password: &str) -> &str {
    let beginnings = password.char_indices().map(|(start, character)| &password[..start + character.len_utf8()]);
    beginnings.take_while(|text| work(text) <= MAX_WORK_OF_END).last().unwrap_or_default()
}

/// Returns the longest end that needs little work.
fn end(password: &str) -> &str {
    let ends = password.char_indices().rev().map(|(start, _)| &password[start..]);
    ends.take_while(|text| work(text) <= MAX_WORK_OF_END).last().unwrap_or_default()
}

/// Returns the password with letters for all symbols that replace only one and, if it still needs much work, for most of the
/// others.
fn with_most_letters(password: &str) -> Zeroizing<String> {
    let replaced = with_letters(password, AMBIGUOUS);
    if work(&replaced) <= MAX_WORK { replaced } else { with_letters(password, "1") }
}

/// Returns the password with letters for all symbols but those of `kept`.
fn with_letters(password: &str, kept: &str) -> Zeroizing<String> {
    let letter = |character: char| {
        let mut letters = SUBSTITUTIONS.iter().filter(|(_, symbols)| symbols.contains(character));
        letters.next().filter(|_| !kept.contains(character)).map_or(character, |(letter, _)| *letter)
    };
    let mut replaced = Zeroizing::new(String::with_capacity(password.len()));
    replaced.extend(password.chars().map(letter));
    replaced
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use zxcvbn::matching::patterns::MatchPattern;

    use super::*;

    /// All symbols that replace letters.
    const SYMBOLS: &str = "4@8({[<369!1|70$5+%2";

    /// A common word for each letter of [`SUBSTITUTIONS`].
    const WORDS: [(char, &str); 12] = [
        ('a', "dragon"),
        ('b', "batman"),
        ('c', "cookie"),
        ('e', "monkey"),
        ('g', "dragon"),
        ('i', "michael"),
        ('l', "flower"),
        ('o', "dragon"),
        ('s', "shadow"),
        ('t', "tiger"),
        ('x', "xavier"),
        ('z', "zeppelin"),
    ];

    /// Returns whether zxcvbn finds a substitution of this symbol for this letter.
    fn is_substitution(letter: char, symbol: char) -> bool {
        let (_, word) = WORDS.iter().find(|(of, _)| *of == letter).expect("a word for each letter");
        let estimate = zxcvbn(&word.replacen(letter, &symbol.to_string(), 1), &[]);
        estimate.sequence().iter().any(|part| match &part.pattern {
            MatchPattern::Dictionary(pattern) => {
                pattern.sub.as_ref().is_some_and(|substitutions| substitutions.get(&symbol) == Some(&letter))
            }
            _ => false,
        })
    }

    #[test]
    fn substitutions_are_those_of_the_estimator() {
        for (letter, symbols) in SUBSTITUTIONS {
            for symbol in (' '..='~').filter(|character| !character.is_ascii_alphabetic()) {
                assert_eq!(is_substitution(letter, symbol), symbols.contains(symbol), "{letter} {symbol}");
            }
        }
        let all: Vec<_> = SUBSTITUTIONS.iter().flat_map(|(_, symbols)| symbols.chars()).collect();
        for symbol in SYMBOLS.chars() {
            let letters = all.iter().filter(|other| **other == symbol).count();
            assert_eq!(letters, if AMBIGUOUS.contains(symbol) { 2 } else { 1 }, "{symbol}");
        }
    }

    #[test]
    fn ordinary_passwords_are_estimated_as_a_whole() {
        let samples = [
            ("password", true),
            ("P@ssw0rd1!", true),
            ("Tr0ub4dor&3", false),
            ("correct horse battery staple", false),
            ("qwertyuiop1234567890", true),
            ("!@#$%^&*()_+", true),
            ("2024-11-28", true),
            ("abcdefghijklmnopqrstuvwxyz", true),
            ("D(b7}xK!2w@Q[9t$Zr5|f", false),
            ("yX4kP9vB2@nM7cR1zT8wQ3", false),
            ("31415926535897932384626433832795028841971693993751", false),
            ("пароль-который-никто-не-угадает", false),
        ];
        for (password, is_expected) in samples {
            assert!(work(password) <= MAX_WORK, "{password}");
            assert_eq!(is_easily_guessed(password), is_expected, "{password}");
        }
    }

    #[test]
    fn long_passwords_with_all_symbols_are_estimated_in_parts() {
        let ascii: String = ('!'..='~').collect();
        let samples = [
            (SYMBOLS.repeat(5), false),
            (ascii.clone(), true),
            (format!("password{ascii}"), true),
            (format!("{ascii}dragon"), true),
            ("p4$$w0rd8@538@11".repeat(6), true),
            ("23456789:;<=>?@ABCDEFGHIJKLMNfoo7ba11".to_owned(), true),
            ("5+@7<|{1!4$$".repeat(8), false),
            (format!("vR8%{SYMBOLS}kT2&wz{SYMBOLS}").repeat(3), false),
        ];
        for (password, is_expected) in samples {
            assert!(work(&password) > MAX_WORK, "{password}");
            assert_eq!(is_easily_guessed(&password), is_expected, "{password}");
        }
    }

    /// A part of a password that is a pattern, or all symbols.
    fn part() -> impl Strategy<Value = String> {
        let word = prop::sample::select(WORDS.map(|(_, word)| word).to_vec());
        let symbols = prop::collection::vec(any::<prop::sample::Index>(), 12);
        let word = (word, symbols).prop_map(|(word, choices)| {
            let replaced = word.chars().zip(choices).map(|(letter, choice)| {
                let symbols = SUBSTITUTIONS.iter().find(|(of, _)| *of == letter).map_or("", |(_, symbols)| symbols);
                symbols.chars().chain([letter]).nth(choice.index(symbols.len() + 1)).unwrap_or(letter)
            });
            replaced.collect::<String>()
        });
        let sequence = (33_u8..120, 1_u8..3, 3_u8..30).prop_map(|(first, step, length)| {
            (0..length)
                .map_while(|number| first.checked_add(number * step))
                .filter(u8::is_ascii_graphic)
                .map(char::from)
                .collect()
        });
        prop_oneof![
            4 => word,
            3 => sequence,
            1 => Just("!@#$%^&*()_+".to_owned()),
            1 => Just("1234567890-=".to_owned()),
            1 => Just("4@({[<69".to_owned()),
            1 => Just("19921231".to_owned()),
            1 => "[ -~]{1,4}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_weak_password_is_accepted_because_it_needs_much_work(
            parts in prop::collection::vec(part(), 1..=3),
            repeats in 1_usize..=3,
        ) {
            let password: String = parts.concat().repeat(repeats).chars().take(48).collect();

            prop_assert!(is_easily_guessed(&password) || !is_weak(&password), "{password}");
        }
    }

    #[test]
    fn estimate_takes_at_most_50_ms_for_any_password() {
        let graphic: Vec<char> = ('!'..='~').collect();
        let inputs = [
            SYMBOLS.repeat(13),
            "4@({[<69!1|7$5+".repeat(17),
            "4@s$c({5a".repeat(11),
            "1il|lI1t7".repeat(11),
            graphic.iter().cycle().take(256).collect(),
            "a".repeat(256),
            "0123456789".repeat(25),
            "12.11.1991".repeat(25),
            "p4ssw0rd|0v3m0nk3y".repeat(14),
            "qawsedrftgyhujikolp".repeat(13),
            "1245789632".repeat(25),
            format!("{}b{}", "a".repeat(50), "a".repeat(205)),
            "🐎🔋📎😀".repeat(64),
            format!("İ{SYMBOLS}").repeat(12),
        ];
        is_easily_guessed("the dictionaries are built once");
        for input in inputs {
            // The best of several: other processes take time too.
            let time = (0..5).map(|_| {
                let started = Instant::now();
                is_easily_guessed(&input);
                started.elapsed()
            });
            let best = time.min().expect("five times");
            assert!(best <= Duration::from_millis(50), "{best:?} for {input}");
        }
    }
}
