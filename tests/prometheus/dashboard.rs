//! A Grafana dashboard: what it asks, and whether it is put together as Grafana wants it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    expression::{replace_variables, sides},
    server::Question,
};

/// The width of Grafana's grid.
const COLUMNS: u64 = 24;

/// The `schemaVersion` of Grafana 10.0. Newer ones read it; older ones may not.
const SCHEMA_VERSION: u64 = 38;

/// A dashboard.
#[derive(Debug)]
pub(crate) struct Dashboard(Value);

impl Dashboard {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    /// What is asked to show it: the queries of the panels and of the variables, and the sides of the
    /// conditions of annotations.
    #[track_caller]
    pub(crate) fn questions(&self) -> Vec<Question> {
        let panels = self.panels().iter().flat_map(|panel| {
            let targets = list(panel, "targets").iter();
            targets.map(|target| Question::new(format!("panel {}", text(panel, "title")), text(target, "expr")))
        });
        let variables = list(&self.0["templating"], "list").iter().filter(|variable| text(variable, "type") == "query");
        let variables = variables.map(|variable| {
            let values = label_values(text(&variable["query"], "query"));
            Question::new(format!("variable {}", text(variable, "name")), &values)
        });
        let annotations = list(&self.0["annotations"], "list").iter().filter(|annotation| annotation["builtIn"] != 1);
        let annotations = annotations.flat_map(|annotation| {
            let conditions = sides(text(annotation, "expr")).into_iter();
            conditions.map(|condition| Question::new(format!("annotation {}", text(annotation, "name")), &condition))
        });
        let questions: Vec<_> = panels.chain(variables).chain(annotations).collect();
        let open = |question: &&Question| question.expression.contains('$');
        assert!(questions.len() > 50 && questions.iter().find(open).is_none(), "{questions:?}");
        questions
    }

    /// What Grafana would stumble over, or a person.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault)
            }
        };
        require(self.0["schemaVersion"] == SCHEMA_VERSION, "schemaVersion".to_owned());
        require(!text(&self.0, "uid").is_empty() && !text(&self.0, "title").is_empty(), "uid, title".to_owned());
        let mut ids = BTreeSet::new();
        for panel in self.panels() {
            let title = text(panel, "title");
            require(panel["id"].as_u64().is_some_and(|id| ids.insert(id)), format!("{title}: id"));
            require(!title.is_empty(), "a panel without a title".to_owned());
            let place = Place::of(panel);
            require(place.right() <= COLUMNS && place.w > 0 && place.h > 0, format!("{title}: {place:?}"));
            if text(panel, "type") == "row" {
                continue;
            }
            require(!text(panel, "description").is_empty(), format!("{title}: no description"));
            require(text(&panel["datasource"], "uid") == "${datasource}", format!("{title}: data source"));
            let targets = list(panel, "targets");
            let names: BTreeSet<_> = targets.iter().map(|target| text(target, "refId")).collect();
            let is_asked = targets.iter().all(|target| !text(target, "expr").is_empty());
            require(!targets.is_empty() && names.len() == targets.len() && is_asked, format!("{title}: queries"));
        }
        faults.extend(self.overlaps());
        faults
    }

    fn overlaps(&self) -> Vec<String> {
        let panels = self.panels();
        let pairs = panels.iter().enumerate().flat_map(|(number, one)| {
            panels
                .iter()
                .skip(number + 1)
                .filter(|other| Place::of(one).overlaps(Place::of(other)))
                .map(move |other| format!("{} and {} are in one place", text(one, "title"), text(other, "title")))
        });
        pairs.collect()
    }

    fn panels(&self) -> &[Value] {
        list(&self.0, "panels")
    }
}

/// Where a panel is in the grid.
#[derive(Clone, Copy, Debug)]
struct Place {
    x: u64,
    y: u64,
    w: u64,
    h: u64,
}

impl Place {
    fn of(panel: &Value) -> Self {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_default());
        Self { x, y, w, h }
    }

    const fn right(self) -> u64 {
        self.x + self.w
    }

    const fn overlaps(self, other: Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.y + other.h && other.y < self.y + self.h
    }
}

/// `label_values(SELECTOR, LABEL)`, which only Grafana understands, in PromQL.
#[track_caller]
fn label_values(query: &str) -> String {
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (selector, label) = inner.rsplit_once(", ").unwrap();
    replace_variables(&format!("group by ({label}) ({selector})"))
}

fn list<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}
