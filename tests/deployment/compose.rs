//! The recipes for Docker Compose and Swarm in docs/deployment.md.

use std::collections::BTreeSet;

use postern::config::SETTINGS;
use serde_json::Value;

use crate::cluster::read;

/// Returns the file that begins with this comment.
fn recipe(name: &str) -> (String, Value) {
    let page = read("docs/deployment.md");
    let start = format!("```yaml\n# {name}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("{name} is documented"));
    let text = rest.split("\n```").next().expect("an end").to_owned();
    let value = serde_saphyr::from_str(&text).expect("YAML");
    (text, value)
}

/// Returns the user and the group of the image.
fn image_user() -> String {
    let dockerfile = read("Dockerfile");
    dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user").to_owned()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}"))
}

#[test]
fn settings_of_recipes_exist_and_name_mounted_files() {
    for name in ["compose.yaml", "stack.yaml"] {
        let (_, recipe) = recipe(name);
        let service = &recipe["services"]["postern"];
        let secrets = list(&service["secrets"]).iter();
        let mounted: BTreeSet<_> = secrets
            .map(|secret| secret.as_str().or(secret["target"].as_str()).expect("a name"))
            .map(|name| format!("/run/secrets/{name}"))
            .collect();
        let environment = service["environment"].as_object().expect("variables");

        let is_setting = |name: &String| SETTINGS.iter().any(|setting| setting.name == name && !setting.is_secret);
        assert!(environment.keys().all(is_setting), "{environment:?}");
        let files = environment.iter().filter(|(name, _)| name.ends_with("_FILE"));
        let named: BTreeSet<_> = files.map(|(_, path)| path.as_str().expect("a path").to_owned()).collect();
        assert_eq!(named, mounted);
        let keys = environment["POSTERN_KEYS_DIR"].as_str().expect("a path");
        let volume = list(&service["volumes"])[0].as_str().expect("a volume");
        assert!(volume.ends_with(&format!(":{keys}:ro")), "{volume}");
    }
}

#[test]
fn each_secret_of_a_recipe_is_defined_and_mounted() {
    for (name, source) in [("compose.yaml", "file"), ("stack.yaml", "external")] {
        let (_, recipe) = recipe(name);
        let defined = recipe["secrets"].as_object().expect("secrets");
        let secrets = list(&recipe["services"]["postern"]["secrets"]).iter();
        let used: BTreeSet<_> =
            secrets.map(|secret| secret.as_str().or(secret["source"].as_str()).expect("a name")).collect();

        assert_eq!(defined.keys().map(String::as_str).collect::<BTreeSet<_>>(), used);
        assert!(defined.values().all(|secret| !secret[source].is_null()), "{defined:?}");
    }
}

#[test]
fn secrets_belong_to_the_user_of_the_image_alone() {
    let user = image_user();
    let (text, stack) = recipe("stack.yaml");
    let secrets = list(&stack["services"]["postern"]["secrets"]);
    for secret in secrets {
        assert_eq!(format!("{}:{}", text_of(&secret["uid"]), text_of(&secret["gid"])), user);
    }
    // As text, because versions of YAML read an octal number differently.
    assert_eq!(text.matches("        mode: 0400\n").count(), secrets.len());

    let (_, compose) = recipe("compose.yaml");
    let files = compose["secrets"].as_object().expect("secrets").values();
    let names: Vec<_> = files.map(|secret| text_of(&secret["file"]).trim_start_matches("./")).collect();
    let page = read("docs/deployment.md");
    assert!(page.contains(&format!("sudo chown -R {user} {} keys\n", names.join(" "))));
    assert!(page.contains(&format!("sudo chmod 400 {}\n", names.join(" "))));
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}
