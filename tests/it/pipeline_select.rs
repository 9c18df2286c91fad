//! Which script a point gets: the recorded cases of `golden/pipeline`, and those of the further folder.

use std::sync::Arc;

use bumpalo::Bump;
use kitgate::metrics::scripts::ScriptStats;
use kitgate::pipeline::{
    category::Category,
    post::{self, StatusOptions},
    store::{Choice, Namespace, Selector, Sources, Store, key_of},
    value::Value as Typed,
};
use serde_json::Value;

use super::pipeline::world::World;
use super::pipeline::{Points, golden_files, same_point, shown};

#[test]
fn pipeline_goldens_of_selection() {
    let (mut compared, mut failures) = (0, Vec::new());
    for (file, text) in golden_files() {
        for line in text.lines().filter(|line| line.contains("\"select\"")) {
            let case: Value = serde_json::from_str(line).unwrap();
            if case.get("select").is_none() {
                continue;
            }
            compared += 1;
            if let Err(difference) = check(&case) {
                failures.push(format!("{file} {}: {difference}", case["name"]));
            }
        }
    }
    assert!(compared >= 15, "the vectors are elsewhere: {compared} compared");
    assert!(failures.is_empty(), "{} of {compared} differ:\n{}", failures.len(), failures.join("\n"));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn store(select: &Value) -> Store {
    let mut sources = Sources::default();
    for (namespace, categories) in select["namespaces"].as_object().into_iter().flatten() {
        let namespace =
            Namespace::ALL.into_iter().find(|known| known.name() == namespace).expect("a namespace");
        for (category, scripts) in categories.as_object().into_iter().flatten() {
            let category = Category::named(category).expect("a category");
            for (name, script) in scripts.as_object().into_iter().flatten() {
                sources.add(namespace, category, name, &text(script));
            }
        }
    }
    for (category, relation) in select["relation"].as_object().into_iter().flatten() {
        let relation = relation.as_object().into_iter().flatten();
        let relation = relation.map(|(key, name)| (key.clone(), text(name))).collect();
        sources.relation.insert(Category::named(category).expect("a category"), relation);
    }
    for (category, name) in select["default_pipeline"].as_object().into_iter().flatten() {
        sources.defaults.insert(Category::named(category).expect("a category"), text(name));
    }
    Store::build(&sources, None, &|_, _, _| Arc::<ScriptStats>::default())
}

fn check(case: &Value) -> Result<(), String> {
    let category = case["category"].as_str().and_then(Category::named).ok_or("no such category")?;
    let store = store(&case["select"]);
    let map: Vec<(String, String)> = case["select"]["script_map"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, script)| (key.clone(), text(script)))
        .collect();
    let choices: Vec<Choice<'_>> =
        map.iter().map(|(key, script)| Choice { key: key.as_bytes(), script: script.as_bytes() }).collect();
    let mut selector = Selector::new(store.of(category), &choices);
    let points = Points::of(case)?;
    let results = case["expected"]["results"].as_array().ok_or("no results expected")?;
    if points.count() != results.len() {
        return Err(format!("{} points, {} results", points.count(), results.len()));
    }
    for (index, result) in results.iter().enumerate() {
        let arena = Bump::new();
        let clock = World::default();
        let record = points.record(index, &arena);
        let mut buffer = Vec::new();
        let text = |key: &[u8]| match record.get(key) {
            Some(Typed::Str(text)) => Some(text),
            _ => None,
        };
        let script = key_of(category, record.name, text, &mut buffer).and_then(|key| selector.select(key));
        let wanted = (result["selected_ns"].as_str(), result["selected_script"].as_str());
        let got = (script.map(|script| script.namespace.name()), script.map(|script| script.name.as_str()));
        if wanted != got {
            return Err(format!("point {index}: expected {wanted:?}, got {got:?}"));
        }
        let shown = match script {
            None => shown(&record, false),
            Some(script) => {
                let mut outcome = script.set.run(script.at, record, &arena, &clock);
                if outcome.error.is_none() {
                    post::finish(&mut outcome.record, &StatusOptions::default(), &arena);
                }
                shown(&outcome.record, false)
            }
        };
        same_point(&result["point"], &shown, &[])?;
    }
    Ok(())
}
