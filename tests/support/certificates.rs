//! Certificates of the test's own.

use std::path::PathBuf;

use tokio::process::Command;

/// A certificate authority in a directory of its own.
pub struct Authority(tempfile::TempDir);

impl Authority {
    pub async fn new() -> Self {
        let authority = Self(tempfile::tempdir().expect("a temporary directory"));
        authority.create("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]).await;
        authority
    }

    /// Returns its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// Returns its key.
    pub fn key(&self) -> PathBuf {
        self.0.path().join("ca-key.pem")
    }

    /// Issues a certificate for this common name and 127.0.0.1. Returns the certificate and its key.
    pub async fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (self.certificate().display().to_string(), self.key().display().to_string());
        let issuer = ["-CA", &certificate, "-CAkey", &key, "-addext", "basicConstraints=critical,CA:FALSE"];
        self.create(name, &issuer).await
    }

    async fn create(&self, name: &str, arguments: &[&str]) -> (PathBuf, PathBuf) {
        let file = |suffix: &str| self.0.path().join(format!("{name}{suffix}.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]);
        openssl.args(["-days", "2", "-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(arguments).arg("-keyout").arg(file("-key")).arg("-out").arg(file(""));
        let output = openssl.output().await.expect("openssl runs");
        assert!(output.status.success(), "{output:?}");
        (file(""), file("-key"))
    }
}
