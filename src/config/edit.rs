//! Changes in a configuration's text: tags that were set or removed while the gateway ran. Everything else in it stays as
//! it is, comments and spacing too.

use toml_edit::{DocumentMut, Item, Table, value};

/// The text with these tags in the table at `path` (`a.b`), and without those.
pub fn set_tags(
    text: &str,
    path: &str,
    set: &[(String, String)],
    removed: &[String],
) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if !table.contains_key(part) {
            if set.is_empty() {
                return Ok(document.to_string());
            }
            let mut fresh = Table::new();
            // Only the innermost has a heading of its own.
            fresh.set_implicit(parts.peek().is_some());
            table.insert(part, Item::Table(fresh));
        }
        table = table
            .get_mut(part)
            .and_then(Item::as_table_like_mut)
            .ok_or_else(|| format!("[{path}] is no table"))?;
    }
    for key in removed {
        table.remove(key);
    }
    for (key, text) in set {
        // `${` would be taken for a variable when the file is read.
        let text = text.replace("${", "$${");
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(known) => {
                let decor = known.decor().clone();
                *known = text.into();
                *known.decor_mut() = decor;
            }
            None => {
                table.insert(key, value(text));
            }
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    const FILE: &str = "# ours\nack = \"disk\" # synced\n\n[global_host_tags] # everywhere\n\n  a = \"1\"   # the first\n\
                        # b is for later\n\n[spool]\ncapacity = \"1GiB\"\n";

    #[test]
    fn the_rest_stays_as_it_is() {
        let changed = set_tags(
            FILE,
            "global_host_tags",
            &pairs(&[("a", "2"), ("c d", "x\"y ${Z}")]),
            &["no".to_owned()],
        )
        .unwrap();
        let expected = FILE
            .replace("a = \"1\"", "a = \"2\"")
            .replace("# the first\n", "# the first\n\"c d\" = 'x\"y $${Z}'\n");
        assert_eq!(changed, expected);
        assert_eq!(set_tags(FILE, "global_host_tags", &[], &[]).unwrap(), FILE);
        let removed = set_tags(FILE, "global_host_tags", &[], &["a".to_owned()]).unwrap();
        assert!(!removed.contains("a = \"1\"") && removed.contains("# b is for later"), "{removed}");
    }

    #[test]
    fn a_table_that_is_not_there_comes_to_the_end() {
        assert_eq!(
            set_tags("ack = \"disk\"\n", "election.tags", &pairs(&[("e", "1")]), &[]).unwrap(),
            "ack = \"disk\"\n\n[election.tags]\ne = \"1\"\n"
        );
        assert_eq!(set_tags("", "global_host_tags", &[], &["a".to_owned()]).unwrap(), "");
        let inline =
            set_tags("election = { tags = { a = \"1\" } }\n", "election.tags", &pairs(&[("b", "2")]), &[]);
        assert_eq!(inline.unwrap(), "election = { tags = { a = \"1\" , b = \"2\" } }\n");
        assert!(set_tags("election = 1", "election.tags", &pairs(&[("b", "2")]), &[]).is_err());
        assert!(set_tags("= 1", "election.tags", &[], &[]).is_err());
    }
}
