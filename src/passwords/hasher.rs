//! The hashing threads: Argon2id with reused memory, behind a queue that is bounded by the time a job would wait.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::Duration,
};

use argon2::Params;
use crossbeam_channel::{Receiver, Sender, select, unbounded};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    argon2id::{HashParameters, ParsedHash, Scratch, dummy_hash, new_hash},
    password::Password,
    policy::{AcceptedPassword, Policy, PolicyViolation},
    queue_load::{JobKind, QueueLoad},
};
use crate::{
    metrics::HashingMetrics,
    model::{Email, Name, PasswordHash},
    passwords::policy,
};

/// How much lower than the I/O threads' the hashing threads' priority is, in steps of `nice`.
const NICENESS: i32 = 10;

/// How passwords are hashed.
#[derive(Debug, Clone, Copy)]
pub struct HasherSettings {
    /// The cost of a new hash.
    pub parameters: HashParameters,
    /// How many threads hash, each with memory of its own.
    pub threads: usize,
    /// The longest time that a job may wait for a thread.
    pub max_wait: Duration,
}

/// The queue is so long that a job would wait longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hashing queue is {} ms long", wait.as_millis())]
pub struct Overloaded {
    /// How long a new job would wait now.
    pub wait: Duration,
}

/// Hashes and judges passwords on threads of its own, which end with it.
#[derive(Debug)]
pub struct Hasher {
    jobs: Sender<Job>,
    load: Arc<QueueLoad>,
    params: Params,
    dummy_hash: PasswordHash,
    max_wait: Duration,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the parameters are out of Argon2's range, or a thread cannot be started.
    pub fn start(settings: HasherSettings, metrics: HashingMetrics) -> Result<Self, String> {
        let params = settings.parameters.params()?;
        let (jobs, queue) = unbounded();
        let load = Arc::new(QueueLoad::new(settings.threads, metrics));
        for number in 0..settings.threads {
            let rests = (number > 0 && number + 1 == settings.threads).then(|| Arc::clone(&load));
            let worker = Worker { queue: queue.clone(), memory: Scratch::new(&params), rests };
            let thread = thread::Builder::new().name("hashing".to_owned());
            thread.spawn(move || worker.run()).map_err(|error| error.to_string())?;
        }
        let dummy_hash = dummy_hash(params.clone());
        let hasher = Self { jobs, load, params, dummy_hash, max_wait: settings.max_wait };
        hasher.warm_up();
        Ok(hasher)
    }

    /// Where there are several threads, has one of them rest from now on while other requests come: for where the threads
    /// are as many as the processors that they may use.
    pub fn enable_foreground_yield(&self) {
        self.load.foreground_yield.enable();
    }

    /// A request has come for which nothing is hashed; see [`Hasher::enable_foreground_yield`].
    pub fn notice_request(&self) {
        self.load.foreground_yield.notice_request();
    }

    /// Whether a hash would be taken that comes when those of so many others have been, of somebody who has waited so long:
    /// for whoever has other work to do first and would rather be refused before it. The job itself may still be refused.
    ///
    /// # Errors
    /// Where the queue is too long.
    pub fn check_capacity(&self, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        let wait = self.load.wait_behind(ahead) + waited;
        if wait > self.max_wait {
            self.load.refuse();
            return Err(Overloaded { wait });
        }
        Ok(())
    }

    /// Hashes a password with the current parameters and a new salt.
    ///
    /// # Errors
    /// Where the queue is too long.
    pub async fn hash(&self, password: &Password) -> Result<PasswordHash, Overloaded> {
        let (password, params) = (password.share(), self.params.clone());
        self.run(JobKind::Hash, move |memory| new_hash(&password, params, memory)).await
    }

    /// Hashes a password again that has just been verified, where nobody waits for a thread: whoever has waited for the
    /// comparison shall not wait as long a second time.
    ///
    /// # Errors
    /// Where somebody waits.
    pub async fn rehash(&self, password: &Password) -> Result<PasswordHash, Overloaded> {
        if self.load.has_queue() {
            return Err(Overloaded { wait: self.load.wait() });
        }
        self.hash(password).await
    }

    /// Whether the password is the one that was hashed. Where there is no hash to compare with, or none that could be
    /// read, the answer is no, and takes as long.
    ///
    /// # Errors
    /// Where the queue is too long.
    pub async fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<bool, Overloaded> {
        // Hash even where there is nothing to compare with: a faster answer would tell who has an account.
        let stored = hash.and_then(ParsedHash::parse).or_else(|| ParsedHash::parse(&self.dummy_hash));
        let stored = stored.unwrap_or_else(|| unreachable!("the decoy is written by us"));
        let (password, kind) = (password.share(), self.kind_of(stored.parameters()));
        self.run(kind, move |memory| stored.matches(&password, memory)).await
    }

    /// Judges a new password by a policy; see [`Policy::judge`].
    ///
    /// # Errors
    /// Where the queue is too long.
    pub async fn validate(
        &self,
        policy: Policy,
        password: Password,
        name: Option<Name>,
        email: Option<Email>,
    ) -> Result<Result<AcceptedPassword, Vec<PolicyViolation>>, Overloaded> {
        self.run(JobKind::PolicyCheck, move |_| policy.validate(password, name.as_ref(), email.as_ref())).await
    }

    /// Whether a hash was made with other parameters than the current ones.
    #[must_use]
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        ParsedHash::parse(hash).is_none_or(|stored| self.kind_of(stored.parameters()) != JobKind::Hash)
    }

    fn kind_of(&self, parameters: HashParameters) -> JobKind {
        if parameters == HashParameters::of(&self.params) { JobKind::Hash } else { JobKind::OutdatedHash }
    }

    /// How many hashes were computed since the start.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.load.hashes()
    }

    async fn run<T: Send + 'static>(
        &self,
        kind: JobKind,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        self.check_capacity(0, Duration::ZERO)?;
        let (reply, answer) = oneshot::channel();
        let (load, ticket, max_wait) = (Arc::clone(&self.load), self.load.enter(kind), self.max_wait);
        let job = move |memory: &mut Scratch| {
            let wait = ticket.leave_queue();
            // Nobody waits for the answer: the caller has hung up.
            if reply.is_closed() {
                return;
            }
            if wait > max_wait {
                load.refuse();
                let _ = reply.send(Err(Overloaded { wait }));
                return;
            }
            let outcome = ticket.measured(|| work(memory));
            let _ = reply.send(Ok(outcome));
        };
        self.send(Box::new(job));
        // A thread drops the reply without an answer only where the work panicked.
        answer.await.unwrap_or_else(|_| panic!("a job of the hashing threads panicked"))
    }

    /// Has a thread build the dictionaries of the strength estimate before anybody waits for them.
    fn warm_up(&self) {
        self.send(Box::new(|_| policy::warm_up()));
    }

    fn send(&self, job: Job) {
        self.jobs.send(job).unwrap_or_else(|_| unreachable!("the threads end after the last sender"));
    }
}

type Job = Box<dyn FnOnce(&mut Scratch) + Send>;

struct Worker {
    queue: Receiver<Job>,
    memory: Scratch,
    /// Whose room is left to others, if this thread is the one that does so.
    rests: Option<Arc<QueueLoad>>,
}

impl Worker {
    fn run(mut self) {
        // On Linux a niceness belongs to the thread, not to the process (setpriority(2)).
        if let Err(error) = rustix::process::nice(NICENESS) {
            debug!(%error, "hashing threads keep the priority of the others");
        }
        while let Some(job) = self.next_job() {
            // The caller learns of a panic by the reply that is dropped; the thread goes on to the next job.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| job(&mut self.memory)));
        }
    }

    /// The next job, as long as there may be one.
    fn next_job(&self) -> Option<Job> {
        let Some(load) = &self.rests else { return self.queue.recv().ok() };
        loop {
            load.foreground_yield.rest();
            select! {
                recv(self.queue) -> job => return job.ok(),
                recv(load.foreground_yield.calls()) -> _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::metrics::Metrics;

    const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

    fn metrics() -> HashingMetrics {
        Metrics::new("").hashing
    }

    fn settings(max_wait: Duration) -> HasherSettings {
        HasherSettings { parameters: CHEAP, threads: 1, max_wait }
    }

    fn hasher(max_wait: Duration) -> Hasher {
        Hasher::start(settings(max_wait), metrics()).expect("valid parameters")
    }

    fn patient() -> Hasher {
        hasher(Duration::from_mins(1))
    }

    /// Keeps the only thread busy until the sender is dropped.
    fn occupied(hasher: &Hasher) -> std::sync::mpsc::Sender<()> {
        let (release, held) = std::sync::mpsc::channel();
        hasher.send(Box::new(move |_| {
            let _ = held.recv();
        }));
        release
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let hasher = patient();

        let hash = hasher.hash(&Password::new("secure_password")).await.expect("no queue");

        assert_eq!(hasher.verify(&Password::new("secure_password"), Some(&hash)).await, Ok(true));
        assert_eq!(hasher.verify(&Password::new("secure_passwore"), Some(&hash)).await, Ok(false));
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.as_phc());
    }

    #[tokio::test]
    async fn a_hash_by_another_implementation_is_understood() {
        // From the test suite of the reference implementation (P-H-C/phc-winner-argon2, src/test.c, version 0x13).
        let reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

        let matches =
            patient().verify(&Password::new("password"), Some(&PasswordHash::new(reference.to_owned()))).await;

        assert_eq!(matches, Ok(true));
    }

    #[tokio::test]
    async fn no_hash_and_an_unreadable_one_cost_a_hash_and_never_match() {
        let hasher = patient();
        let unreadable = PasswordHash::new("!".to_owned());
        let argon2i = PasswordHash::new(
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY".to_owned(),
        );

        for hash in [None, Some(&unreadable), Some(&argon2i)] {
            let before = hasher.hashes();
            assert_eq!(hasher.verify(&Password::new("password"), hash).await, Ok(false));
            assert_eq!(hasher.hashes(), before + 1);
        }
    }

    #[tokio::test]
    async fn the_decoy_has_the_current_parameters() {
        let hasher = patient();

        assert!(!hasher.is_outdated(&hasher.dummy_hash));
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_outdated() {
        let dearer = HashParameters { passes: 2, ..CHEAP };
        let settings = HasherSettings { parameters: dearer, threads: 1, max_wait: Duration::from_mins(1) };
        let other = Hasher::start(settings, metrics()).expect("valid parameters");
        let hash = other.hash(&Password::new("secure_password")).await.expect("no queue");

        assert!(patient().is_outdated(&hash));
        assert!(!other.is_outdated(&hash));
        assert_eq!(patient().verify(&Password::new("secure_password"), Some(&hash)).await, Ok(true));
    }

    #[tokio::test]
    async fn a_job_that_would_wait_too_long_is_refused_at_once() {
        let (settings, metrics) = (settings(Duration::from_millis(100)), metrics());
        let hasher = Hasher::start(settings, metrics.clone()).expect("valid parameters");
        let release = occupied(&hasher);
        let password = Password::new("secure_password");
        let mut waiting: Vec<_> = Vec::new();

        // Each counts with 40 ms until a hash has been measured: the fourth would wait for 120 ms.
        for _ in 0..3 {
            let mut hash = Box::pin(hasher.hash(&password));
            assert!(hash.as_mut().now_or_never().is_none());
            waiting.push(hash);
        }

        let refusal = hasher.hash(&password).await.expect_err("the queue is too long");
        assert_eq!(refusal.wait, Duration::from_millis(120));
        assert_eq!((metrics.refusals.get(), metrics.queue_depth.get()), (1, 3));
        assert_eq!(hasher.check_capacity(0, Duration::ZERO), Err(refusal));
        drop(release);
        futures_util::future::join_all(waiting).await;
        assert_eq!(hasher.check_capacity(0, Duration::ZERO), Ok(()));
    }

    #[tokio::test]
    async fn a_job_that_has_waited_too_long_all_the_same_is_refused_and_not_done() {
        let hasher = hasher(Duration::ZERO);

        let refusal = hasher.hash(&Password::new("secure_password")).await.expect_err("it has waited");

        assert!(refusal.wait > Duration::ZERO);
        assert_eq!(hasher.hashes(), 0);
    }

    /// Whether two threads are at work at once, by whether a job meets the next one within a fifth of a second.
    fn two_work(hasher: &Hasher, meanwhile: impl Fn() + Send + 'static) -> bool {
        let (arrive, arrival) = std::sync::mpsc::channel();
        let (answer, answers) = std::sync::mpsc::channel();
        hasher.send(Box::new(move |_| {
            let meets = (0..20).any(|_| {
                meanwhile();
                arrival.recv_timeout(Duration::from_millis(10)).is_ok()
            });
            answer.send(meets).expect("somebody waits");
        }));
        hasher.send(Box::new(move |_| {
            let _ = arrive.send(());
        }));
        answers.recv().expect("an answer")
    }

    #[test]
    fn one_thread_rests_while_other_requests_come_where_room_is_to_be_left() {
        let settings = HasherSettings { threads: 2, ..settings(Duration::from_mins(1)) };
        let hasher = Arc::new(Hasher::start(settings, metrics()).expect("valid parameters"));
        hasher.notice_request();
        assert!((0..100).any(|_| two_work(&hasher, || {})), "no room is to be left");

        hasher.enable_foreground_yield();
        while !hasher.load.foreground_yield.is_resting() {
            hasher.notice_request();
        }
        let others = Arc::clone(&hasher);
        assert!(!two_work(&hasher, move || others.notice_request()));

        while hasher.load.foreground_yield.is_resting() {}
        assert!((0..100).any(|_| two_work(&hasher, || {})), "nobody else comes any more");
    }

    #[tokio::test]
    async fn a_hash_is_renewed_where_nobody_waits_for_a_thread() {
        let hasher = patient();
        let release = occupied(&hasher);
        let password = Password::new("secure_password");
        let mut waiting = Box::pin(hasher.hash(&password));
        assert!(waiting.as_mut().now_or_never().is_none());

        assert!(hasher.rehash(&password).await.is_err());

        drop(release);
        waiting.await.expect("no queue");
        assert!(hasher.rehash(&password).await.is_ok());
    }

    #[tokio::test]
    async fn the_least_time_of_a_hash_by_the_present_settings_is_shown() {
        let metrics = metrics();
        let hasher = Hasher::start(settings(Duration::from_mins(1)), metrics.clone()).expect("valid parameters");
        let password = Password::new("secure_password");
        let other = HashParameters { memory_kib: 9, ..CHEAP };
        let mut memory = Scratch::new(&other.params().expect("valid parameters"));
        let outdated = new_hash(&password, other.params().expect("valid parameters"), &mut memory);

        hasher.verify(&password, Some(&outdated)).await.expect("no queue");
        assert!(metrics.min_hash_duration.get() < f64::EPSILON);

        hasher.hash(&password).await.expect("no queue");
        let first = metrics.min_hash_duration.get();
        hasher.hash(&password).await.expect("no queue");
        assert!(0.0 < metrics.min_hash_duration.get() && metrics.min_hash_duration.get() <= first);
    }

    #[tokio::test]
    async fn a_caller_who_has_hung_up_is_not_hashed_for() {
        let hasher = patient();
        let release = occupied(&hasher);
        let password = Password::new("secure_password");
        let mut abandoned = Box::pin(hasher.hash(&password));
        assert!(abandoned.as_mut().now_or_never().is_none());

        drop(abandoned);
        drop(release);

        hasher.validate(Policy { min_code_points: 8 }, Password::new("x"), None, None).await.expect("no queue").err();
        assert_eq!(hasher.hashes(), 0);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let parameters = HashParameters { memory_kib: 7, ..CHEAP };
        let settings = HasherSettings { parameters, threads: 1, max_wait: Duration::ZERO };

        assert!(Hasher::start(settings, metrics()).is_err());
    }
}
