//! Reports proxies that hide the addresses of their clients. Such clients share one address, and with it the limits on
//! failed logins and on sign-ups.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use hyper::HeaderMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{
    client_ip::{ForwardedClient, ForwardingProblem, TrustedProxies},
    login_addresses::LoginAddresses,
};
use crate::{metrics::HttpMetrics, rate_cap::RateCap};

/// How often a warning about each kind of problem is logged. The metric counts every problem.
const WARNING_PERIOD: Duration = Duration::from_mins(1);

/// The label of an address that makes most logins.
const ONE_ADDRESS: &str = "one_address";

/// Finds the clients of a listener's requests.
#[derive(Default)]
pub struct Forwarding {
    trusted_proxies: TrustedProxies,
    monitor: Option<Arc<ForwardingMonitor>>,
}

impl Forwarding {
    /// Trusts these proxies, and reports problems.
    pub fn new(trusted_proxies: TrustedProxies, metrics: Arc<HttpMetrics>) -> Self {
        let monitor = ForwardingMonitor { metrics, caps: Mutex::default(), logins: Mutex::default() };
        Self { trusted_proxies, monitor: Some(Arc::new(monitor)) }
    }

    /// Returns whether an address is that of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.trusts(address)
    }

    /// Returns the client of a request. Reports an untrusted peer that sends a forwarding header on any route: if the peer
    /// is a proxy, its clients share its address everywhere.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> RequestClient {
        let peer = peer.to_canonical();
        let ForwardedClient { address, problem } = self.trusted_proxies.resolve(peer, headers);
        let may_be_proxy = problem.is_some();
        let client = RequestClient { peer, address, may_be_proxy, problem, monitor: self.monitor.clone() };
        if matches!(problem, Some(ForwardingProblem::UntrustedPeer { .. })) {
            client.report_problem();
            return RequestClient { problem: None, ..client };
        }
        client
    }
}

/// The client of a request. Handlers check it if limits depend on the client's address.
pub struct RequestClient {
    peer: IpAddr,
    address: IpAddr,
    may_be_proxy: bool,
    /// A problem that is not reported yet.
    problem: Option<ForwardingProblem>,
    monitor: Option<Arc<ForwardingMonitor>>,
}

impl RequestClient {
    /// Returns the client's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns whether the address may be that of a proxy that hides the client.
    pub fn may_be_proxy(&self) -> bool {
        self.may_be_proxy
    }

    /// Reports a trusted proxy that hides the client of a sign-up. On other routes, that is no problem: health checks of a
    /// load balancer, and a proxy's own requests to `/verify/`, have no client.
    pub fn check_sign_up(&self) {
        self.report_problem();
    }

    /// Reports a trusted proxy that hides the client of a login, or an address that makes most logins. Hidden clients do not
    /// count for the latter: its advice, to name the proxy, would be wrong.
    pub fn check_login(&self) {
        self.report_problem();
        if let (Some(monitor), None) = (&self.monitor, self.problem) {
            monitor.count_login(self.address);
        }
    }

    fn report_problem(&self) {
        if let (Some(monitor), Some(problem)) = (&self.monitor, self.problem) {
            monitor.report(self.peer, problem);
        }
    }
}

/// Counts problems, and logs each kind at most once in [`WARNING_PERIOD`].
struct ForwardingMonitor {
    metrics: Arc<HttpMetrics>,
    /// By the label of the problem.
    caps: Mutex<HashMap<&'static str, RateCap>>,
    logins: Mutex<LoginAddresses>,
}

impl ForwardingMonitor {
    fn report(&self, peer: IpAddr, problem: ForwardingProblem) {
        if !self.count(problem.label()) {
            return;
        }
        match problem {
            ForwardingProblem::UntrustedPeer { header } => {
                warn!(%peer, header, "ignored a forwarding header; if the peer is a proxy, name it in POSTERN_TRUSTED_PROXIES");
            }
            ForwardingProblem::MissingHeader => {
                warn!(%peer, "trusted proxy sent no X-Forwarded-For; its clients share one address");
            }
            ForwardingProblem::OnlyForwarded => {
                warn!(%peer, "trusted proxy sent Forwarded without X-Forwarded-For; its clients share one address");
            }
            ForwardingProblem::InvalidHeader => {
                warn!(%peer, "trusted proxy sent an invalid X-Forwarded-For; its clients share one address");
            }
        }
    }

    fn count_login(&self, address: IpAddr) {
        let majority = self.logins.lock().add(address, Instant::now());
        let Some(majority) = majority.filter(|_| self.count(ONE_ADDRESS)) else { return };
        let (logins, of) = (majority.logins, majority.of);
        warn!(%address, logins, of, "one address makes most logins; if it is a proxy, name it in POSTERN_TRUSTED_PROXIES");
    }

    /// Counts a problem, and returns whether to log it.
    fn count(&self, label: &'static str) -> bool {
        self.metrics.count_forwarding_problem(label);
        let new_cap = || RateCap::new(1, WARNING_PERIOD);
        self.caps.lock().entry(label).or_insert_with(new_cap).allows(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::metrics::Metrics;

    const PROXY: &str = "10.8.0.1";
    const STRANGER: &str = "198.51.100.9";

    struct Site {
        forwarding: Forwarding,
        metrics: Metrics,
    }

    fn site(trusted: &str) -> Site {
        let metrics = Metrics::new("");
        let trusted = trusted.parse().expect("networks");
        Site { forwarding: Forwarding::new(trusted, Arc::clone(&metrics.http)), metrics }
    }

    impl Site {
        fn request(&self, peer: &str, headers: &[(&'static str, &'static str)]) -> RequestClient {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            self.forwarding.client(peer.parse().expect("an address"), &headers)
        }

        /// Returns the problems that were counted, with their numbers.
        fn problems(&self) -> Vec<String> {
            let text = self.metrics.render();
            let samples =
                text.lines().filter_map(|line| line.strip_prefix("postern_forwarding_problems_total{problem="));
            samples.filter(|sample| !sample.ends_with(" 0")).map(|sample| sample.replace(['"', '}'], "")).collect()
        }
    }

    #[test]
    fn forwarding_header_of_an_untrusted_peer_is_reported_on_any_route() {
        for trusted in ["none", "10.8.0.0/24"] {
            let site = site(trusted);
            for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
                let client = site.request(STRANGER, &[(header, "192.0.2.1")]);
                assert_eq!(client.address().to_string(), STRANGER);
                // A login does not report it again.
                client.check_login();
            }
            site.request(STRANGER, &[("x-forwarded-proto", "https")]).check_login();

            assert_eq!(site.problems(), ["untrusted_peer 3"]);
        }
    }

    #[test]
    fn trusted_proxy_that_hides_clients_is_reported_at_logins_and_sign_ups() {
        let site = site("10.8.0.0/24");
        for headers in [&[][..], &[("x-real-ip", "192.0.2.1")]] {
            site.request(PROXY, headers);
            assert_eq!(site.problems(), Vec::<String>::new());
        }

        site.request(PROXY, &[]).check_login();
        site.request(PROXY, &[("x-real-ip", "192.0.2.1")]).check_sign_up();
        site.request(PROXY, &[("forwarded", "for=192.0.2.1")]).check_login();
        site.request(PROXY, &[("x-forwarded-for", "unknown"), ("forwarded", "for=192.0.2.1")]).check_sign_up();
        site.request(PROXY, &[("x-forwarded-for", "192.0.2.1")]).check_login();

        assert_eq!(site.problems(), ["invalid_header 1", "missing_header 2", "only_forwarded 1"]);
    }

    #[test]
    fn address_that_makes_most_logins_is_reported() {
        let site = site("none");

        for _ in 0..200 {
            site.request(STRANGER, &[]).check_login();
        }

        assert_eq!(site.problems(), ["one_address 2"]);
    }

    #[test]
    fn trusted_proxy_that_hides_clients_is_not_reported_as_one_address() {
        let site = site("10.8.0.0/24");

        for _ in 0..200 {
            site.request(PROXY, &[]).check_login();
        }

        assert_eq!(site.problems(), ["missing_header 200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_warning_is_logged_once_a_minute() {
        let site = site("none");
        let monitor = site.forwarding.monitor.as_ref().expect("a monitor");
        let is_logged = || [monitor.count("untrusted_peer"), monitor.count("missing_header")];

        assert_eq!(is_logged(), [true, true]);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(is_logged(), [false, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(is_logged(), [true, true]);

        assert_eq!(site.problems(), ["missing_header 3", "untrusted_peer 3"]);
    }
}
