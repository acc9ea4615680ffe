//! Passwords, the policy for new ones, and the threads that hash them.

mod argon2id;
mod calibration;
mod client_path;
mod comparison;
mod fair_queue;
mod fifo;
mod hasher;
mod hashing_pool;
mod imported_hash;
mod imported_hash_thread;
mod job_queue;
mod password;
mod policy;
mod queue_load;
mod similarity;
mod strength;
mod work_permit;
mod yielding;

pub use self::{
    argon2id::{HashParameters, PasswordForm},
    calibration::{Calibration, MINIMUM, Measurement, calibrate, measure},
    comparison::Comparison,
    hasher::{Hasher, HasherSettings},
    imported_hash::{ImportedHash, UnusableHash},
    job_queue::Overloaded,
    password::{MAX_CODE_POINTS, Password},
    policy::{AcceptedPassword, CandidatePassword, Policy, PolicyViolation},
    work_permit::WorkPermit,
};
