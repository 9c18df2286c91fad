//! Scripts that come with the gateway, for the logs of usual servers.

use crate::config::pipeline::SHIPPED_ALL;

macro_rules! of_logs {
    ($($name:literal),*) => {
        [$((concat!($name, ".p"), include_str!(concat!("../../deploy/pipeline/logging/", $name, ".p")))),*]
    };
}

/// Name and text.
const SCRIPTS: [(&str, &str); 11] = of_logs!(
    "apache",
    "docker",
    "elasticsearch",
    "java",
    "kafka",
    "mongodb",
    "mysql",
    "nginx",
    "postgresql",
    "redis",
    "syslog"
);

/// The script called so (without its ending), or all.
pub fn named(wanted: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    SCRIPTS
        .into_iter()
        .filter(move |(name, _)| wanted == SHIPPED_ALL || name.strip_suffix(".p") == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pipeline::SHIPPED_SCRIPTS;

    #[test]
    fn every_script_of_the_folder_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pipeline/logging");
        let files =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut scripts: Vec<String> = files.filter(|name| name.ends_with(".p")).collect();
        scripts.sort();
        assert_eq!(scripts, named(SHIPPED_ALL).map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(scripts, SHIPPED_SCRIPTS.map(|name| format!("{name}.p")));
        assert_eq!(named("nginx").count(), 1);
        assert_eq!(named("nginx.p").count(), 0);
    }
}
