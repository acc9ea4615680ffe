//! Verification of Ed25519 signatures (RFC 8032, section 5.1.7).

use std::fmt;

use ed25519_dalek::{Signature, Verifier as _};
use pasetors::{keys::AsymmetricPublicKey, version4::V4};

/// The public part of a key that signs access tokens.
///
/// `ed25519-dalek` verifies, with AVX2 if the processor has it: a signature takes 28 µs instead of the 40 µs of `pasetors`
/// (`cargo bench --bench speed -- tokens`).
pub struct VerifyingKey {
    public: AsymmetricPublicKey<V4>,
    point: ed25519_dalek::VerifyingKey,
}

/// The points of small order, compressed. As the `R` of a signature they are rejected, as `VerifyingKey::verify_strict`
/// rejects them; that function decompresses each `R` to find them, in 3 µs.
const SMALL_ORDER: [[u8; 32]; 8] = {
    let (mut minus_one, mut identity) = ([0xff; 32], [0; 32]);
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    identity[0] = 1;
    [
        identity,
        minus_one,
        [0; 32],
        with_sign([0; 32]),
        OF_ORDER_8[0],
        with_sign(OF_ORDER_8[0]),
        OF_ORDER_8[1],
        with_sign(OF_ORDER_8[1]),
    ]
};

const OF_ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn with_sign(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

impl VerifyingKey {
    /// Returns `None` if the key is not the only encoding of a point, or if the point has a small order.
    pub(super) fn new(public: AsymmetricPublicKey<V4>) -> Option<Self> {
        let bytes = public.as_bytes().first_chunk()?;
        let point = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        let is_canonical = point.to_edwards().compress().as_bytes() == bytes;
        (is_canonical && !point.is_weak()).then_some(Self { public, point })
    }

    /// Returns the key for PASERK.
    #[must_use]
    pub fn public(&self) -> &AsymmetricPublicKey<V4> {
        &self.public
    }

    /// Returns whether a signature is valid. The decisions are those of `VerifyingKey::verify_strict`: the equation without
    /// the cofactor, one encoding of each value, and no point of small order.
    #[must_use]
    pub fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.point.verify(message, &signature).is_ok() && !SMALL_ORDER.contains(signature.r_bytes())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VerifyingKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl VerifyingKey {
    /// Returns the key with these 32 bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(AsymmetricPublicKey::from(bytes).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_compact::{KeyPair, PublicKey, Seed};
    use proptest::prelude::*;

    use super::*;
    use crate::keys::testing::bytes;

    /// `cases.json` of <https://github.com/novifinancial/ed25519-speccheck> at 336651ba7f1c ("Taming the many EdDSAs"):
    /// message, public key, signature, and whether it is accepted. Keys and `R` of small or mixed order, `S` of at least the
    /// group order, and two encodings of one `R`.
    #[rustfmt::skip]
    const CASES: [(&str, &str, &str, bool); 10] = [
        ("8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000", false),
        ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04", false),
        ("aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e", false),
        ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009", true),
        ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09", false),
        ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405", false),
        ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623", "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514", false),
        ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623", "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22", false),
        ("fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607", false),
        ("84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09", false),
    ];

    /// The group order (RFC 8032, section 5.1), little-endian.
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

    fn pair(seed: [u8; 32]) -> KeyPair {
        KeyPair::from_seed(Seed::new(seed))
    }

    fn verify_strict(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let key = public.first_chunk().and_then(|public| ed25519_dalek::VerifyingKey::from_bytes(public).ok());
        let signature = Signature::from_slice(signature);
        key.zip(signature.ok()).is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
    }

    #[test]
    fn published_edge_cases_are_decided_as_documented() {
        for (message, public, signature, is_accepted) in CASES {
            let [message, public, signature] = [message, public, signature].map(bytes);

            let key = VerifyingKey::from_bytes(&public);

            assert_eq!(key.is_some_and(|key| key.is_signed(&message, &signature)), is_accepted, "{signature:?}");
            assert_eq!(verify_strict(&public, &message, &signature), is_accepted, "{signature:?}");
        }
    }

    #[test]
    fn keys_of_small_order_or_with_two_encodings_are_rejected() {
        for point in SMALL_ORDER {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&point).expect("a point");
            assert!(key.is_weak() && key.to_edwards().compress().0 == point, "{point:?}");
            assert!(VerifyingKey::from_bytes(&point).is_none(), "{point:?}");
        }
        // The second encodings of y from 0 to 18, of which some are no points.
        for low in 0xed..=0xff {
            for high in [0x7f, 0xff] {
                let mut point = [0xff; 32];
                (point[0], point[31]) = (low, high);
                assert!(VerifyingKey::from_bytes(&point).is_none(), "{point:?}");
            }
        }
    }

    #[test]
    fn second_scalar_of_a_signature_is_rejected() {
        let (pair, order) = (pair([7; 32]), bytes(ORDER));
        let signature = pair.sk.sign(b"message", None);
        let key = VerifyingKey::from_bytes(&*pair.pk).expect("a key");
        assert!(key.is_signed(b"message", &*signature));

        let mut malleable = *signature;
        let mut carry = 0;
        for (byte, more) in malleable[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }

        assert!(!key.is_signed(b"message", &malleable));
    }

    proptest! {
        /// Two other verifiers, one of them the previous one, decide equally.
        #[test]
        fn verifiers_agree_on_signatures_and_changed_ones(
            seed in any::<[u8; 32]>(), message in any::<Vec<u8>>(), byte in 0_usize..64, mask in any::<u8>(),
        ) {
            let pair = pair(seed);
            let key = VerifyingKey::from_bytes(&*pair.pk).expect("a key");
            let mut signature = pair.sk.sign(&message, None);

            signature[byte] ^= mask;

            let is_signed = key.is_signed(&message, &*signature);
            prop_assert_eq!(is_signed, mask == 0);
            prop_assert_eq!(verify_strict(&*pair.pk, &message, &*signature), is_signed);
            let previous = PublicKey::from_slice(&*pair.pk).expect("a key").verify(&message, &signature);
            prop_assert_eq!(previous.is_ok(), is_signed);
        }
    }
}
