//! PEM files (RFC 7468), as people have them.

use std::path::Path;

use zeroize::Zeroizing;

use super::{
    private_files::{NotPrivate, read_private_bytes},
    text_files,
};

const CERTIFICATE: &str = "CERTIFICATE";

/// Labels of private keys in PKCS #8, PKCS #1 and SEC 1, without encryption.
const PRIVATE_KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// Header of a private key with the encryption of RFC 1421.
const ENCRYPTED_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// The tag of an ASN.1 sequence, with which certificates and keys in DER, and PKCS #12 files, begin.
const DER_SEQUENCE: u8 = 0x30;

/// Why a PEM file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PemFileError {
    /// The file was not read.
    #[error(transparent)]
    Unreadable(#[from] NotPrivate),
    /// The file is DER or PKCS #12.
    #[error(
        "the file is binary: expected PEM (convert DER: openssl x509 or pkey -inform DER; PKCS #12: openssl pkcs12 -noenc)"
    )]
    Binary,
    /// The file has no certificate.
    #[error("no certificate in the file: expected PEM with BEGIN CERTIFICATE")]
    NoCertificate,
    /// The file has no private key.
    #[error(
        "no private key in the file: expected PEM with BEGIN PRIVATE KEY, BEGIN RSA PRIVATE KEY or BEGIN EC PRIVATE KEY"
    )]
    NoPrivateKey,
    /// The private key is encrypted.
    #[error(
        "the private key is encrypted: expected one without a passphrase (decrypt it: openssl pkey -in FILE -out NEW_FILE)"
    )]
    Encrypted,
}

/// Reads a file with certificates.
///
/// # Errors
/// Returns [`PemFileError`] if the file is unreadable or has no certificate.
pub fn read_certificates(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemFileError> {
    let file = text_files::open(path).map_err(NotPrivate::from);
    let content = text_files::read_bytes(&mut file?).map_err(NotPrivate::from)?;
    if content.first() == Some(&DER_SEQUENCE) {
        return Err(PemFileError::Binary);
    }
    if has(&content, CERTIFICATE) { Ok(content) } else { Err(PemFileError::NoCertificate) }
}

/// Reads a file with a private key, which only its owner and group may be able to read.
///
/// # Errors
/// Returns [`PemFileError`] if the file is unreadable or exposed, or if it has no private key or an encrypted one.
pub fn read_private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemFileError> {
    let content = read_private_bytes(path)?;
    if content.first() == Some(&DER_SEQUENCE) {
        return Err(PemFileError::Binary);
    }
    let has_key = PRIVATE_KEYS.iter().any(|label| has(&content, label));
    let has_encrypted_key = !has_key && has(&content, ENCRYPTED_KEY);
    if has_encrypted_key || contains(&content, ENCRYPTED_HEADER) {
        return Err(PemFileError::Encrypted);
    }
    if has_key { Ok(content) } else { Err(PemFileError::NoPrivateKey) }
}

/// Returns whether a PEM file has an item with this label.
fn has(content: &[u8], label: &str) -> bool {
    contains(content, format!("-----BEGIN {label}-----").as_bytes())
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn pem(label: &str) -> String {
        format!("comment\n-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    /// Calls a reader with a file that has this content.
    fn read<T>(content: &[u8], reader: fn(&Path) -> Result<T, PemFileError>) -> Result<T, PemFileError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file.pem");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        reader(&path)
    }

    #[test]
    fn byte_order_mark_and_comments_are_accepted() {
        let certificate = pem("CERTIFICATE");
        let with_mark = read(format!("\u{feff}{certificate}").as_bytes(), read_certificates).expect("a certificate");
        assert_eq!(*with_mark, certificate.as_bytes());
        for label in PRIVATE_KEYS {
            let with_mark = read(format!("\u{feff}{}", pem(label)).as_bytes(), read_private_key).expect("a key");
            assert_eq!(*with_mark, pem(label).as_bytes());
        }
        let latin_1 = [b"caf\xe9\n", certificate.as_bytes()].concat();
        assert_eq!(*read(&latin_1, read_certificates).expect("a certificate"), latin_1);
    }

    #[test]
    fn encrypted_key_is_rejected_with_the_command_that_decrypts_it() {
        let traditional =
            pem("RSA PRIVATE KEY").replace("AAAA", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA");
        for content in [pem("ENCRYPTED PRIVATE KEY"), format!("\u{feff}{traditional}")] {
            let error = read(content.as_bytes(), read_private_key).expect_err("encrypted").to_string();
            assert!(error.starts_with("the private key is encrypted: expected one without a passphrase"), "{error}");
            assert!(error.contains("openssl pkey -in"), "{error}");
        }
        let beside = pem("ENCRYPTED PRIVATE KEY") + &pem("PRIVATE KEY");
        assert!(read(beside.as_bytes(), read_private_key).is_ok());
    }

    #[test]
    fn file_without_the_item_is_rejected() {
        let fault = |content: &[u8]| {
            let certificates = read(content, read_certificates).expect_err("no certificate").to_string();
            let key = read(content, read_private_key).expect_err("no key").to_string();
            [certificates, key].map(|error| error.split(':').next().expect("a reason").to_owned())
        };
        let missing = ["no certificate in the file", "no private key in the file"];

        for content in ["", "nonsense", &pem("CERTIFICATE REQUEST"), &pem("PUBLIC KEY"), &pem("OPENSSH PRIVATE KEY")] {
            assert_eq!(fault(content.as_bytes()), missing, "{content}");
        }
        assert_eq!(fault(b"\x30\x82\x01\x02\xff"), ["the file is binary"; 2]);
        assert_eq!(fault(b"-\0-\0"), ["the encoding is UTF-16LE"; 2]);
        assert!(matches!(read(pem("CERTIFICATE").as_bytes(), read_private_key), Err(PemFileError::NoPrivateKey)));
        assert!(matches!(read(pem("PRIVATE KEY").as_bytes(), read_certificates), Err(PemFileError::NoCertificate)));
    }
}
