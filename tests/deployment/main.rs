//! `k8s/` and the `Dockerfile` agree with the program and with each other.

mod cluster;
mod compose;
mod image;
mod kustomize;
mod network;
mod pods;
mod program;
mod secrets;
