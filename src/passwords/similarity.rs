//! The similarity of a password to its owner's name and email address.
//!
//! Anyone can have a password compared, before any limit, so the time is bounded: the longest common subsequence takes one
//! step for 64 pairs of characters (Hyyrö, "Bit-Parallel LCS-length Computation Revisited", AWOCA 2004). Case folding makes at
//! most three characters of one: 768 of a password, 765 of a name.

use caseless::{Caseless as _, default_case_fold_str};
use zeroize::Zeroizing;

/// The similarity from which a password is too close to a name (see [`FoldedPassword::similarity`]): that of Django's
/// `UserAttributeSimilarityValidator`.
const SIMILARITY_LIMIT: f64 = 0.7;

/// The length, in code points, from which a part of a name may not be most of a password.
const MIN_PART_LENGTH: usize = 4;

/// A password without differences of case, to compare with several texts.
pub struct FoldedPassword {
    text: Zeroizing<String>,
    length: usize,
    /// The different characters, in order.
    characters: Zeroizing<Vec<char>>,
    /// The positions of each of them, a bit each, in [`FoldedPassword::words`] words.
    positions: Zeroizing<Vec<u64>>,
}

impl FoldedPassword {
    pub fn new(password: &str) -> Self {
        // Case folding makes a text at most three times as long. A String that never grows leaves no copy in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(3 * password.len()));
        text.extend(password.chars().default_case_fold());
        let mut characters: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
        let length = characters.len();
        characters.sort_unstable();
        characters.dedup();
        let mut folded = Self { text, length, characters, positions: Zeroizing::default() };
        let words = folded.words();
        let mut positions = Zeroizing::new(vec![0_u64; folded.characters.len() * words]);
        for (position, character) in folded.text.chars().enumerate() {
            if let Ok(index) = folded.characters.binary_search(&character) {
                positions[index * words + position / 64] |= 1 << (position % 64);
            }
        }
        folded.positions = positions;
        folded
    }

    /// Returns whether the password is similar to a name or an address, to one of its parts, or to its parts without
    /// separators.
    pub fn is_similar(&self, value: &str) -> bool {
        let value = default_case_fold_str(value);
        let mut texts: Vec<_> = value.split(|character: char| !character.is_alphabetic()).collect();
        let joined = texts.concat();
        texts.extend([value.as_str(), &joined]);
        texts.sort_unstable();
        texts.dedup();
        texts.into_iter().any(|text| self.is_mostly(text) || self.is_similar_to_text(text))
    }

    /// Returns whether the text is more than half of the password.
    fn is_mostly(&self, text: &str) -> bool {
        let length = text.chars().count();
        length >= MIN_PART_LENGTH && 2 * length > self.length && self.text.contains(text)
    }

    fn is_similar_to_text(&self, text: &str) -> bool {
        let length = text.chars().count();
        let at_most = similarity_of(self.length.min(length), self.length + length);
        at_most >= SIMILARITY_LIMIT && self.similarity(text) >= SIMILARITY_LIMIT
    }

    /// Returns the similarity of the password and a text, 0 to 1: twice the length of their longest common subsequence over
    /// the sum of their lengths (the "normalised indel similarity"; never below the ratio of Python's `difflib`, never above
    /// its `quick_ratio`).
    fn similarity(&self, text: &str) -> f64 {
        similarity_of(self.common_subsequence(text), self.length + text.chars().count())
    }

    /// Returns the length of the longest common subsequence of the password and a text.
    fn common_subsequence(&self, text: &str) -> usize {
        let words = self.words();
        // A 0 for each position in the password at which the subsequence grows.
        let mut row = vec![u64::MAX; words];
        for character in text.chars() {
            let Ok(index) = self.characters.binary_search(&character) else { continue };
            let mut carry = false;
            for (word, positions) in row.iter_mut().zip(&self.positions[index * words..]) {
                let (sum, has_overflowed) = word.overflowing_add(*word & positions);
                let (sum, carry_has_overflowed) = sum.overflowing_add(u64::from(carry));
                carry = has_overflowed || carry_has_overflowed;
                *word = sum | (*word & !positions);
            }
        }
        row.iter().map(|word| word.count_zeros() as usize).sum()
    }

    fn words(&self) -> usize {
        self.length.div_ceil(64)
    }
}

fn similarity_of(common: usize, lengths: usize) -> f64 {
    let [common, lengths] = [common, lengths].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    if lengths == 0 { 0.0 } else { f64::from(2 * common) / f64::from(lengths) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn similarity(left: &str, right: &str) -> f64 {
        FoldedPassword::new(left).similarity(right)
    }

    /// The same by definition, with a table of all pairs.
    fn is_similar_by_definition(password: &str, value: &str) -> bool {
        let password = default_case_fold_str(password);
        let value = default_case_fold_str(value);
        let parts: Vec<_> = value.split(|character: char| !character.is_alphabetic()).collect();
        let joined = parts.concat();
        let is_mostly = |text: &str| {
            let length = text.chars().count();
            length >= 4 && 2 * length > password.chars().count() && password.contains(text)
        };
        let mut texts = [value.as_str(), &joined].into_iter().chain(parts);
        texts.any(|text| is_mostly(text) || similarity_by_definition(&password, text) >= 0.7)
    }

    fn similarity_by_definition(left: &str, right: &str) -> f64 {
        let right: Vec<_> = right.chars().collect();
        let mut row = vec![0_u32; right.len() + 1];
        let mut left_length = 0;
        for character in left.chars() {
            left_length += 1;
            let mut diagonal = 0;
            for (index, other) in right.iter().enumerate() {
                let above = row[index + 1];
                row[index + 1] = if character == *other { diagonal + 1 } else { above.max(row[index]) };
                diagonal = above;
            }
        }
        let common = row.last().copied().unwrap_or_default();
        let lengths = u32::try_from(left_length + right.len()).expect("short texts");
        if lengths == 0 { 0.0 } else { f64::from(2 * common) / f64::from(lengths) }
    }

    #[test]
    fn similarity_is_the_share_of_the_longest_common_subsequence() {
        assert!((similarity("abcd", "bcde") - 0.75).abs() < f64::EPSILON);
        assert!((similarity("abc", "abc") - 1.0).abs() < f64::EPSILON);
        assert!(similarity("abc", "xyz").abs() < f64::EPSILON);
        assert!(similarity("", "").abs() < f64::EPSILON);
    }

    /// Texts of up to 300 characters, few of which differ.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[abcß. ]{0,24}", "[abcdeﬃA .@]{0,300}", "\\PC{0,80}"]
    }

    proptest! {
        #[test]
        fn similarity_of_any_texts_is_that_of_the_definition(left in text(), right in text()) {
            let left = default_case_fold_str(&left);

            prop_assert!((similarity(&left, &right) - similarity_by_definition(&left, &right)).abs() < f64::EPSILON);
        }

        #[test]
        fn same_passwords_are_similar_as_by_definition(
            password in text(),
            value in text(),
            (start, end) in (0_usize..40, 0_usize..40),
        ) {
            // The second value has most of the password.
            let changed: String = value.chars().take(start).chain(password.chars().skip(end)).collect();
            for value in [&value, &changed] {
                let is_similar = FoldedPassword::new(&password).is_similar(value);

                prop_assert_eq!(is_similar, is_similar_by_definition(&password, value));
            }
        }
    }

    #[test]
    fn comparison_of_the_longest_texts_takes_little_time() {
        // Three different texts: the whole, its parts joined, and the longer part.
        let (password, name) = ("ﬃ".repeat(256), format!("{} ﬃ", "ﬄ".repeat(253)));
        let (other_password, email) = ("ﬃ".repeat(157), format!("{}@f.ff", "i".repeat(249)));
        let time = (0..5).map(|_| {
            let started = Instant::now();
            let is_similar = [
                FoldedPassword::new(&password).is_similar(&name),
                FoldedPassword::new(&other_password).is_similar(&email),
            ];
            assert_eq!(is_similar, [false, false], "every text is compared");
            started.elapsed()
        });

        // The best of several: other processes take time too. A table of all pairs takes more than 10 ms.
        let best = time.min().expect("five times");
        assert!(best <= Duration::from_millis(10), "{best:?}");
    }
}
