//! The requirements for new passwords.

use super::{
    password::{MAX_CODE_POINTS, Password},
    similarity::FoldedPassword,
    strength::is_easily_guessed,
};
use crate::model::{Email, Name};

/// A password that meets the policy. Only such a password can be set.
#[derive(Debug)]
pub struct AcceptedPassword(Password);

impl AcceptedPassword {
    /// Returns the password.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// A new password that has passed all checks but the estimate of its strength, or has violated some of them.
#[derive(Debug)]
pub struct CandidatePassword {
    password: Password,
    violations: Vec<PolicyViolation>,
}

impl CandidatePassword {
    /// Returns the password.
    #[must_use]
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// Returns the violations without an estimate of the strength.
    #[must_use]
    pub fn violations(&self) -> &[PolicyViolation] {
        &self.violations
    }

    /// Returns whether the password is rejected without an estimate of its strength.
    pub(super) fn is_too_long(&self) -> bool {
        self.violations.iter().any(|violation| matches!(violation, PolicyViolation::TooLong(_)))
    }

    /// Estimates the strength of the password, and accepts it if there is no violation. Takes up to 50 ms, so it runs on the
    /// hashing threads.
    pub(super) fn accept(self) -> Result<AcceptedPassword, Vec<PolicyViolation>> {
        let is_too_long = self.is_too_long();
        let Self { password, mut violations } = self;
        if !is_too_long && is_easily_guessed(password.as_str()) {
            violations.push(PolicyViolation::EasilyGuessed);
            violations.sort_unstable();
        }
        if violations.is_empty() { Ok(AcceptedPassword(password)) } else { Err(violations) }
    }
}

/// A reason to reject a new password. `Display` is the sentence for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PolicyViolation {
    /// Fewer code points than this.
    #[error("This password is too short. It must contain at least {0} characters.")]
    TooShort(usize),
    /// More code points than this.
    #[error("This password is too long. It must contain at most {0} characters.")]
    TooLong(usize),
    /// Only digits.
    #[error("This password is entirely numeric.")]
    EntirelyDigits,
    /// A common password, or one that is guessed in less than 10⁶ attempts.
    #[error("This password is too common or too easily guessed.")]
    EasilyGuessed,
    /// Too similar to the user's name.
    #[error("This password is too similar to the name.")]
    LikeName,
    /// Too similar to the user's email address.
    #[error("This password is too similar to the email.")]
    LikeEmail,
}

/// The configured requirements for new passwords.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The shortest password, in code points.
    pub min_code_points: usize,
}

impl Policy {
    /// Checks all but the strength of a new password of a user with this name and email address, if known. Takes less than
    /// 0.1 ms: 40 µs for the longest texts, in a release build (see `benches/speed/passwords.rs`).
    #[must_use]
    pub fn check(self, password: Password, name: Option<&Name>, email: Option<&Email>) -> CandidatePassword {
        let violations = self.violations(password.as_str(), name, email);
        CandidatePassword { password, violations }
    }

    fn violations(self, password: &str, name: Option<&Name>, email: Option<&Email>) -> Vec<PolicyViolation> {
        let code_points = password.chars().count();
        // The duration of the other checks grows with the length.
        if code_points > MAX_CODE_POINTS {
            return vec![PolicyViolation::TooLong(MAX_CODE_POINTS)];
        }
        let folded = FoldedPassword::new(password);
        let checks = [
            (code_points < self.min_code_points, PolicyViolation::TooShort(self.min_code_points)),
            (password.chars().all(char::is_numeric), PolicyViolation::EntirelyDigits),
            (name.is_some_and(|name| folded.is_similar(name.as_str())), PolicyViolation::LikeName),
            (email.is_some_and(|email| folded.is_similar(email.as_str())), PolicyViolation::LikeEmail),
        ];
        checks.into_iter().filter_map(|(is_violated, violation)| is_violated.then_some(violation)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { min_code_points: 8 };

    fn accepted(password: &str, name: Option<&Name>, email: Option<&Email>) -> Vec<PolicyViolation> {
        POLICY.check(Password::new(password), name, email).accept().err().unwrap_or_default()
    }

    fn violations(password: &str) -> Vec<PolicyViolation> {
        let name = "Ada Lovelace".parse().expect("a valid name");
        let email = "a.king@analytical-engines.example".parse().expect("a valid address");
        accepted(password, Some(&name), Some(&email))
    }

    #[test]
    fn passwords_of_the_documents_are_accepted() {
        for sample in ["secure_password", "old_password", "new_password"] {
            assert_eq!(violations(sample), [], "{sample}");
        }
    }

    #[test]
    fn every_violation_is_reported_at_once() {
        assert_eq!(
            violations("12345"),
            [PolicyViolation::TooShort(8), PolicyViolation::EntirelyDigits, PolicyViolation::EasilyGuessed]
        );
    }

    #[test]
    fn length_is_counted_in_code_points() {
        assert_eq!(violations("käñ9ße!"), [PolicyViolation::TooShort(8)]);
        assert_eq!(violations("käñ9ße!ł"), []);
        assert_eq!(violations(&"pärkläx9 ".repeat(28)), []);
        assert_eq!(violations(&"ä".repeat(257)), [PolicyViolation::TooLong(256)]);
    }

    #[test]
    fn common_and_repetitive_passwords_are_rejected() {
        for password in ["password", "qwertyuiop", "letmein1", "aaaaaaaaaaaa", "abcabcabc", "iloveyou!"] {
            assert_eq!(violations(password), [PolicyViolation::EasilyGuessed], "{password}");
        }
    }

    #[test]
    fn password_similar_to_the_name_is_rejected() {
        for password in
            ["lovelace1815", "Ada Lovelace", "AdaLovelace!", "xx-LOVELACE", "adalovlace99", "ada.lovelace1815"]
        {
            assert!(violations(password).contains(&PolicyViolation::LikeName), "{password}");
        }
    }

    #[test]
    fn password_similar_to_the_email_is_rejected() {
        for password in ["a.king@analytical-engines.example", "analytical!", "engines-42", "aking-analytical-engines"] {
            assert!(violations(password).contains(&PolicyViolation::LikeEmail), "{password}");
        }
    }

    #[test]
    fn half_of_a_password_or_a_short_part_may_be_the_name() {
        assert_eq!(violations("lovelaceQ7#wVz!k"), []);
        assert_eq!(violations("ada-7#wVz!kQ"), []);
    }

    #[test]
    fn similarity_ignores_unicode_case() {
        let name = "Straßenmüller".parse().expect("a valid name");

        assert_eq!(accepted("STRASSENMÜLLER", Some(&name), None), [PolicyViolation::LikeName]);
    }
}
