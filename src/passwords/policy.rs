//! What a new password must be like.

use caseless::default_case_fold_str;
use zxcvbn::{Score, zxcvbn};

use super::password::{MAX_CODE_POINTS, Password};
use crate::model::{Email, Name};

/// The lowest score of a password that is not easily guessed: 10⁶ guesses or more, on zxcvbn's scale of 0 to 4
/// (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016).
const LEAST_SCORE: Score = Score::Two;

/// How alike a password and a name may be (see [`similarity`]): the limit of Django's `UserAttributeSimilarityValidator`.
const SIMILAR: f64 = 0.7;

/// The shortest part of a name that a password may not mostly consist of, in code points.
const SHORTEST_PART: usize = 4;

/// A password that a policy had no objection to: the only kind that can be set.
#[derive(Debug)]
pub struct AcceptedPassword(Password);

impl AcceptedPassword {
    /// The password.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// Why a password is not accepted; shown as the sentence for whoever chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViolation {
    /// Fewer code points than this.
    #[error("This password is too short. It must contain at least {0} characters.")]
    TooShort(usize),
    /// More code points than this.
    #[error("This password is too long. It must contain at most {0} characters.")]
    TooLong(usize),
    /// Nothing but digits.
    #[error("This password is entirely numeric.")]
    EntirelyDigits,
    /// A common password, or one that a machine guesses early.
    #[error("This password is too common or too easily guessed.")]
    EasilyGuessed,
    /// Too close to the user's name.
    #[error("This password is too similar to the name.")]
    LikeName,
    /// Too close to the user's email address.
    #[error("This password is too similar to the email.")]
    LikeEmail,
}

/// What a new password must be like.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The shortest password, in code points.
    pub min_code_points: usize,
}

impl Policy {
    /// Judges a password that shall be set for a user of this name and address, as far as they are known.
    /// Takes up to 30 ms, so it belongs on the hashing threads.
    ///
    /// # Errors
    /// Every objection at once.
    pub fn validate(
        self,
        password: Password,
        name: Option<&Name>,
        email: Option<&Email>,
    ) -> Result<AcceptedPassword, Vec<PolicyViolation>> {
        let objections = self.objections(password.as_str(), name, email);
        if objections.is_empty() { Ok(AcceptedPassword(password)) } else { Err(objections) }
    }

    fn objections(self, password: &str, name: Option<&Name>, email: Option<&Email>) -> Vec<PolicyViolation> {
        let code_points = password.chars().count();
        // A longer password is refused unread: estimates take time that grows with the length.
        if code_points > MAX_CODE_POINTS {
            return vec![PolicyViolation::TooLong(MAX_CODE_POINTS)];
        }
        let is_like = |value: &str| is_close(password, value);
        let found = [
            (code_points < self.min_code_points, PolicyViolation::TooShort(self.min_code_points)),
            (password.chars().all(char::is_numeric), PolicyViolation::EntirelyDigits),
            (is_easily_guessed(password), PolicyViolation::EasilyGuessed),
            (name.is_some_and(|name| is_like(name.as_str())), PolicyViolation::LikeName),
            (email.is_some_and(|email| is_like(email.as_str())), PolicyViolation::LikeEmail),
        ];
        found.into_iter().filter_map(|(holds, objection)| holds.then_some(objection)).collect()
    }
}

/// Builds the estimator's dictionaries, which its first use would wait for (100 ms on a slow core).
pub fn warm_up() {
    let _ = zxcvbn("", &[]).score();
    is_easily_guessed("warm up");
}

fn is_easily_guessed(password: &str) -> bool {
    zxcvbn(password, &[]).score() < LEAST_SCORE
}

/// Whether a password mostly repeats a name or an address, one of its parts, or its parts without what parts them.
fn is_close(password: &str, value: &str) -> bool {
    let password = default_case_fold_str(password);
    let value = default_case_fold_str(value);
    let parts: Vec<_> = value.split(|character: char| !character.is_alphabetic()).collect();
    let joined = parts.concat();
    [value.as_str(), &joined]
        .into_iter()
        .chain(parts)
        .any(|text| is_mostly(&password, text) || similarity(&password, text) >= SIMILAR)
}

/// Whether the password contains the text, and more than half of the password is the text.
fn is_mostly(password: &str, text: &str) -> bool {
    let length = text.chars().count();
    length >= SHORTEST_PART && 2 * length > password.chars().count() && password.contains(text)
}

/// How alike two texts are, 0 to 1: twice the length of their longest common subsequence over the sum of their lengths
/// (the "normalised indel similarity"; never below the ratio of Python's `difflib`, never above its `quick_ratio`).
fn similarity(left: &str, right: &str) -> f64 {
    let right: Vec<_> = right.chars().collect();
    let mut row = vec![0_u32; right.len() + 1];
    let mut left_length = 0;
    for character in left.chars() {
        left_length += 1;
        let mut diagonal = 0;
        for (place, other) in right.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if character == *other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    let common = row.last().copied().unwrap_or_default();
    let lengths = u32::try_from(left_length + right.len()).unwrap_or(u32::MAX);
    if lengths == 0 { 0.0 } else { f64::from(2 * common) / f64::from(lengths) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { min_code_points: 8 };

    fn objections(password: &str) -> Vec<PolicyViolation> {
        let name = "Ada Lovelace".parse().expect("a valid name");
        let email = "a.king@analytical-engines.example".parse().expect("a valid address");
        POLICY.objections(password, Some(&name), Some(&email))
    }

    #[test]
    fn the_passwords_of_the_documents_are_acceptable() {
        for sample in ["secure_password", "old_password", "new_password"] {
            assert_eq!(objections(sample), [], "{sample}");
        }
    }

    #[test]
    fn every_objection_is_told_at_once() {
        assert_eq!(
            objections("12345"),
            [PolicyViolation::TooShort(8), PolicyViolation::EntirelyDigits, PolicyViolation::EasilyGuessed]
        );
    }

    #[test]
    fn length_is_counted_in_code_points() {
        assert_eq!(objections("käñ9ße!"), [PolicyViolation::TooShort(8)]);
        assert_eq!(objections("käñ9ße!ł"), []);
        assert_eq!(objections(&"pärkläx9 ".repeat(28)), []);
        assert_eq!(objections(&"ä".repeat(257)), [PolicyViolation::TooLong(256)]);
    }

    #[test]
    fn common_and_repetitive_passwords_are_refused() {
        for password in ["password", "qwertyuiop", "letmein1", "aaaaaaaaaaaa", "abcabcabc", "iloveyou!"] {
            assert_eq!(objections(password), [PolicyViolation::EasilyGuessed], "{password}");
        }
    }

    #[test]
    fn a_password_that_mostly_repeats_the_name_is_refused() {
        for password in
            ["lovelace1815", "Ada Lovelace", "AdaLovelace!", "xx-LOVELACE", "adalovlace99", "ada.lovelace1815"]
        {
            assert!(objections(password).contains(&PolicyViolation::LikeName), "{password}");
        }
    }

    #[test]
    fn a_password_that_mostly_repeats_the_address_is_refused() {
        for password in ["a.king@analytical-engines.example", "analytical!", "engines-42", "aking-analytical-engines"] {
            assert!(objections(password).contains(&PolicyViolation::LikeEmail), "{password}");
        }
    }

    #[test]
    fn a_part_that_is_half_of_the_password_or_short_is_no_objection() {
        assert_eq!(objections("lovelaceQ7#wVz!k"), []);
        assert_eq!(objections("ada-7#wVz!kQ"), []);
    }

    #[test]
    fn case_is_folded_by_unicode() {
        let name = "Straßenmüller".parse().expect("a valid name");

        assert_eq!(POLICY.objections("STRASSENMÜLLER", Some(&name), None), [PolicyViolation::LikeName]);
    }

    #[test]
    fn similarity_is_the_share_of_the_longest_common_subsequence() {
        assert!((similarity("abcd", "bcde") - 0.75).abs() < f64::EPSILON);
        assert!((similarity("abc", "abc") - 1.0).abs() < f64::EPSILON);
        assert!(similarity("abc", "xyz").abs() < f64::EPSILON);
        assert!(similarity("", "").abs() < f64::EPSILON);
    }
}
