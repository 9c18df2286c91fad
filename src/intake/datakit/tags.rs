//! `GET | POST | DELETE /v1/global/{host,election}/tags`: what is asked, what comes of it, and the answers. Who keeps the tags
//! is told the change and says what there is then.

use crate::http1::{Method, query};
use crate::intake::aside::{TagChange, TagSet};
use crate::intake::{Compat, ContentType, Reply, Settings};
use crate::point::echo::json_string;

use super::error::ApiError;

/// The tag that is the host's own name: not to be changed from outside.
const HOST: &str = "host";

/// Tags, sorted by key.
pub type Tags = Vec<(String, String)>;

/// The change that is asked for, or the answer where there is none to make: one that shows the tags, or a refusal.
pub fn asked(method: Method, set: TagSet, query: &str, settings: &Settings) -> Result<TagChange, Reply> {
    let options = &settings.options;
    if method == Method::Get {
        let tags = match set {
            TagSet::Host => &options.host_tag_pairs,
            TagSet::Election => &options.election_tag_pairs,
        };
        return Err(shown(set, tags, options.compat));
    }
    if set == TagSet::Election && !options.election {
        let body = br#"{"message":"Can't use this command when global-election is false."}"#;
        return Err(page(500, body.to_vec()));
    }
    Ok(match method {
        Method::Post => TagChange::Set(wanted(query)),
        _ => TagChange::Remove(unwanted(query)),
    })
}

/// Tags that a query names, each once. Recorded: the first value of a name counts, and none is no tag.
fn wanted(query: &str) -> Tags {
    let mut tags: Tags = Vec::new();
    for pair in query::pairs(query) {
        let key = String::from_utf8_lossy(&pair.key).into_owned();
        if !key.is_empty() && tags.iter().all(|(known, _)| *known != key) {
            tags.push((key, pair.text().into_owned()));
        }
    }
    tags.retain(|(key, value)| key != HOST && !value.is_empty());
    tags
}

fn unwanted(query: &str) -> Vec<String> {
    let keys = query::first(query, "tags").unwrap_or_default();
    keys.split(',').filter(|key| !key.is_empty() && *key != HOST).map(str::to_owned).collect()
}

/// Tags after a change, and whether it changes any.
pub fn changed(tags: &Tags, change: &TagChange) -> (Tags, bool) {
    let mut after = tags.clone();
    match change {
        TagChange::Set(set) => {
            after.retain(|(key, _)| set.iter().all(|(new, _)| new != key));
            after.extend(set.iter().cloned());
            after.sort();
        }
        TagChange::Remove(keys) => after.retain(|(key, _)| !keys.contains(key)),
    }
    let changes = after != *tags;
    (after, changes)
}

/// The tags that tell destinations apart which group by them: all of both, the election's before the host's.
pub fn of_destination(host: &Tags, election: &Tags) -> Tags {
    let mut tags: Tags =
        host.iter().filter(|(key, _)| election.iter().all(|(other, _)| other != key)).cloned().collect();
    tags.extend(election.iter().cloned());
    tags.sort();
    tags
}

/// The answer that shows one set. The recorded server writes a text in Go's notation where the document has an object.
fn shown(set: TagSet, tags: &Tags, compat: Compat) -> Reply {
    let name = match set {
        TagSet::Host => "host-tags",
        TagSet::Election => "election-tags",
    };
    let mut body = format!("{{\"{name}\":").into_bytes();
    match compat {
        Compat::Documented => object(tags, &mut body),
        Compat::Datakit184 => {
            let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            json_string(format!("map[{}]", pairs.join(" ")).as_bytes(), &mut body);
        }
    }
    body.push(b'}');
    page(200, body)
}

/// The answer to a change: all there is then.
pub fn reply(host: &Tags, election: &Tags) -> Reply {
    let mut body = b"{\"dataway-tags\":".to_vec();
    object(&of_destination(host, election), &mut body);
    body.extend_from_slice(b",\"election-tags\":");
    object(election, &mut body);
    body.extend_from_slice(b",\"host-tags\":");
    object(host, &mut body);
    body.push(b'}');
    page(200, body)
}

/// The answer to a change that could not be made.
pub fn refused(text: &str) -> Reply {
    ApiError { status: 500, code: "kitgate.tagsNotChanged", message: text.to_owned() }.reply()
}

fn object(tags: &Tags, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in tags.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json_string(key.as_bytes(), out);
        out.push(b':');
        json_string(value.as_bytes(), out);
    }
    out.push(b'}');
}

/// Recorded: outside the API's wrapper.
fn page(status: u16, body: Vec<u8>) -> Reply {
    let content_type = ContentType::Value("application/json; charset=utf-8".into());
    Reply { content_type, body, ..Reply::empty(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_value_counts_and_the_host_s_name_stays() {
        assert_eq!(wanted("a=1&b=a%20b%2Cc&a=2&host=evil&c=&=x"), tags(&[("a", "1"), ("b", "a b,c")]));
        assert_eq!(unwanted("tags=a,host,,b&tags=c&x=1"), ["a", "b"]);
        assert!(unwanted("").is_empty());
    }

    #[test]
    fn changes_are_made_and_seen() {
        let before = tags(&[("a", "1"), ("host", "h")]);
        let (after, changes) = changed(&before, &TagChange::Set(tags(&[("b", "2"), ("a", "3")])));
        assert_eq!((after, changes), (tags(&[("a", "3"), ("b", "2"), ("host", "h")]), true));
        assert!(!changed(&before, &TagChange::Set(tags(&[("a", "1")]))).1);
        let (after, changes) = changed(&before, &TagChange::Remove(vec!["a".to_owned(), "none".to_owned()]));
        assert_eq!((after, changes), (tags(&[("host", "h")]), true));
    }

    #[test]
    fn both_ways_of_showing() {
        let pairs = tags(&[("a", "1"), ("host", "h\"")]);
        let documented = shown(TagSet::Host, &pairs, Compat::Documented);
        assert_eq!(documented.body, br#"{"host-tags":{"a":"1","host":"h\""}}"#);
        let recorded = shown(TagSet::Election, &pairs, Compat::Datakit184);
        assert_eq!(recorded.body, br#"{"election-tags":"map[a:1 host:h\"]"}"#);
        assert_eq!(
            String::from_utf8(reply(&tags(&[("a", "1")]), &tags(&[("a", "2"), ("b", "3")])).body).unwrap(),
            r#"{"dataway-tags":{"a":"2","b":"3"},"election-tags":{"a":"2","b":"3"},"host-tags":{"a":"1"}}"#
        );
    }
}
