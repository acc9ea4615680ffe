use super::{
    super::client_path::{ClientPath, client_path},
    *,
};

const ONE_US: u64 = 10;

/// A queue of jobs that are named by their client and number.
#[derive(Default)]
struct Clients {
    queue: FairQueue<String>,
    ids: u64,
}

fn path(address: &str) -> ClientPath {
    client_path(Some(address.parse().expect("an address")))
}

impl Clients {
    fn push(&mut self, address: &str, cost_us: u64) -> u64 {
        self.ids += 1;
        self.queue.push(path(address), self.ids, Job { cost_us, work: address.to_owned() });
        self.ids
    }

    fn push_many(&mut self, address: &str, count: usize) {
        for _ in 0..count {
            self.push(address, ONE_US);
        }
    }

    /// Returns the clients of the next jobs.
    fn pop_many(&mut self, count: usize) -> Vec<String> {
        (0..count).map_while(|_| self.queue.pop().map(|(_, job)| job.work)).collect()
    }

    /// Counts this duration for a job that was expected to take [`ONE_US`].
    fn measure(&mut self, address: &str, measured_us: u64) {
        self.queue.correct(path(address), MeasuredDuration { expected_us: ONE_US, measured_us });
    }

    /// Runs the next jobs, which take this long, and returns their clients.
    fn run_many(&mut self, count: usize, measured_us: impl Fn(&str) -> u64) -> Vec<String> {
        let run = |_| {
            let (_, job) = self.queue.pop()?;
            self.measure(&job.work, measured_us(&job.work));
            Some(job.work)
        };
        (0..count).map_while(run).collect()
    }

    /// Returns how many jobs a new one of this client waits for.
    fn jobs_before(&self, address: &str) -> u64 {
        self.queue.work_before(path(address), 0) / ONE_US
    }

    /// Adds a job, and returns how many are done before it.
    fn measured_jobs_before(mut self, address: &str) -> u64 {
        let id = self.push(address, ONE_US);
        let before = (0..1000).position(|_| self.queue.pop().is_some_and(|(popped, _)| popped == id));
        u64::try_from(before.expect("it is in the queue")).expect("a small number")
    }
}

#[test]
fn networks_take_turns() {
    let mut clients = Clients::default();
    clients.push_many("192.0.2.1", 4);
    clients.push_many("198.51.100.1", 2);

    let served = clients.pop_many(9);

    let [a, b] = ["192.0.2.1", "198.51.100.1"];
    assert_eq!(served, [a, b, a, b, a, a]);
}

#[test]
fn addresses_of_a_network_share_its_turns() {
    let mut clients = Clients::default();
    clients.push_many("192.0.2.1", 3);
    clients.push_many("192.0.2.2", 1);
    clients.push_many("2001:db8::1", 4);

    let served = clients.pop_many(9);

    let [a, b, c] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    assert_eq!(served, [a, c, b, c, a, c, a, c]);
}

#[test]
fn shares_are_shares_of_time() {
    let mut clients = Clients::default();
    for _ in 0..3 {
        clients.push("192.0.2.1", 3 * ONE_US);
    }
    clients.push_many("198.51.100.1", 6);

    let served = clients.pop_many(8);

    let [long, short] = ["192.0.2.1", "198.51.100.1"];
    assert_eq!(served, [long, short, short, short, long, short, short, short]);
}

#[test]
fn shares_are_shares_of_measured_time() {
    let mut clients = Clients::default();
    let [heavy, light] = ["192.0.2.1", "198.51.100.1"];
    clients.push_many(heavy, 4);
    clients.push_many(light, 8);

    let served = clients.run_many(8, |client| if client == heavy { 3 * ONE_US } else { ONE_US });

    assert_eq!(served, [heavy, light, light, light, heavy, light, light, light]);
}

#[test]
fn shares_of_addresses_are_shares_of_measured_time() {
    let mut clients = Clients::default();
    let [heavy, light, other] = ["192.0.2.1", "192.0.2.2", "198.51.100.1"];
    clients.push_many(heavy, 2);
    clients.push_many(light, 4);
    clients.push_many(other, 5);

    let served = clients.run_many(11, |client| if client == heavy { 3 * ONE_US } else { ONE_US });

    assert_eq!(served, [heavy, other, other, other, light, other, light, other, light, heavy, light]);
}

#[test]
fn time_that_a_job_did_not_take_is_given_back() {
    let mut clients = Clients::default();
    let [short, long] = ["192.0.2.1", "198.51.100.1"];
    clients.push_many(short, 6);
    clients.push_many(long, 3);

    let served = clients.run_many(9, |client| if client == short { ONE_US / 2 } else { ONE_US });

    assert_eq!(served, [short, long, short, long, short, short, long, short, short]);
}

#[test]
fn time_of_the_last_job_counts_after_its_end() {
    let mut clients = Clients::default();
    let [heavy, other] = ["192.0.2.1", "198.51.100.1"];
    clients.push_many(heavy, 1);
    let (popped, _) = clients.queue.pop().expect("a job");
    assert_eq!(popped, 1);
    clients.push_many(other, 4);

    clients.measure(heavy, 4 * ONE_US);
    clients.push_many(heavy, 1);

    assert_eq!(clients.pop_many(5), [other, other, other, heavy, other]);
}

#[test]
fn client_gains_nothing_by_an_empty_queue() {
    let mut clients = Clients::default();
    clients.push_many("192.0.2.1", 20);
    let mut served = Vec::new();

    // The other client queues its next job as soon as the last one has been taken.
    for _ in 0..10 {
        clients.push_many("198.51.100.1", 1);
        served.extend(clients.pop_many(2));
    }

    let count = served.iter().filter(|client| *client == "192.0.2.1").count();
    assert!((9..=11).contains(&count), "{served:?}");
}

/// Returns the most jobs that are done from one of a client to its next one, while `count` others wait and a new one comes
/// for each job that is done, so that at most `count + 4` clients wait. `None` if its three jobs are not done among 400.
fn jobs_among_strangers(count: usize, stranger: impl Fn(usize) -> String) -> Option<usize> {
    let mut clients = Clients::default();
    (0..count).for_each(|number| clients.push_many(&stranger(number), 1));
    clients.push_many("192.0.2.1", 3);
    let served = (0..400).filter(|number| {
        clients.push_many(&stranger(count + number), 1);
        clients.run_many(1, |_| ONE_US) == ["192.0.2.1"]
    });
    let served: Vec<_> = served.collect();
    let gaps = served.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().filter(|_| served.len() == 3)
}

#[test]
fn new_networks_do_not_starve_a_client() {
    for count in [1, 4, 20] {
        let jobs = jobs_among_strangers(count, |number| format!("10.{}.{}.1", number / 250, number % 250));

        assert!(jobs.is_some_and(|jobs| jobs <= 2 * (count + 4)), "{count}: {jobs:?}");
    }
}

#[test]
fn new_addresses_do_not_starve_one_of_their_network() {
    let jobs = jobs_among_strangers(4, |number| format!("192.0.2.{}", 2 + number % 250));

    assert!(jobs.is_some_and(|jobs| jobs <= 16), "{jobs:?}");
}

#[test]
fn new_client_waits_for_one_job_of_each_other_network() {
    let mut clients = Clients::default();
    clients.push_many("192.0.2.1", 50);
    clients.push_many("198.51.100.1", 50);
    clients.pop_many(10);

    assert_eq!(clients.jobs_before("203.0.113.1"), 2);
    assert_eq!(clients.jobs_before("192.0.2.1"), 90);
}

#[test]
fn predicted_wait_is_never_below_the_real_one() {
    let addresses = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8:0:1::1", "203.0.113.1"];
    for popped in 0..12 {
        for address in addresses {
            let fill = || {
                let mut clients = Clients::default();
                clients.push_many("192.0.2.1", 12);
                clients.push_many("198.51.100.1", 3);
                clients.push_many("2001:db8::1", 5);
                clients.push_many("192.0.2.2", 2);
                clients.pop_many(popped);
                clients
            };
            let predicted = fill().jobs_before(address);
            let measured = fill().measured_jobs_before(address);

            assert!((measured..=measured + 3).contains(&predicted), "{address}, {popped}: {predicted} {measured}");
        }
    }
}

#[test]
fn predicted_wait_among_new_networks_is_never_below_the_real_one() {
    for popped in 0..8 {
        for address in ["192.0.2.1", "10.0.1.1", "10.0.9.1"] {
            let fill = || {
                let mut clients = Clients::default();
                clients.push_many("192.0.2.1", 4);
                for number in 0..popped {
                    clients.push_many(&format!("10.0.{number}.1"), 1 + number % 2);
                    clients.push_many(&format!("10.1.{number}.1"), 1);
                    clients.pop_many(1);
                }
                clients
            };
            let predicted = fill().jobs_before(address);
            let measured = fill().measured_jobs_before(address);

            let limit = measured + 3 + u64::try_from(popped).expect("a small number");
            assert!((measured..=limit).contains(&predicted), "{address}, {popped}: {predicted} {measured}");
        }
    }
}

#[test]
fn queue_without_jobs_keeps_no_clients() {
    let mut clients = Clients::default();
    clients.push_many("192.0.2.1", 3);
    let abandoned = clients.push("198.51.100.1", ONE_US);
    clients.pop_many(1);

    assert!(clients.queue.remove(path("198.51.100.1"), abandoned).is_some());
    assert!(clients.queue.remove(path("198.51.100.1"), abandoned).is_none());
    clients.pop_many(2);

    assert!(clients.queue.is_empty() && clients.queue.members.is_empty());
    assert_eq!(clients.queue.pending_us(), 0);
}
