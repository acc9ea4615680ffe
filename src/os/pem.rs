//! PEM files (RFC 7468).

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::Error as SyntaxError, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{
    private_files::{NotPrivate, read_private_bytes},
    text_files,
};

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
    /// The file is not valid PEM. The error of the parser would contain the line, which may be the private key.
    #[error("malformed PEM: expected line breaks after each BEGIN and before each END, and base64 between them")]
    Malformed,
    /// The private key is encrypted.
    #[error(
        "the private key is encrypted: expected one without a passphrase (decrypt it: openssl pkey -in FILE -out NEW_FILE)"
    )]
    Encrypted,
}

/// Reads a file with certificates. Removes white space and byte-order marks at the beginning of lines.
///
/// # Errors
/// Returns [`PemFileError`] if the file is unreadable or malformed, or has no certificate.
pub fn read_certificates(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemFileError> {
    let file = text_files::open(path).map_err(NotPrivate::from);
    let pem = without_indents(&text_files::read_bytes(&mut file?).map_err(NotPrivate::from)?)?;
    certificates(&pem).map(|_| pem)
}

/// Reads a file with a private key, which only its owner and group may be able to read. Removes white space and byte-order marks
/// at the beginning of lines.
///
/// # Errors
/// Returns [`PemFileError`] if the file is unreadable, exposed or malformed, or if it has no private key or an encrypted one.
pub fn read_private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemFileError> {
    let pem = without_indents(&read_private_bytes(path)?)?;
    let has_key = PRIVATE_KEYS.iter().any(|label| has(&pem, label));
    if contains(&pem, ENCRYPTED_HEADER) || (!has_key && has(&pem, ENCRYPTED_KEY)) {
        return Err(PemFileError::Encrypted);
    }
    private_key(&pem).map(|_| pem)
}

/// Parses certificates.
///
/// # Errors
/// Returns [`PemFileError::Malformed`] or [`PemFileError::NoCertificate`].
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFileError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(PemFileError::NoCertificate),
        outcome => outcome.map_err(|_| PemFileError::Malformed),
    }
}

/// Parses the first private key.
///
/// # Errors
/// Returns [`PemFileError::Malformed`] or [`PemFileError::NoPrivateKey`].
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemFileError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        SyntaxError::NoItemsFound => PemFileError::NoPrivateKey,
        _ => PemFileError::Malformed,
    })
}

/// Removes what the parser does not accept at the beginning of a line: white space, as in indented YAML, and byte-order marks, as
/// in files that were joined.
fn without_indents(content: &[u8]) -> Result<Zeroizing<Vec<u8>>, PemFileError> {
    if content.first() == Some(&DER_SEQUENCE) {
        return Err(PemFileError::Binary);
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(content.len()));
    for line in content.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let mut text = line;
        while let Some(rest) =
            text.strip_prefix(b"\xef\xbb\xbf").or_else(|| text.strip_prefix(b" ")).or_else(|| text.strip_prefix(b"\t"))
        {
            text = rest;
        }
        pem.extend_from_slice(text);
    }
    Ok(pem)
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
    fn indents_and_marks_within_the_file_are_removed() {
        let two = format!("{}\u{feff}  {}", pem("CERTIFICATE"), pem("CERTIFICATE").replace('\n', "\n  "));
        let read_two = read(two.as_bytes(), read_certificates).expect("certificates");
        assert_eq!(certificates(&read_two).expect("certificates").len(), 2);
        let key = read(pem("PRIVATE KEY").replace('\n', "\n\t").as_bytes(), read_private_key).expect("a key");
        assert!(private_key(&key).is_ok());
    }

    #[test]
    fn error_of_a_malformed_key_does_not_contain_it() {
        for separator in ["", " ", "\\n"] {
            let content =
                pem("PRIVATE KEY").replace("AAAA", "c2VjcmV0").replace("comment\n", "").replace('\n', separator);
            let error = read(content.as_bytes(), read_private_key).expect_err("malformed");
            let fixed_texts = [PemFileError::Malformed, PemFileError::NoPrivateKey].map(|error| error.to_string());
            assert!(fixed_texts.contains(&error.to_string()), "{error:?}");
        }
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
