//! Service instances: what they said of themselves, and when they were last heard of. Kept in memory, shown by
//! `GET /v3/management/instances`; agents say it all again every few minutes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::intake::convert::Fault;
use crate::point::echo::json_string;
use crate::point::pb::{self, Wire};

use super::pair;

/// Instances that are remembered. Past it the one that has been silent longest is forgotten.
const INSTANCES_MAX: usize = 4096;

/// Properties of an instance, and bytes of each text. Agents send about ten, a few words each.
const PROPERTIES_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 512;

/// Silent for so long, an instance is not shown any more: agents speak every half minute.
const SILENT_NS_MAX: i64 = 24 * 3600 * 1_000_000_000;

#[derive(Debug, Default)]
struct Instance {
    layer: Vec<u8>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    seen_ns: i64,
}

/// Service and name.
type Key = (Vec<u8>, Vec<u8>);

/// All of them.
#[derive(Debug, Default)]
pub struct Instances(Mutex<BTreeMap<Key, Instance>>);

fn cut(text: &[u8]) -> Vec<u8> {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text).to_vec()
}

impl Instances {
    /// Takes an `InstanceProperties`, or with `is_ping` an `InstancePingPkg`.
    pub fn hear(&self, bytes: &[u8], is_ping: bool, now_ns: i64) -> Result<(), Fault> {
        let (mut service, mut name): (&[u8], &[u8]) = (b"", b"");
        let mut heard = Instance { seen_ns: now_ns, ..Instance::default() };
        for field in pb::fields(bytes) {
            match field? {
                (1, Wire::Len(text)) => service = text,
                (2, Wire::Len(text)) => name = text,
                (3, Wire::Len(layer)) if is_ping => heard.layer = cut(layer),
                (4, Wire::Len(layer)) => heard.layer = cut(layer),
                (3, Wire::Len(property)) if heard.properties.len() < PROPERTIES_MAX => {
                    let (key, value) = pair(property)?;
                    heard.properties.push((cut(key), cut(value)));
                }
                _ => {}
            }
        }
        let Ok(mut all) = self.0.lock() else { return Ok(()) };
        let key = (cut(service), cut(name));
        if let Some(known) = all.get_mut(&key) {
            known.seen_ns = now_ns;
            if !is_ping {
                *known = heard;
            }
            return Ok(());
        }
        if all.len() >= INSTANCES_MAX {
            let oldest = all.iter().min_by_key(|(_, instance)| instance.seen_ns).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(key, heard);
        Ok(())
    }

    /// All of them as JSON.
    pub fn show(&self, now_ns: i64) -> Vec<u8> {
        let mut out = b"[".to_vec();
        let Ok(all) = self.0.lock() else { return b"[]".to_vec() };
        let heard =
            all.iter().filter(|(_, instance)| now_ns.saturating_sub(instance.seen_ns) <= SILENT_NS_MAX);
        for (index, ((service, name), instance)) in heard.enumerate() {
            out.extend_from_slice(if index == 0 { b"{\"service\":" } else { b",{\"service\":" });
            json_string(service, &mut out);
            out.extend_from_slice(b",\"serviceInstance\":");
            json_string(name, &mut out);
            out.extend_from_slice(b",\"layer\":");
            json_string(&instance.layer, &mut out);
            let seen_ms = instance.seen_ns / 1_000_000;
            out.extend_from_slice(format!(",\"lastSeen\":{seen_ms},\"properties\":[").as_bytes());
            for (index, (key, value)) in instance.properties.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"{\"key\":" } else { b",{\"key\":" });
                json_string(key, &mut out);
                out.extend_from_slice(b",\"value\":");
                json_string(value, &mut out);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b']');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::wire;

    fn properties(service: &str, name: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_bytes(&mut out, wire::tag(1, wire::LEN), service.as_bytes());
        wire::put_bytes(&mut out, wire::tag(2, wire::LEN), name.as_bytes());
        for (key, value) in pairs {
            wire::put_message(&mut out, wire::tag(3, wire::LEN), |out| {
                wire::put_bytes(out, wire::tag(1, wire::LEN), key.as_bytes());
                wire::put_bytes(out, wire::tag(2, wire::LEN), value.as_bytes());
            });
        }
        out
    }

    #[test]
    fn an_instance_is_shown_as_it_said_it_is_while_it_is_heard_of() {
        let instances = Instances::default();
        instances
            .hear(&properties("shop", "i1", &[("language", "python"), ("no", "\"7\"")]), false, 5_000_000)
            .unwrap();
        instances.hear(&properties("shop", "i1", &[]), true, 9_000_000).unwrap();
        instances.hear(&properties("cart", "i2", &[]), true, 7_000_000).unwrap();
        let shown = String::from_utf8(instances.show(10_000_000)).unwrap();
        assert_eq!(
            shown,
            "[{\"service\":\"cart\",\"serviceInstance\":\"i2\",\"layer\":\"\",\"lastSeen\":7,\"properties\":[]},\
             {\"service\":\"shop\",\"serviceInstance\":\"i1\",\"layer\":\"\",\"lastSeen\":9,\"properties\":[\
             {\"key\":\"language\",\"value\":\"python\"},{\"key\":\"no\",\"value\":\"\\\"7\\\"\"}]}]"
        );
        assert_eq!(instances.show(SILENT_NS_MAX + 20_000_000), b"[]");
    }

    #[test]
    fn instances_are_bounded() {
        let instances = Instances::default();
        for index in 0..INSTANCES_MAX + 10 {
            instances.hear(&properties("s", &index.to_string(), &[]), true, index as i64).unwrap();
        }
        let shown: serde_json::Value = serde_json::from_slice(&instances.show(0)).unwrap();
        assert_eq!(shown.as_array().unwrap().len(), INSTANCES_MAX);
        assert!(!shown.to_string().contains("\"serviceInstance\":\"9\""), "the oldest went");
        let many: Vec<(String, String)> =
            (0..1_000).map(|index| (index.to_string(), "x".repeat(9_000))).collect();
        let many: Vec<(&str, &str)> =
            many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let instances = Instances::default();
        instances.hear(&properties("s", "many", &many), false, 1).unwrap();
        assert!(instances.show(1).len() < PROPERTIES_MAX * (TEXT_BYTES_MAX + 64));
    }
}
