//! What `k8s/` and the `Dockerfile` say of the program is true, and what they say of each other.

mod cluster;
mod image;
mod kustomize;
mod network;
mod pods;
mod program;
mod secrets;
