//! The documented ways to start a server in a container, under systemd and on Kubernetes, with the program itself: they
//! start it, and without the trusted proxies they do not.

use postern::config::SETTINGS;
use serde_json::Value;

use crate::support::Postern;

const DOCKERFILE: &str = include_str!("../../Dockerfile");
const DEPLOYMENT: &str = include_str!("../../docs/deployment.md");
const SERVER: &str = include_str!("../../k8s/base/deployment.yaml");
const DEMO: &str = include_str!("../../k8s/overlays/demo/kustomization.yaml");

type Environment = Vec<(String, String)>;

/// Returns a variable of the form `NAME=VALUE`.
fn variable(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').expect("a name and a value");
    (name.to_owned(), value.to_owned())
}

/// Returns the variables of the image.
fn of_image() -> Environment {
    let joined = DOCKERFILE.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("ENV "));
    lines.flat_map(str::split_whitespace).map(variable).collect()
}

/// A documented `docker run` of a server or of a command.
struct DockerRun {
    environment: Environment,
    arguments: Vec<String>,
}

/// Returns every documented `docker run`.
fn docker_runs() -> Vec<DockerRun> {
    let text = format!("{}\n{}", DEPLOYMENT.replace("\\\n", " "), DOCKERFILE.replace("#     ", ""));
    text.lines().filter_map(|line| line.strip_prefix("docker run ")).map(docker_run).collect()
}

fn docker_run(line: &str) -> DockerRun {
    let mut words = line.split_whitespace();
    let mut environment = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-e" => environment.push(variable(words.next().expect("a variable"))),
            "-p" | "-v" | "--stop-timeout" => drop(words.next()),
            "--rm" | "-i" => {}
            // Arguments follow the image.
            _ => break,
        }
    }
    DockerRun { environment, arguments: words.map(str::to_owned).collect() }
}

/// Returns a directory for a program with these variables, on free ports of the same addresses. Directories are those of
/// the test.
fn postern(environment: &[(String, String)]) -> Postern {
    environment.iter().fold(Postern::new(), |postern, (name, value)| {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let name = setting.unwrap_or_else(|| panic!("{name} is a setting")).name;
        match (name, value.rsplit_once(':')) {
            // No load balancer has to learn that a server stops.
            ("POSTERN_DATA_DIR" | "POSTERN_DRAIN_DELAY", _) => postern,
            ("POSTERN_LISTEN" | "POSTERN_OPS_LISTEN", Some((host, _))) => postern.with(name, format!("{host}:0")),
            _ => postern.with(name, value),
        }
    })
}

async fn expect_start(environment: &[(String, String)]) {
    let postern = postern(environment);

    let serving = postern.serve().await;

    serving.api().get("/healthz").send().await.expect(200);
    assert_eq!(serving.stopped().await.code, Some(0), "{environment:?}");
}

async fn expect_refusal_without_proxies(environment: &[(String, String)]) {
    let others: Environment =
        environment.iter().filter(|(name, _)| name != "POSTERN_TRUSTED_PROXIES").cloned().collect();
    assert_eq!(others.len() + 1, environment.len(), "{environment:?}");

    let ended = postern(&others).run(&["serve"]).await;

    assert_eq!(ended.code, Some(64), "{ended:?}");
    let advice = "POSTERN_TRUSTED_PROXIES: not set although POSTERN_LISTEN is not a loopback address: expected the networks \
                  of the reverse proxies, or `none` if clients connect directly";
    assert!(ended.stderr.contains(advice), "{ended:?}");
}

#[tokio::test]
async fn documented_docker_run_starts_and_the_image_alone_does_not() {
    let mut servers = 0;
    for run in docker_runs().into_iter().filter(|run| run.arguments.is_empty()) {
        let environment = [of_image(), run.environment].concat();
        expect_start(&environment).await;
        expect_refusal_without_proxies(&environment).await;
        servers += 1;
    }
    assert_eq!(servers, 2, "docs/deployment.md and the Dockerfile");
}

#[tokio::test]
async fn documented_docker_command_needs_no_proxies() {
    let commands: Vec<_> = docker_runs().into_iter().filter(|run| !run.arguments.is_empty()).collect();
    assert!(!commands.is_empty());
    for DockerRun { environment, arguments } in commands {
        let postern = postern(&[of_image(), environment].concat());
        let serving = postern.with("POSTERN_LISTEN", "127.0.0.1:0");
        serving.serve().await.stopped().await;

        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ended = serving.run(&arguments).await;

        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[tokio::test]
async fn documented_systemd_unit_starts() {
    let unit = DEPLOYMENT.split_once("\n```ini\n").and_then(|(_, rest)| rest.split_once("```")).expect("a unit").0;
    let program: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
    assert_eq!(program, ["/usr/local/bin/postern"]);

    let lines = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
    let environment: Environment = lines.flat_map(str::split_whitespace).map(variable).collect();

    assert!(environment.contains(&variable("POSTERN_TRUSTED_PROXIES=127.0.0.1,::1")), "{environment:?}");
    expect_start(&environment).await;
    // As soon as it listens for other hosts, it needs the line.
    let others = unit.lines().filter_map(|line| line.strip_prefix("#Environment="));
    let others: Environment = others.flat_map(str::split_whitespace).map(variable).collect();
    assert_eq!(others, ["POSTERN_LISTEN=[::]:8000", "POSTERN_OPS_LISTEN=[::]:8001"].map(variable));
    let public = [environment, others].concat();
    expect_start(&public).await;
    expect_refusal_without_proxies(&public).await;
}

#[tokio::test]
async fn variables_of_the_demo_start_a_server_and_those_of_the_base_do_not() {
    let yaml = |text: &str| serde_saphyr::from_str::<Value>(text).expect("YAML");
    let literal = |variable: &Value| {
        let field = |name: &str| variable[name].as_str().map(str::to_owned);
        // The stores are Secrets, so this server uses the embedded store.
        field("name").zip(field("value"))
    };
    let server = yaml(SERVER);
    let base = server.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).expect("variables");
    let base: Environment = base.iter().filter_map(literal).collect();
    let demo = yaml(DEMO);
    let patches = demo["patches"].as_array().expect("patches").iter().filter_map(|patch| patch["patch"].as_str());
    let steps: Vec<_> = patches.flat_map(|patch| yaml(patch).as_array().cloned().expect("steps")).collect();
    let added = steps.iter().filter(|step| step["path"].as_str().is_some_and(|path| path.ends_with("/0/env/-")));
    let added: Environment = added.filter_map(|step| literal(&step["value"])).collect();

    let environment = [base, added].concat();

    expect_start(&environment).await;
    expect_refusal_without_proxies(&environment).await;
}
