//! A real Prometheus, and what is asked of it.

use std::{net::SocketAddr, path::Path, process::Command};

use e2e::{
    client::{Client, get},
    loopback,
    process::{Directory, Process},
    wait::{PATIENCE, eventually, within},
};
use serde_json::Value;

use crate::expression::{replace_variables, sides};

/// Where Debian and Prometheus' own container have it.
const PROGRAMS: [&str; 3] = ["/usr/bin/prometheus", "/usr/local/bin/prometheus", "/bin/prometheus"];

/// An expression, and who asks it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) who: String,
    pub(crate) expression: String,
}

impl Question {
    /// A question with the variables of dashboards replaced.
    pub(crate) fn new(who: String, expression: &str) -> Self {
        Self { who, expression: replace_variables(expression) }
    }
}

/// A Prometheus that scrapes one proxy, as the job `cognigate`, each second.
#[derive(Debug)]
pub(crate) struct Prometheus {
    address: SocketAddr,
    /// Before its directory.
    _process: Process,
    _directory: Directory,
}

impl Prometheus {
    /// Starts one with these rules, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(proxy: SocketAddr, rules: &str) -> Self {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("prometheus is not installed: tests/programs prometheus");
        let address = SocketAddr::from((loopback::address(), 9090));
        let directory = Directory::new();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{rules}\"]\n\
             scrape_configs: [{{ job_name: cognigate, static_configs: [{{ targets: [\"{proxy}\"] }}] }}]\n"
        );
        let config = directory.write("prometheus.yaml", &config);
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path("data").display()));
        command.args([&format!("--web.listen-address={address}"), "--log.level=warn"]);
        let process = Process::spawn(&mut command);
        let is_ready = || {
            let mut client = Client::try_connect(address).ok()?;
            (client.try_ask(&get("/-/ready")).ok()?.status == 200).then_some(())
        };
        assert!(within(PATIENCE, is_ready).is_some(), "Prometheus does not start: {}", process.stderr().text());
        Self { address, _process: process, _directory: directory }
    }

    /// What the rules ask: a recording, all of its expression; an alert, the sides of its comparisons.
    #[track_caller]
    pub(crate) fn rule_questions(&self) -> Vec<Question> {
        let rules = eventually("rules", || Some(self.rules()).filter(|rules| !rules.is_empty()));
        let questions = rules.iter().flat_map(|rule| {
            let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
            let asked = match rule["type"].as_str() {
                Some("recording") => vec![query.to_owned()],
                _ => sides(query),
            };
            assert!(!asked.is_empty(), "{name}: {query}");
            asked.into_iter().map(move |expression| Question { who: name.to_owned(), expression })
        });
        questions.collect()
    }

    /// The rules that Prometheus could not evaluate, or has not.
    pub(crate) fn rule_faults(&self) -> Vec<String> {
        let rules = self.rules();
        let faulty = rules.iter().filter(|rule| rule["health"] != "ok");
        faulty.map(|rule| format!("rule {}: {} {}", rule["name"], rule["health"], rule["lastError"])).collect()
    }

    /// Why a question has no answer: an error, nothing, or nothing but NaN, which is what a share of nothing is.
    pub(crate) fn fault(&self, question: &Question) -> Option<String> {
        let Question { who, expression } = question;
        let answer = self.ask(&format!("/api/v1/query?query={}", escaped(expression)));
        let fault = match answer["data"]["result"].as_array() {
            None => answer["error"].to_string(),
            Some(result) if result.is_empty() => "no data".to_owned(),
            Some(result) if result.iter().all(|sample| sample["value"][1] == "NaN") => "NaN".to_owned(),
            Some(_) => return None,
        };
        Some(format!("{who}: {fault}: {expression}"))
    }

    fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect()
    }

    #[track_caller]
    fn ask(&self, target: &str) -> Value {
        Client::connect(self.address).ask(&get(target)).json()
    }
}

/// Every byte that is not a letter or a digit, percent-encoded (RFC 3986 section 2.1).
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}
